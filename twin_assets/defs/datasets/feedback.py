"""Feedback: pairs from what people said of answers wait here for a person; what is accepted may go into a dataset."""

from collections.abc import Callable
from typing import TypeVar

import dagster as dg

from twin_assets.core.datasets.rows import PreferenceRow, ThumbRow
from twin_assets.core.feedback.pairs import (
    FeedbackPair,
    PairChoice,
    accepted,
    decide_on_pairs,
    pair_reviews,
    pair_visibility,
    stored_pairs,
)
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import Message, Passage, Visibility, most_closed
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.defs.run_coordinator import caller_of
from twin_assets.defs.shared.common import MONITORING, OWNERS, READS_OUTSIDE, personas
from twin_assets.defs.shared.metadata import bar_table, sample_table
from twin_assets.defs.shared.resources import Platform
from twin_assets.feature.preference.feedback_rows import feedback_rows, thumb_rows
from twin_assets.inference.links.read import is_linked
from twin_assets.inference.retrieval.compress import compress
from twin_assets.inference.twin.answer import answer_task
from twin_assets.inference.twin.answer import conversation as served_conversation
from twin_assets.inference.twin.brief import Brief
from twin_assets.inference.twin.request_log import RequestRecord, read_requests

SHOWN_PAIRS = 50
Made = TypeVar("Made", bound=PreferenceRow | ThumbRow)


@dg.asset(
    partitions_def=personas,
    group_name=MONITORING,
    owners=OWNERS,
    kinds={"python"},
    tags=READS_OUTSIDE,
    code_version="3",
)
def feedback_pairs(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[None]:
    """Edits and thumbs as pairs, each with its decision. The page's Review, or the job `review_feedback`, accepts and
    rejects them. Their texts are shown on the page and kept nowhere else, so that an erasure reaches them."""
    persona = platform.persona(context.partition_key)
    stored = stored_pairs(platform.lake, persona.name)
    reviews = pair_reviews(platform.lake, persona.name)
    waiting = [p for p in stored.pairs if p.pair_id not in reviews]
    return dg.MaterializeResult(
        metadata={
            "used_in_training": persona.learn_from_feedback,
            "pairs": len(stored.pairs),
            "accepted": len(accepted(stored.pairs, reviews)),
            "rejected": sum(r.decision == "reject" for r in reviews.values()),
            "waiting": len(waiting),
            "to_review": sample_table(
                waiting, ["pair_id", "origin", "time", "given_by", "request_id"], n=SHOWN_PAIRS
            ),
            "no_pair": bar_table(stored.dropped, "reason"),
        },
    )


class ReviewedPairs(dg.Config):
    """A person's decisions, by the ids that the metadata of `feedback_pairs` shows."""

    persona: str
    reviewer: str
    reason: str
    accept: list[str] = []
    reject: list[str] = []


@dg.op(name="decide_on_pairs")
def decide_on_feedback(context: dg.OpExecutionContext, config: ReviewedPairs, platform: Platform) -> None:
    """Write down what was accepted and rejected. Fails, and writes nothing, on an id that there is no pair for."""
    choices: dict[str, PairChoice] = dict.fromkeys(config.accept, "accept")
    choices |= dict.fromkeys(config.reject, "reject")
    decide_on_pairs(
        platform.lake,
        platform.persona(config.persona).name,
        choices,
        config.reviewer,
        config.reason,
        caller=caller_of(context),
    )
    context.log.info(f"{config.reviewer}: {len(config.accept)} accepted, {len(config.reject)} rejected")


@dg.job(description="A person accepts or rejects pairs made of feedback; accepted ones may be learnt from.")
def review_feedback() -> None:
    decide_on_feedback()


def accepted_pairs(platform: Platform, persona: str) -> list[FeedbackPair]:
    """Pairs that a person accepted, single thumbs among them; none where the persona doesn't learn from feedback."""
    if not platform.persona(persona).learn_from_feedback:
        return []
    return accepted(stored_pairs(platform.lake, persona).pairs, pair_reviews(platform.lake, persona))


def accepted_rows(platform: Platform, persona: Persona, others: int) -> list[PreferenceRow]:
    """Rows of accepted pairs, asked as the service asked: the same task with the passages that the request had. Left out
    are pairs that are more closed than the persona learns from, and those whose request can't be put together again."""
    pairs = [pair for pair in accepted_pairs(platform, persona.name) if pair.origin != "thumb"]
    return _rows(platform, persona, pairs, others, feedback_rows) if pairs else []


def accepted_thumbs(platform: Platform, persona: Persona, others: int) -> list[ThumbRow]:
    """The same of single thumbs beside so many texts; none where another method than KTO is set, which has no use for them."""
    if platform.settings.preference_method != "kto":
        return []
    thumbs = [pair for pair in accepted_pairs(platform, persona.name) if pair.origin == "thumb"]
    return _rows(platform, persona, thumbs, others, thumb_rows) if thumbs else []


def _rows(
    platform: Platform,
    persona: Persona,
    pairs: list[FeedbackPair],
    others: int,
    made: Callable[..., list[Made]],
) -> list[Made]:
    logged = read_requests(platform.lake, persona.name)
    requests, by_caller = {r.request_id: r for r in logged}, {(r.request_id, r.key): r for r in logged}
    chunks = FeatureStore(platform.lake).read("chunks", persona.name)
    passages = {c.chunk_id: Passage(**c.model_dump(), score=0.0) for c in chunks}

    def conversation(pair: FeedbackPair) -> list[Message] | None:
        request = by_caller.get((pair.request_id, pair.given_by))
        return _served(platform, persona, request, pair, passages) if request else None

    def visibility(pair: FeedbackPair) -> Visibility:
        """Passages may have been closed since."""
        visibilities = {i: r.visibility for i in (pair.request_id, *pair.answers) if (r := requests.get(i))}
        chunk_ids = [i for key in visibilities for i in requests[key].retrieved if i in passages]
        return most_closed(
            [pair_visibility(pair, visibilities), *(passages[i].visibility for i in chunk_ids)]
        )

    learnt = [p for p in pairs if persona.may_learn(visibility(p))]
    return made(learnt, conversation, others, visibility)


def _served(
    platform: Platform,
    persona: Persona,
    request: RequestRecord,
    pair: FeedbackPair,
    passages: dict[str, Passage],
) -> list[Message] | None:
    """The request as the service put it; None where it leant on a linked page, which is not kept, or where what a piece
    of writing was asked for with is not known."""
    if any(map(is_linked, request.retrieved)):
        return None
    shown, profile = [passages[i] for i in request.retrieved if i in passages], platform.profile
    if request.kind == "write":
        if pair.brief is None:
            return None
        return served_conversation(persona, profile, Brief(**pair.brief).task(), shown)
    if persona.retrieval.compress:
        shown = compress(pair.prompt, shown, profile.passage_tokens, platform.embedder)
    return served_conversation(persona, profile, answer_task(pair.prompt), shown)
