"""The difference between two versions of a dataset, row by row."""

from collections import Counter
from typing import Literal

from twin_assets.core.datasets.rows import THUMBS, InstructRow, Kind, PreferenceRow, StoredRow, ThumbRow
from twin_assets.core.datasets.store import read_rows
from twin_assets.core.hashing import fingerprint
from twin_assets.core.records import Message, Record
from twin_assets.core.storage.lake import Lake

SAMPLES = 5


class RowChange(Record):
    """A row that is on one side only, or has another answer there. Texts are shortened."""

    change: str
    task: str
    asked: str
    before: str = ""
    after: str = ""


class DatasetDiff(Record):
    """Rows by what became of them. A row is known by its document, task and request, a single thumb by the request it answered."""

    before: str
    after: str
    added: int
    removed: int
    changed: int
    unchanged: int
    samples: list[RowChange]


def diff_versions(lake: Lake, persona: str, kind: Kind, before: str, after: str) -> DatasetDiff:
    """Compare two versions, both sides of each and single thumbs. Raises KeyError when one is not there."""
    old, new = (_by_request(lake, persona, kind, version) for version in (before, after))
    changes = []
    counts: Counter[str] = Counter()
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if was is not None and now is not None and _answer(was) == _answer(now):
            counts["unchanged"] += 1
            continue
        change = "added" if was is None else "removed" if now is None else "changed"
        counts[change] += 1
        if counts[change] <= SAMPLES:
            row = now or was
            assert row is not None
            changes.append(
                RowChange(
                    change=change,
                    task=row.task,
                    asked=_short(_request(row)[-1].content),
                    before=_short(_answer(was)) if was else "",
                    after=_short(_answer(now)) if now else "",
                )
            )
    return DatasetDiff(
        before=before,
        after=after,
        added=counts["added"],
        removed=counts["removed"],
        changed=counts["changed"],
        unchanged=counts["unchanged"],
        samples=changes,
    )


def _by_request(lake: Lake, persona: str, kind: Kind, version: str) -> dict[str, StoredRow]:
    sides: tuple[Literal["train", "test", "thumbs"], ...] = ("train", "test", THUMBS)
    rows = [row for side in sides for row in read_rows(lake, persona, kind, version, side)]
    return {_key(row): row for row in rows}


def _key(row: StoredRow) -> str:
    asked = [m.content for m in _request(row) if m.role == "user"]
    return fingerprint([row.request_id if isinstance(row, ThumbRow) else row.doc_id, row.task, asked])


def _request(row: StoredRow) -> list[Message]:
    return row.messages[:-1] if isinstance(row, InstructRow) else row.messages


def _answer(row: StoredRow) -> str:
    if isinstance(row, ThumbRow):
        return f"{'liked' if row.label else 'not liked'}: {row.completion.content}"
    return row.chosen.content if isinstance(row, PreferenceRow) else row.messages[-1].content


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
