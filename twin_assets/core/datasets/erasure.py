"""Rows that are taken out of stored dataset versions, because whoever gave their texts asked for it.

The one way in which a version changes. It keeps its name, so that what was trained from it can still be told, and
says what is missing: in `erased.json` and on its card. Such a version can't be rebuilt from.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime

from twin_assets.core.datasets.rows import (
    THUMBS,
    InstructRow,
    Kind,
    PreferenceRow,
    StoredRow,
    ThumbRow,
    dataset_folder,
)
from twin_assets.core.records import Record
from twin_assets.core.storage.erased import ErasedList, settle
from twin_assets.core.storage.lake import ERASED_NOTE, Lake

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


def rows_that(lake: Lake, persona: str, kind: Kind, gone: Callable[[StoredRow], bool]) -> set[str]:
    """Ids of the rows that are `gone`, in any version of this kind, its subsets and unfinished ones too."""
    files = (key for keys in _files(lake, persona, kind).values() for key in keys)
    return {
        row.row_id
        for key in files
        for line in _lines(lake, key)
        if line and gone(row := _row(kind, key, line))
    }


def erase_rows(lake: Lake, persona: str, kind: Kind) -> dict[str, int]:
    """Take what is on the list of erased rows out of every version of this kind; how many rows, by version.

    The note is written before the files are, so that an interrupted erasure never hides; asking again finishes it.
    """
    erased: dict[str, int] = {}
    settle(lake, persona, lambda listed: _take_out(lake, persona, kind, listed, erased))
    return erased


def _take_out(lake: Lake, persona: str, kind: Kind, listed: ErasedList, erased: dict[str, int]) -> int:
    for version, keys in _files(lake, persona, kind).items():
        lost = {
            row_id for key in keys for line in _lines(lake, key) if (row_id := _id_if_listed(line, listed))
        }
        if lost:
            _say(lake, persona, kind, version, lost)
            for key in keys:
                lake.update(key, lambda data: _without(data, listed))
            erased[version] = erased.get(version, 0) + len(lost)
    return 0


def _without(data: bytes, listed: ErasedList) -> bytes | None:
    lines = data.split(b"\n")
    staying = [line for line in lines if not _id_if_listed(line, listed)]
    return b"\n".join(staying) if len(staying) < len(lines) else None


def _files(lake: Lake, persona: str, kind: Kind) -> dict[str, list[str]]:
    """Files with rows by version, those of versions that were never finished too."""
    files: dict[str, list[str]] = {}
    for key in lake.keys(f"datasets/{persona}/{kind}"):
        if key.endswith(".jsonl"):
            files.setdefault(key.split("/")[3], []).append(key)
    return files


def _lines(lake: Lake, key: str) -> list[bytes]:
    return lake.read(key).split(b"\n")


def _row(kind: Kind, key: str, line: bytes) -> StoredRow:
    if key.endswith(f"/{THUMBS}.jsonl"):
        return ThumbRow.model_validate_json(line)
    return (
        InstructRow.model_validate_json(line)
        if kind == "instruct"
        else PreferenceRow.model_validate_json(line)
    )


def _id_if_listed(line: bytes, listed: ErasedList) -> str | None:
    row = json.loads(line) if line else {"row_id": None, "doc_id": None}
    return row["row_id"] if row["row_id"] in listed.rows or row["doc_id"] in listed.documents else None


def _say(lake: Lake, persona: str, kind: Kind, version: str, lost: set[str]) -> None:
    folder, told = dataset_folder(persona, kind, version), ErasedRows(rows=sorted(lost), at=datetime.now(UTC))

    def more(note: bytes) -> bytes:
        rows = lost.union(ErasedRows.model_validate_json(note).rows)
        return told.model_copy(update={"rows": sorted(rows)}).model_dump_json().encode()

    try:
        lake.create(f"{folder}/{ERASED_NOTE}", told.model_dump_json().encode())
    except FileExistsError:
        lake.update(f"{folder}/{ERASED_NOTE}", more)
    note = erased_rows(lake, persona, kind, version)
    assert note is not None
    says = f"{len(note.rows)} rows were taken out of this version by {note.at:%Y-%m-%d}; the counts above include them."
    lake.update(
        f"{folder}/README.md", lambda card: f"{card.decode().split(_MARK)[0]}{_MARK}{says}\n".encode()
    )
