"""Erases what people said of answers: their reactions, the pairs made of them, and the rows of those in datasets."""

from collections.abc import Collection

from twin_assets.core.dataset_erasure import erase_feedback_rows
from twin_assets.core.datasets import PreferenceRow
from twin_assets.core.feedback import FOLDER as FEEDBACK
from twin_assets.core.feedback import Feedback
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
    said = {
        stored: Feedback.model_validate_json(lake.read(stored))
        for stored in lake.keys(f"{FEEDBACK}/{persona}")
    }
    gone = {stored: one for stored, one in said.items() if one.request_id in ids or (key and one.key == key)}
    if not gone:
        return ErasedFeedback()
    before = {pair.pair_id for pair in find_pairs(list(said.values())).pairs}
    left = find_pairs([one for stored, one in said.items() if stored not in gone]).pairs
    texts = {text.strip() for one in gone.values() for text in (one.answer, one.edited) if text}
    still = {feedback_row_id(pair) for pair in left}

    def holds(row: PreferenceRow) -> bool:
        """By its texts and not by its pair: which pairs there are changes with each new reaction."""
        return row.row_id not in still and not texts.isdisjoint((row.chosen.content, row.rejected.content))

    datasets = erase_feedback_rows(lake, persona, holds)
    pairs = before - {pair.pair_id for pair in left}
    for stored in [k for k in lake.keys(f"{REVIEWS}/{persona}") if k.removesuffix(".json")[-16:] in pairs]:
        lake.delete(stored)
    for stored in gone:
        lake.delete(stored)
    return ErasedFeedback(
        feedback=len(gone),
        pairs=len(pairs),
        datasets=datasets,
        models=_learnt_from(settings, persona, datasets),
    )


def _learnt_from(settings: Settings, persona: str, versions: Collection[str]) -> list[str]:
    if not versions:
        return []
    made = [v for v in Registry(settings).list() if v.lineage.persona == persona]
    return sorted(v.tag for v in made if v.lineage.datasets.get("preference") in versions)
