"""Keep the table and write the log.

The log's a text file with one JSON object to a line: time, saw, did, who, sum.
We add to the end and that's all we ever do. If a line turns out to be wrong,
add another that says so, and leave the wrong one there to be seen.

Each sum is made from the line and the sum above it, so a line that's been
altered shows up, and so does one that's been taken out. (All but the last: if
you cut lines off the bottom the rest still agree. Keep a copy somewhere else.)
Run one of these at a time: two at once will both follow the same line.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timezone
from pathlib import Path

from .parse import Table

LOG_NAME = "tidelog.jsonl"
FIRST_SUM = "0" * 12


def write_line(folder: str | Path, saw: str, did: str, who: str,
               now: datetime | None = None) -> dict:
    """Time, what you saw, what you did, your name. Peder's four."""
    log = Path(folder) / LOG_NAME
    log.parent.mkdir(parents=True, exist_ok=True)
    entries = read_log(folder)
    entry = {
        "time": (now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "saw": saw,
        "did": did,
        "who": who,
    }
    entry["sum"] = _sum(entries[-1]["sum"] if entries else FIRST_SUM, entry)
    with open(log, "a", encoding="utf-8") as out:
        out.write(json.dumps(entry, ensure_ascii=False) + "\n")
        out.flush()
        os.fsync(out.fileno())  # it isn't written down until the disk says so
    return entry


def read_log(folder: str | Path) -> list[dict]:
    log = Path(folder) / LOG_NAME
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]


def first_bad_line(folder: str | Path) -> int | None:
    """The number of the first line whose sum doesn't agree, or None if they all do."""
    previous = FIRST_SUM
    for number, entry in enumerate(read_log(folder), start=1):
        if entry.get("sum") != _sum(previous, entry):
            return number
        previous = entry["sum"]
    return None


def keep_table(folder: str | Path, table: Table, text: str) -> Path:
    """Save the text as it came. A reissue gets a file of its own, nothing's replaced."""
    name = f"{table.valid_for}_issued_{table.issued_at:%Y-%m-%dT%H%MZ}.txt"
    path = Path(folder) / "tables" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if path.read_text(encoding="utf-8") != text:
            raise FileExistsError(f"{name} is here already and it isn't the same")
        return path
    half_done = path.with_suffix(".part")  # so a power cut can't leave half a table behind
    half_done.write_text(text, encoding="utf-8")
    os.replace(half_done, path)
    return path


def _sum(previous: str, entry: dict) -> str:
    body = json.dumps([entry.get(k) for k in ("time", "saw", "did", "who")], ensure_ascii=False)
    return hashlib.sha256((previous + body).encode("utf-8")).hexdigest()[:12]
