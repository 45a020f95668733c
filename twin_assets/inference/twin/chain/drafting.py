"""The third step: the text, section by section, each with what went before it in view.

A text of one section is asked for in the very words that the twin was trained with; so is a section, before what is told of
the text so far.
"""

from collections.abc import Generator

from twin_assets.core.prompts.templates import render, strip_special_tokens
from twin_assets.core.text.words import word_spans
from twin_assets.inference.twin.answer import Plan
from twin_assets.inference.twin.brief import Brief
from twin_assets.inference.twin.chain.desk import ChainDesk
from twin_assets.inference.twin.chain.records import Outline, Section


def section_task(desk: ChainDesk, outline: Outline, at: int, before: list[Section]) -> str:
    """What the model is asked for a section with, passages not counted."""
    plan = outline.sections[at]
    if len(outline.sections) == 1:
        return desk.brief.model_copy(update={"topic": outline.title}).task()
    told = render(
        "write_section",
        topic=strip_special_tokens(plan.about or plan.heading),
        title=strip_special_tokens(outline.title),
    )
    task = section_brief(desk, outline).with_wishes(told)
    shown = last_words("\n\n".join(section.text for section in before), desk.context_words)
    return render("serving/chain/section", task=task, before=strip_special_tokens(shown)) if shown else task


def plan_section(desk: ChainDesk, outline: Outline, at: int, before: list[Section]) -> Plan:
    """The section's passages in a prompt; those that sections before it were written from only where there are no others."""
    used = {citation.chunk_id for section in before for citation in section.citations}
    return desk.twin.plan_text(
        section_brief(desk, outline),
        "write_chain",
        section_task(desk, outline, at, before),
        subject_of(outline, at),
        desk.linked,
        used,
    )


def write_section(
    desk: ChainDesk, outline: Outline, at: int, before: list[Section]
) -> Generator[str, None, tuple[Section, Plan]]:
    """The pieces of a section, and at their end the whole of it with its plan."""
    plan = plan_section(desk, outline, at, before)
    text, writing = yield from desk.write(plan)
    return Section(heading=outline.sections[at].heading, text=text, citations=writing.citations), plan


def subject_of(outline: Outline, at: int) -> str:
    """What a section is to be about, and passages are found for."""
    return outline.title if len(outline.sections) == 1 else outline.sections[at].searched


def section_brief(desk: ChainDesk, outline: Outline) -> Brief:
    """The wishes for a section: those for the whole, and its part of the length."""
    return desk.brief.model_copy(
        update={"words": max(round(desk.words / len(outline.sections)), 10), "draft": None}
    )


def last_words(text: str, n: int) -> str:
    """The end of a text, at most `n` words."""
    spans = word_spans(text)
    return text if len(spans) <= n else "… " + text[spans[-n][0] :]


def assembled(outline: Outline, sections: list[Section]) -> str:
    """The whole text: headings where there are several sections, as in Markdown."""
    if len(sections) == 1:
        return sections[0].text
    return "\n\n".join(
        [f"# {outline.title}", *(f"## {section.heading}\n\n{section.text}" for section in sections)]
    )
