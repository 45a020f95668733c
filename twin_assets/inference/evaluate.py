"""Evaluation on the held-out side: the candidate, its base with prompt and retrieval, production, people.

Every contestant gets the same topics and seeds. Retrieval sees the training side only while voice is
measured, so nobody is handed the real text. The ceiling is the author's own held-out writing, the floor
other authors'. LLM judges are not used here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from twin_assets.core.persona import Persona
from twin_assets.core.profiles import Profile
from twin_assets.core.prompts import baseline_system_message, system_message, user_message
from twin_assets.core.records import Message, Passage, Record, SplitDocument
from twin_assets.inference.copying import CopyReport, copied
from twin_assets.inference.stylometry import windows
from twin_assets.inference.voice import BOOTSTRAPS, VoiceMeter, VoiceScore

PROMPTS = 24
HIT_AT = 3
SAMPLE_WORDS = 60

Prompting = Literal["twin", "baseline", "bare"]
Retrieve = Callable[[str, int, dict[str, str | list[str]] | None], list[Passage]]


@dataclass(frozen=True)
class Contestant:
    """A model and how it is prompted; `generate` writes one text for each conversation."""

    model: str
    generate: Callable[[list[list[Message]]], list[str]]
    prompting: Prompting


class Question(Record):
    """A question with strings that a right passage contains; none where the corpus has no answer."""

    question: str
    answer_facts: list[str] = []
    unanswerable: bool = False


class Sample(Record):
    prompt: str
    text: str


class Contest(Record):
    """How one contestant did."""

    model: str
    voice: VoiceScore
    copying: CopyReport
    samples: list[Sample]


class EvaluationReport(Record):
    """Everything the gate and the report page show. Gain is candidate minus base+prompt+retrieval."""

    persona: str
    candidate: str
    profile: str
    contestants: dict[str, Contest]
    ceiling: VoiceScore
    floor: VoiceScore
    real_sample: str
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    hit_rate: float | None
    mrr: float | None
    refusal_rate: float | None
    false_refusal_rate: float | None
    prompts: int


def evaluate(
    contestants: dict[str, Contestant],
    *,
    heldout: list[SplitDocument],
    train: list[SplitDocument],
    impostors: dict[str, list[str]],
    persona: Persona,
    profile: Profile,
    retrieve: Retrieve,
    questions: list[Question],
    would_refuse: Callable[[str], bool],
    seed: int,
    on_progress: Callable[[str], None],
) -> EvaluationReport:
    """Write, measure and compare. Raises TwinError when there is too little text to measure a voice."""  # fmt: skip
    prose = [d.voice_text for d in train if d.category != "code"]
    known, unseen = _halves(impostors)
    meter = VoiceMeter.fit(prose, known)
    topics = _topics(heldout)
    contests: dict[str, Contest] = {}
    written: dict[str, list[str]] = {}
    for role, contestant in contestants.items():
        on_progress(f"{role} ({contestant.model}) writes {len(topics)} texts")
        conversations = [
            _conversation(contestant.prompting, kind, topic, persona, profile, retrieve, prose)
            for kind, topic in topics
        ]
        texts = written[role] = contestant.generate(conversations)
        contests[role] = Contest(
            model=contestant.model, voice=meter.score(texts, seed), copying=copied(texts, prose),
            samples=[Sample(prompt=topic, text=text) for (_, topic), text in list(zip(topics, texts, strict=True))[:4]],
        )  # fmt: skip
        on_progress(f"{role}: {_sentence(contests[role])}")
    gain = _gain(meter, written, seed)
    hits, ranks = _retrieval(questions, retrieve)
    return EvaluationReport(
        persona=persona.name, candidate=contestants["candidate"].model, profile=profile.name, contestants=contests,
        ceiling=meter.score([d.voice_text for d in heldout if d.category != "code"], seed),
        floor=meter.score([t for texts in unseen.values() for t in texts], seed),
        real_sample=" ".join(heldout[0].voice_text.split()[: 2 * SAMPLE_WORDS]) if heldout else "",
        gain=gain[0], gain_low=gain[1], gain_high=gain[2], hit_rate=hits, mrr=ranks,
        refusal_rate=_rate([would_refuse(q.question) for q in questions if q.unanswerable]),
        false_refusal_rate=_rate([would_refuse(q.question) for q in questions if not q.unanswerable]),
        prompts=len(topics),
    )  # fmt: skip


def read_questions(path: Path | None) -> list[Question]:
    """The persona's questions; none when it names no file."""
    return [Question.model_validate(q) for q in yaml.safe_load(path.read_text())] if path else []


