"""Preference pairs from what people said of answers, and a person's decision on each: an edit against the text that was
edited, a liked answer against a disliked one to the same request. A thumb that has no other beside it is half a pair, which
only KTO learns from.

Made only from texts that were given with consent. The Dagster job and the web page both decide through
`decide_on_pairs`; `feature.feedback_rows` makes training rows of what was accepted.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from twin_assets.core.errors import TwinError
from twin_assets.core.feedback.store import Feedback, read_feedback
from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.records import Record, Visibility, most_closed
from twin_assets.core.release.approval import person
from twin_assets.core.release.callers import NOBODY
from twin_assets.core.release.ledger import ConflictError
from twin_assets.core.storage.lake import Lake
from twin_assets.core.text.privacy import scan
from twin_assets.core.text.words import count_words

FOLDER = "feedback_reviews"
MIN_WORDS = 8

PairChoice = Literal["accept", "reject"]


class FeedbackPair(Record):
    """A pair that waits for review, or was reviewed. `request_id` is that of the rejected answer; `given_by` who said
    so, as the request log names callers, and `audience` what they were shown. `answers` are the requests that its texts
    were written for; `brief` is what a piece of writing was asked for with. A single `thumb` has one text: `chosen` when it was
    up, `rejected` when it was down."""

    pair_id: str
    request_id: str
    origin: Literal["edited", "thumbs", "thumb"]
    time: datetime
    prompt: str
    chosen: str | None
    rejected: str | None
    given_by: str | None = None
    audience: Visibility = "public"
    answers: list[str] = []
    consent: Literal[True] = True
    brief: dict[str, Any] | None = None

    @property
    def texts(self) -> list[str]:
        """Both texts, or that of a single thumb."""
        return [text for text in (self.chosen, self.rejected) if text is not None]


def pair_visibility(pair: FeedbackPair, requests: Mapping[str, Visibility]) -> Visibility:
    """As closed as the answers it is about, by the `visibility` of logged requests; where the log doesn't know one, as
    what its giver was shown."""
    return most_closed(requests.get(i, pair.audience) for i in [pair.request_id, *pair.answers])


class PairReview(Record):
    """A person's decision on a pair; the latest counts. `reviewer` is the name that they gave, `caller` what they were
    authenticated as; None in reviews written before there was this field."""

    pair_id: str
    decision: PairChoice
    reviewer: str
    reason: str
    at: datetime
    caller: str | None = None


class PairsFound(Record):
    """Pairs, oldest first, and how many reactions gave none, by reason."""

    pairs: list[FeedbackPair]
    dropped: dict[str, int]


def find_pairs(reactions: Sequence[Feedback]) -> PairsFound:
    """Every pair that the reactions give; the same reactions, the same pairs.

    A person's last thumb on an answer counts. A thumb is single where nobody has thumbed another way at an answer to the same
    request, and nobody has edited its answer: that pair says more.
    """
    pairs: dict[str, FeedbackPair] = {}
    dropped: Counter[str] = Counter()
    thumbed: dict[tuple[str, str | None], Feedback] = {}
    edited: set[str] = set()
    for r in sorted(reactions, key=lambda r: (r.time, r.request_id)):
        if not r.consent or not r.prompt or not r.answer:
            dropped["no consent or no text"] += 1
            continue
        if r.edited:
            _take(pairs, dropped, _pair("edited", r, r, r.edited, r.answer))
            edited.add(r.request_id)
        if r.thumb:
            thumbed.pop((r.request_id, r.key), None)
            thumbed[r.request_id, r.key] = r
    by_request: dict[tuple[str, str], list[Feedback]] = defaultdict(list)
    for r in thumbed.values():
        by_request[" ".join((r.prompt or "").lower().split()), fingerprint(r.brief)].append(r)
    for said in by_request.values():
        thumbs = {r.thumb: r for r in said}
        if len(thumbs) == 1:
            for r in said:
                if r.request_id not in edited:
                    up = r.thumb == "up"
                    _take(
                        pairs,
                        dropped,
                        _pair("thumb", r, r, r.answer if up else None, None if up else r.answer),
                    )
        else:
            liked, disliked = thumbs["up"], thumbs["down"]
            _take(
                pairs,
                dropped,
                _pair("thumbs", disliked, liked, liked.edited or liked.answer or "", disliked.answer or ""),
            )
    return PairsFound(pairs=sorted(pairs.values(), key=lambda p: (p.time, p.pair_id)), dropped=dict(dropped))


def stored_pairs(lake: Lake, persona: str) -> PairsFound:
    """The pairs that the stored reactions give."""
    return find_pairs(read_feedback(lake, persona))


def decide_on_pairs(
    lake: Lake,
    persona: str,
    choices: Mapping[str, PairChoice],
    reviewer: str,
    reason: str,
    seen: Mapping[str, datetime | None] | None = None,
    caller: str = NOBODY,
) -> list[PairReview]:
    """Write a person's decisions down, beside those before them; by pair id.

    `seen` says of when the last decision was that the person saw of a pair, None for none. Writes nothing, and raises
    ConflictError when there is another by now, TwinError on an id without a pair or a review without name or reason.
    """
    who, why = person(reviewer), reason.strip()
    if not who or not why:
        raise TwinError("A review needs a reviewer and a reason.", "give both.")
    pair_ids = {pair.pair_id for pair in stored_pairs(lake, persona).pairs}
    if unknown := sorted(choices.keys() - pair_ids):
        raise TwinError(
            f"{persona} has no feedback pairs {', '.join(unknown)}.",
            "take ids from the page's Review, or from the asset feedback_pairs.",
        )
    reviews = pair_reviews(lake, persona)
    for pair_id, at in (seen or {}).items():
        last = reviews.get(pair_id)
        if (last.at if last else None) != at:
            told = f"{last.reviewer} has said {last.decision}" if last else "its decision is gone"
            raise ConflictError(f"Pair {pair_id} was decided on meanwhile: {told}.", "look at it again.")
    now = datetime.now(UTC)
    decided = [
        PairReview(
            pair_id=pair_id,
            decision=choice,
            reviewer=who,
            reason=why,
            at=_after(reviews.get(pair_id), now),
            caller=caller,
        )
        for pair_id, choice in choices.items()
    ]
    for review in decided:
        review_pair(lake, persona, review)
    return decided


def _after(last: PairReview | None, now: datetime) -> datetime:
    """When a decision counts as made: after the last, whose machine's clock may be ahead of this one's."""
    return max(now, last.at + timedelta(microseconds=1)) if last else now


def review_pair(lake: Lake, persona: str, review: PairReview) -> None:
    """Write one decision down; nothing is checked."""
    lake.create(
        f"{FOLDER}/{persona}/{review.at:%Y%m%dT%H%M%S%f}-{review.pair_id}.json",
        review.model_dump_json().encode(),
    )


def pair_reviews(lake: Lake, persona: str) -> dict[str, PairReview]:
    """The latest decision on each pair, by its id."""
    keys = lake.keys(f"{FOLDER}/{persona}")
    return {r.pair_id: r for key in keys for r in [PairReview.model_validate_json(lake.read(key))]}


def accepted(pairs: Sequence[FeedbackPair], reviews: Mapping[str, PairReview]) -> list[FeedbackPair]:
    """Pairs whose latest review accepts them."""
    return [p for p in pairs if p.pair_id in reviews and reviews[p.pair_id].decision == "accept"]


def feedback_row_id(pair: FeedbackPair) -> str:
    """The id of a pair's row in any dataset version."""
    return text_hash(f"feedback:{pair.pair_id}")


