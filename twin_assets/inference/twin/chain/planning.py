"""The first two steps: ideas, angles on the topic, and the outline of one of them.

The persona's model is asked for JSON, and what it says counts where the persona's writing has something on it: each idea
and section must find a passage that is near enough to stand on. Where fewer than half of them do, or the model writes no such JSON
(small ones seldom do), rules make them of what was found: each from the passages of another document.
"""

import json
import math
import re
from collections.abc import Generator
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.prompts.templates import render, strip_special_tokens
from twin_assets.core.records import Passage, Record
from twin_assets.core.text.words import first_words, sentences, terms
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.generation.structured.schema import ResponseFormat
from twin_assets.inference.retrieval.resilient_store import RetrievalUnavailable
from twin_assets.inference.twin.answer import RETRIEVAL, cited
from twin_assets.inference.twin.brief import FORM_OF
from twin_assets.inference.twin.chain.desk import ChainDesk, unheard
from twin_assets.inference.twin.chain.records import MAX_SECTIONS, Idea, Outline, SectionPlan

IDEAS = 3
LOOKED_AT = 12  # passages that ideas and outlines are made of
PLAN_TOKENS = 320
PLAN_TEMPERATURE = 0.6
HEADING_WORDS, ABOUT_WORDS = 8, 25
# Of the words of one title, so many stand in another one: it says the same.
SAME = 0.8

_HEADINGS = re.compile(r"^#+ .*$", re.MULTILINE)

Asked = TypeVar("Asked", bound=Record)


class Planned(NamedTuple):
    """What a step made, who did, and why the model did not."""

    value: Any
    by: str
    why: str | None = None


class _IdeaText(Record):
    title: str
    why: str


class _Ideas(Record):
    ideas: list[_IdeaText]


class _SectionText(Record):
    heading: str
    about: str


class _Outline(Record):
    title: str
    sections: list[_SectionText]


def make_ideas(desk: ChainDesk) -> Generator[str, None, Planned]:
    """At least one idea, the best first; the first is what is written where nobody chooses."""
    topic = desk.brief.about
    task = render("serving/chain/ideas", count=str(IDEAS), form=FORM_OF[desk.brief.kind], topic=topic)
    asked = yield from _ask(desk, task, topic, _Ideas, _listed("ideas", ("title", "why"), IDEAS))
    if isinstance(asked, _Ideas):
        ideas = []
        for idea in _distinct(asked.ideas, lambda one: one.title)[:IDEAS]:
            standing = _search(desk, f"{idea.title}. {idea.why}")
            if standing and standing[0].similarity >= desk.thresholds.answerable:
                ideas.append(_idea(idea.title, idea.why, standing[:2]))
        if 2 * len(ideas) > IDEAS:
            return Planned(ideas, "model")
        asked = "too little of what it said stands on the persona's writing"
    by_rules = [
        _idea(f"{topic}: {_heading(passage)}", _first_sentence(passage), [passage])
        for passage in _of_documents(_search(desk, topic))[:IDEAS]
    ]
    return Planned(by_rules or [Idea(title=topic)], "rules", asked)


def make_outline(desk: ChainDesk, idea: str) -> Generator[str, None, Planned]:
    """As many sections as an article's length asks for, of a post one; fewer where the persona's writing has no more to say on it."""
    title, topic = strip_special_tokens(idea), desk.brief.about
    count = (
        min(math.ceil(desk.words / desk.section_words), MAX_SECTIONS) if desk.brief.kind == "article" else 1
    )
    if count == 1:
        return Planned(Outline(title=title, sections=[SectionPlan(heading=_cut_heading(title))]), "rules")
    task = render(
        "serving/chain/outline", count=str(count), form=FORM_OF[desk.brief.kind], topic=topic, idea=title
    )
    schema = _listed("sections", ("heading", "about"), count)
    schema["properties"] = {"title": _TEXT, **schema["properties"]}
    schema["required"] = ["title", *schema["required"]]
    asked = yield from _ask(desk, task, title, _Outline, schema)
    if isinstance(asked, _Outline):
        sections = [
            SectionPlan(heading=_cut_heading(s.heading), about=first_words(s.about, ABOUT_WORDS))
            for s in _distinct(asked.sections, lambda one: one.heading)
            if _stands(desk, f"{s.heading}. {s.about}")
        ]
        if 2 * len(sections) > count:
            return Planned(Outline(title=_cut_heading(asked.title, 20) or title, sections=sections), "model")
        asked = "too little of what it said stands on the persona's writing"
    passages = _search(desk, title)
    of_documents = _of_documents(passages)
    others = [passage for passage in passages if passage not in of_documents]
    plans = [SectionPlan(heading=_heading(p), about=_first_sentence(p)) for p in [*of_documents, *others]]
    sections = _distinct(plans, lambda one: one.heading)[:count]
    return Planned(
        Outline(title=title, sections=sections or [SectionPlan(heading=_cut_heading(title))]), "rules", asked
    )


