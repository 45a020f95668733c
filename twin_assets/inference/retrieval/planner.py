"""A planner LLM: it says what to search, looks at what was found, and searches again.

The loop is plan, retrieve, reflect, and once more, as in self-reflective retrieval (Asai et al. 2023, Jiang et
al. 2023), with a bound on the steps. Any model that LiteLLM reaches will do; answers are held to a JSON
schema. When the model fails, retrieval goes on by rules: `PlannerFailed` never leaves this package.
"""

from datetime import UTC, date, datetime
from typing import Annotated, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.llm.hosted import HostedModel, read_reply
from twin_assets.core.persona.definition import SOURCES, Persona
from twin_assets.core.prompts.templates import format_passages, render, shown_passages, strip_special_tokens
from twin_assets.core.records import Category, Passage
from twin_assets.core.vectors.base import Filters
from twin_assets.inference.retrieval.understand import ParsedQuery
from twin_assets.settings import Settings

# What of a passage the planner sees: enough to judge it, little enough to be quick.
SEEN_TOKENS = 200


def _known(source: str) -> str:
    if source not in SOURCES:
        raise ValueError(f"there is no source {source!r}")
    return source


SourceName = Annotated[str, AfterValidator(_known)]
Query = Annotated[str, Field(min_length=2, max_length=300)]


class PlannerFailed(Exception):
    """The planner gave no answer that can be used; the message says why, without secrets."""


class SearchPlan(BaseModel):
    """What the planner says of a question."""

    model_config = ConfigDict(extra="forbid")

    needed: bool
    queries: Annotated[list[Query], Field(max_length=3)]
    sources: list[SourceName]
    categories: list[Category]
    published_from: date | None
    published_until: date | None


class Reflection(BaseModel):
    """What the planner says of the passages found."""

    model_config = ConfigDict(extra="forbid")

    enough: bool
    missing: str
    queries: Annotated[list[Query], Field(max_length=2)]


A = TypeVar("A", bound=BaseModel)


class Planner:
    """One planner model for one persona."""

    def __init__(self, settings: Settings, persona: Persona) -> None:
        if settings.planner_model is None:
            raise ValueError("no planner model is set")
        self._hosted, self._max_tokens = HostedModel(settings, "planner"), settings.planner_max_tokens
        self._persona, self.model = persona, self._hosted.model

    def plan(self, question: str) -> ParsedQuery:
        """What to search for a question. Raises PlannerFailed."""
        persona = self._persona
        prompt = render(
            "serving/plan_search",
            full_name=persona.full_name,
            about=persona.about,
            question=strip_special_tokens(question),
            today=f"{datetime.now(UTC):%Y-%m-%d}",
            sources=", ".join(SOURCES),
            categories=", ".join(get_args(Category)),
        )
        plan = self._ask(prompt, SearchPlan)
        return ParsedQuery(
            needed=plan.needed,
            queries=list(dict.fromkeys([question, *plan.queries])) if plan.needed else [],
            filters=_filters(plan),
        )

    def reflect(self, question: str, passages: list[Passage]) -> Reflection:
        """Whether the passages answer the question, and what else to search. Raises PlannerFailed."""
        shown = format_passages(shown_passages(passages, SEEN_TOKENS)) or "none were found"
        return self._ask(
            render("serving/reflect_search", question=strip_special_tokens(question), passages=shown),
            Reflection,
        )

    def _ask(self, prompt: str, shape: type[A]) -> A:
        schema = {"name": shape.__name__, "schema": shape.model_json_schema(), "strict": True}
        response_format = {"type": "json_schema", "json_schema": schema}
        try:
            answer = self._hosted.complete(
                prompt, self._max_tokens, 0, attempts=1, response_format=response_format
            )
        except TwinError as error:
            raise PlannerFailed(f"{self.model}: {error.problem}") from None
        if answer is None:
            raise PlannerFailed(f"{self.model} is busy or ill")
        reply = read_reply(answer)
        if reply.fault == "cut_off":
            raise PlannerFailed(
                f"{self.model} was cut off at {self._max_tokens} tokens: {self._hosted.max_tokens_fix()}"
            )
        try:
            return shape.model_validate_json(reply.text)
        except ValidationError as error:
            raise PlannerFailed(
                f"{self.model} did not keep to the schema ({error.error_count()} faults)"
            ) from None


def _filters(plan: SearchPlan) -> Filters:
    filters: Filters = {}
    if plan.sources:
        filters["source"] = list(plan.sources)
    if plan.categories:
        filters["category"] = list(plan.categories)
    for name, day in (("published_from", plan.published_from), ("published_until", plan.published_until)):
        if day is not None:
            filters[name] = datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()
    return filters
