"""Data of the view Review: pairs made of feedback, and a person's decision on each."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BeforeValidator, Field

from serving.access.dependencies import Asker, Config, PersonaName
from serving.access.needs import needs
from serving.protocol import RequestBody
from twin_assets.core.feedback.pairs import (
    FeedbackPair,
    PairChoice,
    PairReview,
    decide_on_pairs,
    pair_reviews,
    pair_visibility,
    stored_pairs,
)
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.storage.lake import open_lake
from twin_assets.inference.twin.request_log import iter_requests

SHOWN = 20

router = APIRouter()


def _written_out(given: Any) -> Any:
    if not isinstance(given, str):
        raise ValueError("a time is written out, as 2025-01-31T12:00:00Z")
    return given


class PairDecision(RequestBody):
    """A person's decision on one pair. `seen` is the time of the decision that the page showed, None for none."""

    pair_id: str = Field(max_length=64)
    decision: PairChoice
    reviewer: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=2000)
    seen: Annotated[datetime, BeforeValidator(_written_out), Field(strict=False)] | None = None


@router.get("/ui/api/{persona}/feedback-pairs")
@needs("admin")
def pairs(persona: PersonaName, settings: Config, asker: Asker) -> dict[str, Any]:
    """Of the pairs that the caller may see the oldest that wait and the latest that were decided on, with the number of
    each; and whether the persona learns from accepted ones."""
    lake = open_lake(settings)
    stored, reviews = stored_pairs(lake, persona), pair_reviews(lake, persona)
    request_ids = {i for p in stored.pairs for i in (p.request_id, *p.answers)}
    visibilities = (
        {r.request_id: r.visibility for r in iter_requests(lake, persona) if r.request_id in request_ids}
        if request_ids
        else {}
    )
    seen = [p for p in stored.pairs if asker.may_see(pair_visibility(p, visibilities))]
    waiting = [p for p in seen if p.pair_id not in reviews]
    decided = [p for p in seen if p.pair_id in reviews]
    decided.sort(key=lambda p: reviews[p.pair_id].at, reverse=True)

    def shown(some: list[FeedbackPair]) -> list[dict[str, Any]]:
        return [p.model_dump() | {"review": reviews.get(p.pair_id)} for p in some[:SHOWN]]

    return {
        "learns": load_persona(settings.personas_dir, persona).learn_from_feedback,
        "waiting": len(waiting),
        "decided": len(decided),
        "pairs": [*shown(waiting), *shown(decided)],
        "no_pair": stored.dropped,
    }


@router.post("/ui/api/{persona}/feedback-pairs")
@needs("admin")
def decide(persona: PersonaName, given: PairDecision, settings: Config, asker: Asker) -> PairReview:
    """Accept or reject one pair; 409 when someone else has decided since the page was read."""
    [review] = decide_on_pairs(
        open_lake(settings),
        persona,
        {given.pair_id: given.decision},
        given.reviewer,
        given.reason,
        {given.pair_id: given.seen},
        asker.authenticated,
    )
    return review
