"""Training rows of accepted feedback pairs (`core.feedback_pairs`).

Kept apart from the author's verbatim pairs: a kind of their own, only for a persona that says `learn_from_feedback`, only
what a person has accepted, and up to a share.
"""

from collections.abc import Callable, Sequence

from twin_assets.core.datasets.rows import PreferenceRow
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
    most = int(others * MAX_SHARE / (1 - MAX_SHARE))
    rows: list[PreferenceRow] = []
    for pair in sorted(pairs, key=lambda p: p.pair_id):
        turns = conversation(pair)
        if turns is None or len(rows) >= most:
            continue
        rows.append(
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
        )
    return rows
