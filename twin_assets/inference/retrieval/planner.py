"""A planner LLM: it says what to search, looks at what was found, and searches again.

The loop is plan, retrieve, reflect, and once more, as in self-reflective retrieval (Asai et al. 2023, Jiang et
al. 2023), with a bound on the steps. Any model that LiteLLM reaches will do; answers are held to a JSON
schema. When the model fails, retrieval goes on by rules: `PlannerFailed` never leaves this package.
"""

from datetime import UTC, date, datetime
from typing import Annotated, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from twin_assets.core.llm.client import ask
from twin_assets.core.llm.hosted import read_reply
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
        self._settings, self._persona, self.model = settings, persona, settings.planner_model

    def plan(self, question: str) -> ParsedQuery:
        """What to search for a question. Raises PlannerFailed."""
        persona = self._persona
        prompt = render(
            "serving/plan_search", full_name=persona.full_name, about=persona.about, question=strip_special_tokens(question),
            today=f"{datetime.now(UTC):%Y-%m-%d}", sources=", ".join(SOURCES), categories=", ".join(get_args(Category)),
        )  # fmt: skip
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
        settings, key = self._settings, self._settings.planner_api_key
        schema = {"name": shape.__name__, "schema": shape.model_json_schema(), "strict": True}
        from openai import OpenAIError  # the base of all that LiteLLM raises

        try:
            answer = ask(
                self.model, settings.planner_url, api_key=key.get_secret_value() if key else None,
                messages=[{"role": "user", "content": prompt}], max_tokens=settings.planner_max_tokens, temperature=0,
                response_format={"type": "json_schema", "json_schema": schema}, timeout=settings.planner_timeout,
            )  # fmt: skip
            reply = read_reply(answer)
            if reply.fault == "cut_off":
                raise PlannerFailed(
                    f"{self.model} was cut off at {settings.planner_max_tokens} tokens: raise TWIN_PLANNER_MAX_TOKENS"
                )
            return shape.model_validate_json(reply.text)
        except ValidationError as error:
            raise PlannerFailed(
                f"{self.model} did not keep to the schema ({error.error_count()} faults)"
            ) from None
        except OpenAIError as error:
            raise PlannerFailed(f"{self.model} did not answer ({type(error).__name__})") from None
        except PlannerFailed:
            raise
        except Exception as error:  # LiteLLM's parsers fail in as many ways as there are servers
            raise PlannerFailed(
                f"{self.model} gave an answer that can't be read ({type(error).__name__})"
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
