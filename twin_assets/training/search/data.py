"""The data that a search trains and measures on: the training side of a dataset version, split again.

The held-out side is for the evaluation alone: values chosen by it would make its verdict too kind.
"""

from pathlib import Path

from twin_assets.core.datasets.rows import Manifest
from twin_assets.core.datasets.store import read_rows
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.storage.lake import Lake

MEASURED_SHARE = 0.15  # of the documents; their rows are measured on, never trained on


def tuning_dataset(lake: Lake, manifest: Manifest, folder: Path) -> Manifest:
    """Write `train.jsonl` and `test.jsonl` to `folder`, split by document; the same version, the same split.

    Raises TwinError when the training side has rows of fewer than two documents.
    """
    rows = read_rows(lake, manifest.persona, manifest.kind, manifest.version, "train")
    documents = sorted({row.doc_id for row in rows}, key=lambda d: text_hash(f"{manifest.seed}/{d}"))
    measured = set(documents[: max(1, round(MEASURED_SHARE * len(documents)))])
    sides = {
        "train": [row for row in rows if row.doc_id not in measured],
        "test": [row for row in rows if row.doc_id in measured],
    }
    if not sides["train"]:
        raise TwinError(
            f"The {manifest.kind} dataset {manifest.version} of {manifest.persona} has rows of "
            f"{len(documents)} documents: too few to search on.",
            "collect more of the persona's writing.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for side, side_rows in sides.items():
        (folder / f"{side}.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in side_rows))
    counts = {side: len(side_rows) for side, side_rows in sides.items()}
    return manifest.model_copy(update={"version": f"{manifest.version}-tuning", "counts": counts})
