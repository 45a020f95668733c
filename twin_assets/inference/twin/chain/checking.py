"""The fourth step: what is wrong with each section, by the instruments that judge a model.

It says what it finds and changes nothing. Sentences that state something are held against the section's own passages; runs of
words against the persona's writing; length, addresses and repetitions against what was asked, shown and said.
"""

from dataclasses import dataclass

from twin_assets.core.text.words import count_words, sentences, terms
from twin_assets.inference.grounding.claims import claims_of
from twin_assets.inference.twin.answer import Plan
from twin_assets.inference.twin.candidates import CandidateScore
from twin_assets.inference.twin.chain.desk import Judge
from twin_assets.inference.twin.chain.records import Finding, Section

# Of the author's own passages, so many read worse: below it a text reads as hardly any of theirs does.
LEAST_SENSE = 0.05
# On the way from other people (0) to the author (1), or beyond them.
LEAST_VOICE = 0.0
SHORTEST, LONGEST = 0.5, 1.6  # of the words that were asked for
COPIED_WORDS = 12  # a shorter run is a turn of phrase
SAME_WORDS = 0.8  # of a sentence's words, as many stand in one before it
FEWEST_SAID = 5  # shorter sentences may come again


@dataclass(frozen=True)
class SectionLook:
    """What a section is looked at beside: its place, its `subject`, the `plan` it was written from, the sections `before` it, and how many
    `words` it was to have, where somebody said; and whether a person brought it."""

    at: int
    subject: str
    plan: Plan
    before: list[Section]
    words: int | None
    given: bool = False


@dataclass(frozen=True)
class SectionCheck:
    """A section's findings, its scores, how near it is to its subject, and which instruments could not be asked, and why."""

    findings: list[Finding]
    score: CandidateScore
    near: float
    left_out: dict[str, str]


def check_section(section: Section, look: SectionLook, judge: Judge, off_topic: float) -> SectionCheck:
    """What is found in a section. Nearer to its subject than `off_topic` it keeps to it."""
    at, plan, text = look.at, look.plan, section.text
    scores, left_out = judge.scores([text], plan.passages)
    score, near = scores[0], judge.near(text, look.subject)
    findings = [
        *_empty(at, text),
        *_unsupported(at, text, plan, judge),
        *_copied(at, text, judge),
        *_repeated(at, text, [section.text for section in look.before]),
        *(
            Finding(section=at, kind="link", text=url, detail="The model was not shown this address.")
            for url in plan.unsupported_links(text)
        ),
        *_length(at, text, look.words),
        *_manner(at, score),
    ]
    if text.strip() and near < off_topic:
        findings.append(Finding(section=at, kind="off_topic", detail=f"It is not about “{look.subject}”."))
    return SectionCheck(findings, score, near, left_out)


def _empty(at: int, text: str) -> list[Finding]:
    return [] if text.strip() else [Finding(section=at, kind="length", detail="Nothing was written.")]


def _unsupported(at: int, text: str, plan: Plan, judge: Judge) -> list[Finding]:
    claims = claims_of(text)
    if not claims or not plan.passages:
        return []
    return [
        Finding(
            section=at, kind="unsupported", text=claim, detail="The passages of this section don't say so."
        )
        for claim, supported in zip(claims, judge.supported(claims, plan.passages), strict=True)
        if not supported
    ]


def _copied(at: int, text: str, judge: Judge) -> list[Finding]:
    return [
        Finding(
            section=at,
            kind="copied",
            text=run,
            detail=f"{count} words in a row stand in the persona's writing.",
        )
        for run in judge.copied(text)
        if (count := count_words(run)) >= COPIED_WORDS
    ]


def _repeated(at: int, text: str, before: list[str]) -> list[Finding]:
    said = [set(words) for other in before for _, words in _sentences(other)]
    findings = []
    for sentence, words in _sentences(text):
        if len(words) >= FEWEST_SAID:
            if any(len(words & other) >= SAME_WORDS * len(words) for other in said):
                findings.append(
                    Finding(section=at, kind="repeated", text=sentence, detail="It was said before.")
                )
            said.append(words)
    return findings


def _length(at: int, text: str, words: int | None) -> list[Finding]:
    if not words or not text.strip():
        return []
    count = count_words(text)
    if SHORTEST * words <= count <= LONGEST * words:
        return []
    return [Finding(section=at, kind="length", detail=f"{count} words where about {words} were asked for.")]


def _manner(at: int, score: CandidateScore) -> list[Finding]:
    findings = []
    if score.sense is not None and score.sense < LEAST_SENSE:
        worse = f"Of the persona's own passages {1 - score.sense:.0%} read better."
        findings.append(Finding(section=at, kind="reads_badly", detail=worse))
    if score.voice is not None and score.voice < LEAST_VOICE:
        findings.append(
            Finding(
                section=at, kind="other_voice", detail="It is nearer to other people than to the persona."
            )
        )
    return findings


def _sentences(text: str) -> list[tuple[str, set[str]]]:
    return [(text[start:end], set(terms(text[start:end]))) for start, end in sentences(text)]
