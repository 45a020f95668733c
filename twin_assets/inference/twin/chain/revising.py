"""The fifth step: sections with findings are mended, and what is mended must not be worse.

Two kinds of mending compete with the section as it was: the sentences that were found fault with left out, and the whole written again,
with the findings told where the model can be shown it. A version is kept when it has fewer findings, the instruments score it no lower,
and it keeps to its subject.
"""

from collections.abc import Generator
from statistics import mean
from typing import Literal, NamedTuple

from twin_assets.core.prompts.templates import render, strip_special_tokens
from twin_assets.core.text.words import count_words, sentences
from twin_assets.inference.generation.sampling import WRITING
from twin_assets.inference.twin.candidates import CandidateScore
from twin_assets.inference.twin.chain.checking import SectionCheck, SectionLook, check_section
from twin_assets.inference.twin.chain.desk import ChainDesk, Judge, unheard
from twin_assets.inference.twin.chain.drafting import section_brief
from twin_assets.inference.twin.chain.records import Finding, Outline, Revision, Section

Kept = Literal["as_it_was", "shortened", "rewritten"]

# Of what is left out, a section must keep so many of its words.
LEAST_LEFT = 0.5
# Scores are noisy: so much lower is no worse.
NO_WORSE = 0.02
NO_FURTHER = 0.1  # from its subject, in cosines
MOST_TOLD = 4
REVISION_TEMPERATURE = 0.6


class _Version(NamedTuple):
    kept: Kept
    text: str
    check: SectionCheck


def revise_section(
    desk: ChainDesk,
    judge: Judge,
    outline: Outline,
    section: Section,
    look: SectionLook,
    check: SectionCheck,
) -> Generator[str, None, tuple[Section, SectionCheck, Revision]]:
    """The best version of a section with findings, its check, and what was done; gives signs of life meanwhile."""

    def version(kept: Kept, text: str) -> _Version:
        other = section.model_copy(update={"text": text})
        return _Version(kept, text, check_section(other, look, judge, desk.thresholds.agreeing_request))

    first = _Version("as_it_was", section.text, check)
    versions = [first]
    shortened = without(section.text, [f.text for f in check.findings if f.text and f.kind != "copied"])
    if shortened != section.text and count_words(shortened) >= LEAST_LEFT * count_words(section.text):
        versions.append(version("shortened", shortened))
    rewritten = yield from _rewritten(desk, outline, look, section, check.findings)
    if rewritten and rewritten != section.text:
        versions.append(version("rewritten", rewritten))
    gains = [gain(check.score, v.check.score) for v in versions]
    no_worse = [
        (len(v.check.findings), -gained, at)
        for at, (v, gained) in enumerate(zip(versions, gains, strict=True))
        if gained >= -NO_WORSE and v.check.near >= check.near - NO_FURTHER
    ]
    best = versions[min(no_worse)[-1]]
    revision = Revision(
        section=look.at,
        kept=best.kept,
        findings_before=len(check.findings),
        findings_after=len(best.check.findings),
        score_before=check.score.total,
        score_after=best.check.score.total,
        text=best.text,
    )
    return section.model_copy(update={"text": best.text}), best.check, revision


def _rewritten(
    desk: ChainDesk, outline: Outline, look: SectionLook, section: Section, findings: list[Finding]
) -> Generator[str, None, str]:
    """The section once more by the persona's model, told of what was found; one that it can't be shown, as its first draft was
    asked for. Empty where that would be the text of a person and it can't be shown."""
    if section.text.strip() and desk.fits(section.text):
        task = render(
            "serving/chain/revise",
            task=render("rewrite", draft=strip_special_tokens(section.text)),
            notes=notes_of(findings),
        )
        used = {citation.chunk_id for before in look.before for citation in before.citations}
        plan = desk.twin.plan_text(
            section_brief(desk, outline), "write_chain", task, look.subject, desk.linked, used
        )
    elif look.given:
        return ""
    else:
        plan = look.plan
    sampling = WRITING.sampling(plan.max_tokens, None, min(desk.temperature, REVISION_TEMPERATURE))
    text, _ = yield from unheard(desk.write(plan, sampling))
    return str(text)


def gain(before: CandidateScore, after: CandidateScore) -> float:
    """How much better a version is by the instruments that could be asked of both: a text that is too short for one, or states
    nothing, is neither better nor worse for that. Of one that is empty, by what the totals say."""
    both = [
        (getattr(before, part), getattr(after, part))
        for part in ("sense", "voice", "support", "own")
        if getattr(before, part) is not None and getattr(after, part) is not None
    ]
    return mean(new - old for old, new in both) if both else after.total - before.total


def notes_of(findings: list[Finding]) -> str:
    """The findings as a model is told them, the first few."""
    lines = []
    for finding in findings[:MOST_TOLD]:
        about = f" “{strip_special_tokens(finding.text)}”" if finding.text else ""
        lines.append(f"- {finding.detail}{about}")
    return "\n".join(lines)


def without(text: str, parts: list[str]) -> str:
    """The text without the sentences that hold one of the parts; white space between two others stays."""
    known = {" ".join(part.split()) for part in parts}
    kept: list[str] = []
    at, left_out = 0, False
    for start, end in sentences(text):
        sentence = " ".join(text[start:end].split())
        if any(part in sentence for part in known):
            left_out = True
        else:
            kept.append(text[start if left_out and not kept else at : end])
            left_out = False
        at = end
    return "".join(kept).strip()
