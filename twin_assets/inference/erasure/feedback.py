"""Erases what people said of answers: their reactions, the pairs made of them, and the rows of those in datasets."""

from collections.abc import Collection

from twin_assets.core.dataset_erasure import erase_rows, rows_that
from twin_assets.core.datasets import PreferenceRow, Row
from twin_assets.core.erased import add_erased, mark_done
from twin_assets.core.feedback import FOLDER as FEEDBACK
from twin_assets.core.feedback import read_reaction
from twin_assets.core.feedback_pairs import FOLDER as REVIEWS
from twin_assets.core.feedback_pairs import feedback_row_id, find_pairs
from twin_assets.core.lake import Lake
from twin_assets.core.records import Record
from twin_assets.core.registry import Registry
from twin_assets.settings import Settings


class ErasedFeedback(Record):
    """Reactions and pairs that are gone, rows of dataset versions, and the models that had learnt from those."""

    feedback: int = 0
    pairs: int = 0
    datasets: dict[str, int] = {}
    models: list[str] = []


def erase_feedback(settings: Settings, lake: Lake, persona: str, ids: Collection[str], key: str | None) -> ErasedFeedback:  # fmt: skip
    """Take out reactions to the requests `ids`, and with `key` all that this caller gave; and what was made of them.

    Datasets go first: as long as the reactions are there, an interrupted erasure finds the same rows again.
    """
    stored_reactions = (
        (stored, read_reaction(lake, stored)) for stored in lake.keys(f"{FEEDBACK}/{persona}")
    )
    said = {stored: one for stored, one in stored_reactions if one}
    gone = {stored: one for stored, one in said.items() if one.request_id in ids or (key and one.key == key)}
    if not gone:
        return ErasedFeedback()
    before = find_pairs(list(said.values())).pairs
    left = find_pairs([one for stored, one in said.items() if stored not in gone]).pairs
    texts = {text.strip() for one in gone.values() for text in (one.answer, one.edited) if text}
    still = {feedback_row_id(pair) for pair in left}

    def holds(row: Row) -> bool:
        """By its texts and not by its pair: which pairs there are changes with each new reaction."""
        if not isinstance(row, PreferenceRow) or row.kind != "feedback" or row.row_id in still:
            return False
        return not texts.isdisjoint((row.chosen.content, row.rejected.content))

    pairs = {pair.pair_id: pair for pair in before if pair.pair_id not in {one.pair_id for one in left}}
    # Also of the pairs that no version has yet: one may just be in the making.
    rows = rows_that(lake, persona, "preference", holds) | {feedback_row_id(pair) for pair in pairs.values()}
    entry = add_erased(lake, persona, rows=rows)
    datasets = erase_rows(lake, persona, "preference")
    if entry:
        mark_done(lake, entry)
    for stored in [k for k in lake.keys(f"{REVIEWS}/{persona}") if k.removesuffix(".json")[-16:] in pairs]:
        lake.delete(stored)
    for stored in gone:
        lake.delete(stored)
    return ErasedFeedback(
        feedback=len(gone),
        pairs=len(pairs),
        datasets=datasets,
        models=learnt_from(settings, persona, datasets),
    )


def learnt_from(settings: Settings, persona: str, versions: Collection[str]) -> list[str]:
    """Tags of the model versions that were trained on one of these dataset versions, themselves or by a parent."""
    if not versions:
        return []
    made = [v for v in Registry(settings).list() if v.lineage.persona == persona]
    return sorted(v.tag for v in made if not set(versions).isdisjoint(v.lineage.datasets.values()))
