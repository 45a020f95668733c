"""The fifth step: sections with findings are mended, and what is mended must not be worse.

Two kinds of mending compete with the section as it was: the sentences that were found fault with left out, and the whole written again
with the findings told. A version is kept when it has fewer findings, the instruments score it no lower, and it keeps to its subject.
"""

from collections.abc import Generator
from dataclasses import replace
from typing import Literal, NamedTuple

from twin_assets.core.prompts.templates import render, strip_special_tokens
from twin_assets.core.text.words import count_words, sentences
from twin_assets.inference.twin.answer import sampling_of
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
    no_worse = [
        v
        for v in versions
        if v.check.score.total >= check.score.total - NO_WORSE and v.check.near >= check.near - NO_FURTHER
    ]
    best = min(no_worse, key=lambda v: (len(v.check.findings), -v.check.score.total, v is not first))
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
    """The section once more by the persona's model, told of what was found; empty where it is too long to be shown."""
    if not section.text.strip() or not desk.fits(section.text):
        return ""
    task = render(
        "serving/chain/revise",
        task=render("rewrite", draft=strip_special_tokens(section.text)),
        notes=notes_of(findings),
    )
    plan = desk.twin.plan_text(section_brief(desk, outline), "write_chain", task, look.subject, desk.linked)
    sampling = replace(
        sampling_of(plan, desk.temperature, None), temperature=min(desk.temperature, REVISION_TEMPERATURE)
    )
    text, _ = yield from unheard(desk.write(plan, sampling))
    return str(text)


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
