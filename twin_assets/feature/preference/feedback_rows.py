"""Training rows of accepted feedback pairs (`core.feedback_pairs`).

Kept apart from the author's verbatim pairs: a kind of their own, only for a persona that says `learn_from_feedback`, only
what a person has accepted, and up to a share.
"""

from collections.abc import Callable, Sequence
from itertools import islice

from twin_assets.core.datasets.rows import PreferenceRow, ThumbRow
from twin_assets.core.feedback.pairs import FeedbackPair, feedback_row_id
from twin_assets.core.records import Message, Visibility

# Of all pairs of a dataset version.
MAX_SHARE = 0.2


def feedback_rows(
    pairs: Sequence[FeedbackPair],
    conversation: Callable[[FeedbackPair], list[Message] | None],
    others: int,
    visibility: Callable[[FeedbackPair], Visibility] = lambda pair: "public",
) -> list[PreferenceRow]:
    """Training rows of kind `feedback`, at most MAX_SHARE beside `others` rows; which ones is decided by hash.

    `conversation` renders the request as it was served; None where that is no longer known, and the pair left out.
    `visibility` says who may see a pair.
    """
    return [
        PreferenceRow(
            row_id=feedback_row_id(pair),
            doc_id=None,
            task="feedback",
            kind="feedback",
            split="train",
            messages=turns,
            chosen=Message(role="assistant", content=pair.chosen),
            rejected=Message(role="assistant", content=pair.rejected),
            visibility=visibility(pair),
        )
        for pair, turns in _share(pairs, conversation, others)
        if pair.chosen is not None and pair.rejected is not None
    ]


def thumb_rows(
    thumbs: Sequence[FeedbackPair],
    conversation: Callable[[FeedbackPair], list[Message] | None],
    others: int,
    visibility: Callable[[FeedbackPair], Visibility] = lambda pair: "public",
) -> list[ThumbRow]:
    """Rows of single thumbs, which KTO alone learns from, at most MAX_SHARE beside `others` texts; otherwise as `feedback_rows`."""
    return [
        ThumbRow(
            row_id=feedback_row_id(thumb),
            task="feedback",
            messages=turns,
            completion=Message(role="assistant", content=text),
            label=thumb.chosen is not None,
            request_id=thumb.request_id,
            visibility=visibility(thumb),
        )
        for thumb, turns in _share(thumbs, conversation, others)
        for text in thumb.texts
    ]


def _share(
    pairs: Sequence[FeedbackPair], conversation: Callable[[FeedbackPair], list[Message] | None], others: int
) -> list[tuple[FeedbackPair, list[Message]]]:
    """Pairs with their prompts, as many as may stand beside so many others."""
    most = int(others * MAX_SHARE / (1 - MAX_SHARE))
    asked = ((pair, conversation(pair)) for pair in sorted(pairs, key=lambda p: p.pair_id))
    return list(islice(((pair, turns) for pair, turns in asked if turns is not None), most))