def _halves(impostors: dict[str, list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Texts that the meter is fitted on, and texts of the same authors that it has never seen."""
    return {n: t[::2] for n, t in impostors.items()}, {n: t[1::2] for n, t in impostors.items()}


def _topics(heldout: list[SplitDocument]) -> list[tuple[str, str]]:
    """Prompt name and topic of each text to write, over and over the held-out documents."""
    prose = [d for d in heldout if d.category != "code"]
    topics: list[tuple[str, str]] = []
    for document in prose:
        kind = "write_post" if document.category == "post" else "write_article"
        headings = [line[3:] for line in document.voice_text.split("\n") if line.startswith("## ")]
        first = document.title or " ".join(document.voice_text.split()[:8])
        topics += [(kind, topic.strip(" .:,")) for topic in [first, *headings]]
    repeats = -(-PROMPTS // max(len(topics), 1))
    return (topics * repeats)[:PROMPTS]


def _conversation(
    prompting: Prompting, kind: str, topic: str, persona: Persona, profile: Profile, retrieve: Retrieve,
    samples: list[str],
) -> list[Message]:  # fmt: skip
    if prompting == "bare":
        return [user_message(kind, topic=topic)]
    passages = [
        p.model_copy(update={"text": _cut(p.text, 45)})
        for p in retrieve(topic, profile.passages, {"split": "train"})
    ]
    if prompting == "twin":
        return [system_message(persona), user_message(kind, passages, topic=topic)]
    # A third of the context for samples of the voice; about 1.7 tokens a word in a small vocabulary.
    room = int(profile.context_tokens / 3 / 1.7 / 2)
    shown = [_cut(s, room) for s in samples[:2]]
    return [baseline_system_message(persona, shown), user_message(kind, passages, topic=topic)]


def _cut(text: str, words: int) -> str:
    parts = text.split()
    return text if len(parts) <= words else " ".join(parts[:words])


def _gain(
    meter: VoiceMeter, written: dict[str, list[str]], seed: int
) -> tuple[float | None, float | None, float | None]:
    """Candidate's mean margin minus the baseline's, with a 95% bootstrap interval over windows."""
    candidate, baseline = windows(written["candidate"]), windows(written.get("base+prompt+retrieval", []))
    if not candidate or not baseline:
        return None, None, None
    ours, theirs = meter.margins(candidate), meter.margins(baseline)
    random = np.random.default_rng(seed)
    draws = (
        random.choice(ours, size=(BOOTSTRAPS, len(ours))).mean(axis=1)
        - random.choice(theirs, size=(BOOTSTRAPS, len(theirs))).mean(axis=1)
    )  # fmt: skip
    return (
        float(ours.mean() - theirs.mean()), float(np.percentile(draws, 2.5)), float(np.percentile(draws, 97.5)),
    )  # fmt: skip


def _retrieval(questions: list[Question], retrieve: Retrieve) -> tuple[float | None, float | None]:
    """Hit rate at 3 and mean reciprocal rank: a passage hits when it holds one of the facts."""
    ranks = []
    for question in questions:
        if question.unanswerable or not question.answer_facts:
            continue
        passages = retrieve(question.question, 10, None)
        places = (
            n
            for n, p in enumerate(passages, 1)
            if any(f.lower() in p.text.lower() for f in question.answer_facts)
        )
        ranks.append(next(places, 0))
    if not ranks:
        return None, None
    return _rate([0 < r <= HIT_AT for r in ranks]), sum(1 / r for r in ranks if r) / len(ranks)


def _rate(outcomes: list[bool]) -> float | None:
    return sum(outcomes) / len(outcomes) if outcomes else None


def _sentence(contest: Contest) -> str:
    margin = "not measured" if contest.voice.margin is None else f"{contest.voice.margin:+.3f}"
    return f"margin {margin}, {contest.copying.copied_share:.0%} copied"
