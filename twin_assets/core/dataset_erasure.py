"""Rows that are taken out of stored dataset versions, because whoever gave their texts asked for it.

The one way in which a version changes. It keeps its name, so that what was trained from it can still be told, and
says what is missing: in `erased.json` and on its card. Such a version can't be rebuilt from.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime

from twin_assets.core.datasets import Kind, PreferenceRow, dataset_folder
from twin_assets.core.lake import ERASED_NOTE, Lake
from twin_assets.core.records import Record

_MARK = "\n**Erased.** "


class ErasedRows(Record):
    """What a version has lost: ids of rows, and when the last of them went (UTC)."""

    rows: list[str]
    at: datetime


def erased_rows(lake: Lake, persona: str, kind: Kind, version: str) -> ErasedRows | None:
    """What was taken out of a version; None for nothing."""
    try:
        note = lake.read(f"{dataset_folder(persona, kind, version)}/{ERASED_NOTE}")
    except KeyError:
        return None
    return ErasedRows.model_validate_json(note)


def erase_feedback_rows(lake: Lake, persona: str, gone: Callable[[PreferenceRow], bool]) -> dict[str, int]:
    """Take the rows of kind `feedback` that are `gone` out of every version, its subsets too; how many, by version.

    The note is written before the files are, so that an interrupted erasure never hides; asking again finishes it.
    """
    erased: dict[str, int] = {}
    for version, keys in _files(lake, persona).items():
        kept: dict[str, bytes] = {}
        lost: set[str] = set()
        for key in keys:
            lines = lake.read(key).split(b"\n")
            out = {i: row.row_id for i, line in enumerate(lines) if (row := _feedback(line)) and gone(row)}
            if out:
                kept[key] = b"\n".join(line for i, line in enumerate(lines) if i not in out)
                lost |= set(out.values())
        if lost:
            _say(lake, persona, version, lost)
            for key, data in kept.items():
                lake.write(key, data)
            erased[version] = len(lost)
    return erased


def _files(lake: Lake, persona: str) -> dict[str, list[str]]:
    """Files with rows by version, those of versions that were never finished too."""
    found: dict[str, list[str]] = {}
    for key in lake.keys(f"datasets/{persona}/preference"):
        if key.endswith(".jsonl"):
            found.setdefault(key.split("/")[3], []).append(key)
    return found


def _feedback(line: bytes) -> PreferenceRow | None:
    if not line or json.loads(line).get("kind") != "feedback":
        return None
    return PreferenceRow.model_validate_json(line)


def _say(lake: Lake, persona: str, version: str, lost: set[str]) -> None:
    folder, before = (
        dataset_folder(persona, "preference", version),
        erased_rows(lake, persona, "preference", version),
    )
    note = ErasedRows(rows=sorted(lost.union(before.rows if before else ())), at=datetime.now(UTC))
    lake.write(f"{folder}/{ERASED_NOTE}", note.model_dump_json().encode())
    if lake.exists(f"{folder}/README.md"):
        card = lake.read(f"{folder}/README.md").decode().split(_MARK)[0]
        told = f"{len(note.rows)} rows were taken out of this version by {note.at:%Y-%m-%d}; the counts above include them."
        lake.write(f"{folder}/README.md", f"{card}{_MARK}{told}\n".encode())
