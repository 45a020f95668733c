"""The difference between two versions of a dataset, row by row."""

from collections import Counter

from twin_assets.core.datasets.rows import Kind, PreferenceRow, Row
from twin_assets.core.datasets.store import read_rows
from twin_assets.core.hashing import fingerprint
from twin_assets.core.records import Record
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
    """Rows by what became of them. A row is known by its document, task and request."""

    before: str
    after: str
    added: int
    removed: int
    changed: int
    unchanged: int
    samples: list[RowChange]


def diff_versions(lake: Lake, persona: str, kind: Kind, before: str, after: str) -> DatasetDiff:
    """Compare two versions, both sides of each. Raises KeyError when one is not there."""
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
                    asked=_short(row.messages[-1 if _is_pair(row) else -2].content),
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


def _by_request(lake: Lake, persona: str, kind: Kind, version: str) -> dict[str, Row]:
    rows = [row for side in ("train", "test") for row in read_rows(lake, persona, kind, version, side)]  # type: ignore[arg-type]
    return {_key(row): row for row in rows}


def _key(row: Row) -> str:
    request = row.messages if _is_pair(row) else row.messages[:-1]
    return fingerprint([row.doc_id, row.task, [m.content for m in request if m.role == "user"]])


def _is_pair(row: Row) -> bool:
    return isinstance(row, PreferenceRow)


def _answer(row: Row) -> str:
    return row.chosen.content if isinstance(row, PreferenceRow) else row.messages[-1].content


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