def _pair(
    origin: Literal["edited", "thumbs", "thumb"],
    about: Feedback,
    better: Feedback,
    chosen: str | None,
    rejected: str | None,
) -> FeedbackPair:
    assert about.prompt is not None
    chosen, rejected = chosen and chosen.strip(), rejected and rejected.strip()
    # A thumb is of its request alone: where two people liked the same words, each can be erased without the other.
    parts = [about.prompt, chosen or "", rejected or "", *([about.request_id] if origin == "thumb" else [])]
    return FeedbackPair(
        pair_id=text_hash("\0".join(parts)),
        request_id=about.request_id,
        origin=origin,
        time=about.time,
        prompt=about.prompt,
        chosen=chosen,
        rejected=rejected,
        given_by=about.key,
        audience=most_closed([about.audience, better.audience]),
        answers=[better.request_id],
        brief=about.brief,
    )


def _take(pairs: dict[str, FeedbackPair], dropped: Counter[str], pair: FeedbackPair) -> None:
    if min(map(count_words, pair.texts)) < MIN_WORDS:
        dropped["too short"] += 1
    elif pair.chosen == pair.rejected:
        dropped["nothing changed"] += 1
    elif scan(pair.texts[0]) or scan(pair.prompt):
        dropped["personal data or secrets"] += 1
    else:
        pairs[pair.pair_id] = pair