def _ask(
    desk: ChainDesk, task: str, about: str, wanted: type[Asked], schema: dict[str, Any]
) -> Generator[str, None, Asked | str]:
    """What the model says, held to a schema; in words why not, where it could not be had."""
    plan = desk.twin.plan_text(desk.brief, "write_chain", task, about, desk.linked)
    # Its passages' own form is no form of JSON; and an image in a title is taken out as ever.
    plan = plan.model_copy(update={"max_tokens": PLAN_TOKENS, "shape": None})
    sampling = Sampling(
        PLAN_TOKENS,
        min(desk.temperature, PLAN_TEMPERATURE),
        repetition_penalty=1.0,
        response_format=ResponseFormat(json.dumps(schema), wanted.__name__.strip("_").lower()),
    )
    try:
        text, writing = yield from unheard(desk.write(plan, sampling))
    except TwinError as error:
        if type(error) is not TwinError:  # nobody can write: the text itself would fail too
            raise
        return f"the engine holds no answer to a schema: {error.problem}"
    if writing.writers.finish_reason == "length":
        return "it came to no end"
    try:
        return wanted.model_validate_json(text)
    except ValidationError:
        return "it wrote no such JSON"


_TEXT = {"type": "string", "minLength": 3, "maxLength": 200}


def _listed(name: str, fields: tuple[str, ...], count: int) -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": dict.fromkeys(fields, _TEXT),
        "required": list(fields),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": item, "minItems": count, "maxItems": count}},
        "required": [name],
        "additionalProperties": False,
    }


def _search(desk: ChainDesk, about: str) -> list[Passage]:
    """Passages of the persona's own; none where the store is away, which `degraded` says then."""
    try:
        return desk.twin.retrieve(about, LOOKED_AT)
    except RetrievalUnavailable:
        if RETRIEVAL not in desk.degraded:
            desk.degraded.append(RETRIEVAL)
        return []


def _stands(desk: ChainDesk, about: str) -> bool:
    found = _search(desk, about)
    return bool(found) and found[0].similarity >= desk.thresholds.answerable


def _idea(title: str, why: str, passages: list[Passage]) -> Idea:
    return Idea(
        title=first_words(title, 40)[:500],
        why=why[:1000],
        passages=[cited(number, passage) for number, passage in enumerate(passages, start=1)],
    )


def _of_documents(passages: list[Passage]) -> list[Passage]:
    """The nearest passage of each document."""
    return list({passage.doc_id: passage for passage in reversed(passages)}.values())[::-1]


def _distinct(texts: list[Any], title: Any) -> list[Any]:
    """Those that say something else than the ones before them."""
    kept: list[Any] = []
    said: list[set[str]] = []
    for one in texts:
        words = set(terms(title(one)))
        if words and not any(len(words & before) >= SAME * min(len(words), len(before)) for before in said):
            kept.append(one)
            said.append(words)
    return kept


def _heading(passage: Passage) -> str:
    return _cut_heading(passage.heading or passage.title or passage.text)


def _cut_heading(text: str, words: int = HEADING_WORDS) -> str:
    return first_words(text, words).rstrip(".,:;")[:200] or "…"


def _first_sentence(passage: Passage) -> str:
    """Of its first paragraph, whose lines may be broken anywhere; headings are none."""
    paragraph = _HEADINGS.sub("", passage.text).strip().partition("\n\n")[0] or passage.text
    text = " ".join(paragraph.split())
    start, end = next(iter(sentences(text)), (0, len(text)))
    return first_words(text[start:end], ABOUT_WORDS, " …")
