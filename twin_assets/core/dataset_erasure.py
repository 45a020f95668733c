"""Rows that are taken out of stored dataset versions, because whoever gave their texts asked for it.

The one way in which a version changes. It keeps its name, so that what was trained from it can still be told, and
says what is missing: in `erased.json` and on its card. Such a version can't be rebuilt from.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime

from twin_assets.core.datasets import InstructRow, Kind, PreferenceRow, Row, dataset_folder
from twin_assets.core.erased import ErasedList, settle
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


def rows_that(lake: Lake, persona: str, kind: Kind, gone: Callable[[Row], bool]) -> set[str]:
    """Ids of the rows that are `gone`, in any version of this kind, its subsets and unfinished ones too."""
    files = (key for keys in _files(lake, persona, kind).values() for key in keys)
    return {
        row.row_id for key in files for line in _lines(lake, key) if line and gone(row := _row(kind, line))
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
        kept: dict[str, bytes] = {}
        lost: set[str] = set()
        for key in keys:
            lines = _lines(lake, key)
            out = {
                i: row_id for i, line in enumerate(lines) if line and (row_id := _id_if_listed(line, listed))
            }
            if out:
                kept[key] = b"\n".join(line for i, line in enumerate(lines) if i not in out)
                lost |= set(out.values())
        if lost:
            _say(lake, persona, kind, version, lost)
            for key, data in kept.items():
                lake.write(key, data)
            erased[version] = erased.get(version, 0) + len(lost)
    return 0


def _files(lake: Lake, persona: str, kind: Kind) -> dict[str, list[str]]:
    """Files with rows by version, those of versions that were never finished too."""
    found: dict[str, list[str]] = {}
    for key in lake.keys(f"datasets/{persona}/{kind}"):
        if key.endswith(".jsonl"):
            found.setdefault(key.split("/")[3], []).append(key)
    return found


def _lines(lake: Lake, key: str) -> list[bytes]:
    return lake.read(key).split(b"\n")


def _row(kind: Kind, line: bytes) -> Row:
    return (
        InstructRow.model_validate_json(line)
        if kind == "instruct"
        else PreferenceRow.model_validate_json(line)
    )


def _id_if_listed(line: bytes, listed: ErasedList) -> str | None:
    row = json.loads(line)
    return row["row_id"] if row["row_id"] in listed.rows or row["doc_id"] in listed.documents else None


def _say(lake: Lake, persona: str, kind: Kind, version: str, lost: set[str]) -> None:
    folder, before = (
        dataset_folder(persona, kind, version),
        erased_rows(lake, persona, kind, version),
    )
    note = ErasedRows(rows=sorted(lost.union(before.rows if before else ())), at=datetime.now(UTC))
    lake.write(f"{folder}/{ERASED_NOTE}", note.model_dump_json().encode())
    if lake.exists(f"{folder}/README.md"):
        card = lake.read(f"{folder}/README.md").decode().split(_MARK)[0]
        told = f"{len(note.rows)} rows were taken out of this version by {note.at:%Y-%m-%d}; the counts above include them."
        lake.write(f"{folder}/README.md", f"{card}{_MARK}{told}\n".encode())
