"""Erases what people said of answers: their reactions, the pairs made of them, and the rows of those in datasets."""

from collections.abc import Mapping

from twin_assets.core.datasets.erasure import erase_rows, rows_that
from twin_assets.core.datasets.rows import PreferenceRow, StoredRow, ThumbRow
from twin_assets.core.feedback.pairs import FOLDER as REVIEWS
from twin_assets.core.feedback.pairs import FeedbackPair, feedback_row_id, find_pairs
from twin_assets.core.feedback.store import FOLDER as FEEDBACK
from twin_assets.core.feedback.store import Feedback, read_reaction
from twin_assets.core.storage.erased import add_erased, mark_done
from twin_assets.monitoring.erasure.requests import RequestErasure


def from_datasets(erasure: RequestErasure) -> int:
    """Before the reactions: as long as those are there, an interrupted erasure finds the same rows again."""
    said, gone = _reactions(erasure)
    if not gone:
        return 0
    pairs, left = _pairs(said, gone)
    texts = {text.strip() for one in gone.values() for text in (one.answer, one.edited) if text}
    still = {feedback_row_id(pair) for pair in left}

    def holds(row: StoredRow) -> bool:
        """By its texts and not by its pair: which pairs there are changes with each new reaction."""
        if row.row_id in still:
            return False
        if isinstance(row, ThumbRow):
            return row.completion.content in texts
        if not isinstance(row, PreferenceRow) or row.kind != "feedback":
            return False
        return not texts.isdisjoint((row.chosen.content, row.rejected.content))

    lake, persona = erasure.lake, erasure.persona
    # Also of the pairs that no version has yet: one may just be in the making.
    rows = rows_that(lake, persona, "preference", holds) | {feedback_row_id(pair) for pair in pairs.values()}
    entry = add_erased(lake, persona, rows=rows)
    erasure.datasets |= erase_rows(lake, persona, "preference")
    if entry:
        mark_done(lake, entry)
    return sum(erasure.datasets.values())


def from_reactions(erasure: RequestErasure) -> int:
    """Reactions to the requests, and with `key` all that this caller gave; reviews of the pairs that were made of them."""
    said, gone = _reactions(erasure)
    pairs = _pairs(said, gone)[0] if gone else {}
    for stored in list(erasure.lake.keys(f"{REVIEWS}/{erasure.persona}")):
        if stored.removesuffix(".json")[-16:] in pairs:
            erasure.lake.delete(stored)
    for stored in gone:
        erasure.lake.delete(stored)
    erasure.pairs += len(pairs)
    return len(gone)


def _reactions(erasure: RequestErasure) -> tuple[dict[str, Feedback], dict[str, Feedback]]:
    """All reactions that are stored, by their place, and those that go."""
    keys = list(erasure.lake.keys(f"{FEEDBACK}/{erasure.persona}"))
    said = {key: one for key in keys if (one := read_reaction(erasure.lake, key))}
    key = erasure.key
    return said, {at: r for at, r in said.items() if r.request_id in erasure.ids or (key and r.key == key)}


def _pairs(
    said: Mapping[str, Feedback], gone: Mapping[str, Feedback]
) -> tuple[dict[str, FeedbackPair], list[FeedbackPair]]:
    """The pairs that go with those reactions, by id, and those that are left."""
    left = find_pairs([one for stored, one in said.items() if stored not in gone]).pairs
    stay = {pair.pair_id for pair in left}
    return {p.pair_id: p for p in find_pairs(list(said.values())).pairs if p.pair_id not in stay}, left
