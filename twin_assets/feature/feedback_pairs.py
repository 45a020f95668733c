"""Preference pairs from what people said of answers: an edit against the text that was edited, a liked answer against a
disliked one to the same request.

Kept apart from the author's verbatim pairs: a kind of their own, made only from texts that were given with consent,
only for a persona that says `learn_from_feedback`, and only those that a person has accepted.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from twin_assets.core.datasets import PreferenceRow
from twin_assets.core.hashing import text_hash
from twin_assets.core.lake import Lake
from twin_assets.core.privacy import scan
from twin_assets.core.records import Message, Record

MIN_WORDS = 8
# Of all pairs of a dataset version.
MAX_SHARE = 0.2


class Reaction(Record):
    """What a person said of an answer, as stored by the API. Texts are None without consent."""

    request_id: str
    time: datetime
    model: str
    thumb: Literal["up", "down"] | None = None
    consent: bool = False
    prompt: str | None = None
    answer: str | None = None
    edited: str | None = None


class FeedbackPair(Record):
    """A pair that waits for review, or was reviewed. `request_id` is that of the rejected answer."""

    pair_id: str
    request_id: str
    origin: Literal["edited", "thumbs"]
    time: datetime
    prompt: str
    chosen: str
    rejected: str
    consent: Literal[True] = True


class PairReview(Record):
    """A person's decision on a pair; the latest counts."""

    pair_id: str
    decision: Literal["accept", "reject"]
    reviewer: str
    reason: str
    at: datetime


class PairsFound(Record):
    """Pairs, oldest first, and how many reactions gave none, by reason."""

    pairs: list[FeedbackPair]
    dropped: dict[str, int]


def find_pairs(reactions: Sequence[Reaction]) -> PairsFound:
    """Every pair that the reactions give; the same reactions, the same pairs."""
    found: dict[str, FeedbackPair] = {}
    dropped: Counter[str] = Counter()
    by_prompt: dict[str, dict[str, Reaction]] = defaultdict(dict)
    for r in sorted(reactions, key=lambda r: (r.time, r.request_id)):
        if not r.consent or not r.prompt or not r.answer:
            dropped["no consent or no text"] += 1
            continue
        if r.edited:
            _take(found, dropped, _pair("edited", r, r.edited, r.answer))
        if r.thumb:
            by_prompt[" ".join(r.prompt.lower().split())][r.thumb] = r
    for thumbs in by_prompt.values():
        if len(thumbs) == 2:
            liked, disliked = thumbs["up"], thumbs["down"]
            _take(found, dropped, _pair("thumbs", disliked, liked.edited or liked.answer or "", disliked.answer or ""))  # fmt: skip
    return PairsFound(pairs=sorted(found.values(), key=lambda p: (p.time, p.pair_id)), dropped=dict(dropped))


def review_pair(lake: Lake, persona: str, review: PairReview) -> None:
    """Write a decision down, beside those before it."""
    lake.create(
        f"feedback_reviews/{persona}/{review.at:%Y%m%dT%H%M%S%f}-{review.pair_id}.json",
        review.model_dump_json().encode(),
    )


def pair_reviews(lake: Lake, persona: str) -> dict[str, PairReview]:
    """The latest decision on each pair, by its id."""
    keys = lake.keys(f"feedback_reviews/{persona}")
    return {r.pair_id: r for key in keys for r in [PairReview.model_validate_json(lake.read(key))]}


def accepted(pairs: Sequence[FeedbackPair], reviews: dict[str, PairReview]) -> list[FeedbackPair]:
    """Pairs whose latest review accepts them."""
    return [p for p in pairs if p.pair_id in reviews and reviews[p.pair_id].decision == "accept"]


def feedback_rows(
    pairs: Sequence[FeedbackPair], conversation: Callable[[FeedbackPair], list[Message] | None], others: int
) -> list[PreferenceRow]:
    """Training rows of kind `feedback`, at most MAX_SHARE beside `others` rows; which ones is decided by hash.

    `conversation` renders the request as it was served; None where that is no longer known, and the pair left out.
    """
    most = int(others * MAX_SHARE / (1 - MAX_SHARE))
    rows: list[PreferenceRow] = []
    for pair in sorted(pairs, key=lambda p: p.pair_id):
        asked = conversation(pair)
        if asked is None or len(rows) >= most:
            continue
        rows.append(
            PreferenceRow(
                row_id=feedback_row_id(pair), doc_id=None, task="feedback", kind="feedback",
                split="train", messages=asked, chosen=Message(role="assistant", content=pair.chosen),
                rejected=Message(role="assistant", content=pair.rejected),
            )
        )  # fmt: skip
    return rows


def feedback_row_id(pair: FeedbackPair) -> str:
    """The id of a pair's row in any dataset version."""
    return text_hash(f"feedback:{pair.pair_id}")


def _pair(origin: Literal["edited", "thumbs"], about: Reaction, chosen: str, rejected: str) -> FeedbackPair:
    assert about.prompt is not None
    chosen, rejected = chosen.strip(), rejected.strip()
    return FeedbackPair(
        pair_id=text_hash("\0".join([about.prompt, chosen, rejected])), request_id=about.request_id, origin=origin,
        time=about.time, prompt=about.prompt, chosen=chosen, rejected=rejected,
    )  # fmt: skip


def _take(found: dict[str, FeedbackPair], dropped: Counter[str], pair: FeedbackPair) -> None:
    if min(len(pair.chosen.split()), len(pair.rejected.split())) < MIN_WORDS:
        dropped["too short"] += 1
    elif pair.chosen == pair.rejected:
        dropped["nothing changed"] += 1
    elif scan(pair.chosen) or scan(pair.prompt):
        dropped["personal data or secrets"] += 1
    else:
        found[pair.pair_id] = pair
