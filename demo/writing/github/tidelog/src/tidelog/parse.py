"""Turn the Tide Office's text into a table, or say which line made no sense.

A table looks like this:

    TABLE 2022-02-02
    ISSUED 2022-02-01T21:04Z
    HARBOUR STN Stenna
    HW 00:41 3.42
    LW 06:58 0.91
    END 1

END counts the harbours. It's there so half a file can't pass for a short one.
This module doesn't judge. A table can parse and still be nonsense: see checks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timezone
from pathlib import Path


class UnreadableTable(ValueError):
    """The text isn't a tide table. Carries the line where we gave up."""

    def __init__(self, line_no: int, why: str):
        super().__init__(f"line {line_no}: {why}")
        self.line_no = line_no
        self.why = why


@dataclass(frozen=True)
class Tide:
    kind: str  # "HW" or "LW", as the Tide Office writes it
    at: time  # UTC, always UTC
    height_m: float  # above chart datum, so it can go below nought


@dataclass
class Harbour:
    code: str  # three letters, never reused
    name: str  # for people, and nothing ever joins on it
    tides: list[Tide] = field(default_factory=list)


@dataclass
class Table:
    valid_for: date
    issued_at: datetime
    harbours: list[Harbour]


def parse_file(path: str | Path) -> Table:
    return parse_text(Path(path).read_text(encoding="utf-8"))


def parse_text(text: str) -> Table:
    """Read the whole thing from top to bottom, once, and stop at the first oddity."""
    valid_for = issued_at = None
    harbours: list[Harbour] = []
    ended = False
    line_no = 0

    for line_no, raw in enumerate(text.splitlines(), start=1):
        words = raw.split("#", 1)[0].split()
        if not words:
            continue
        if ended:
            raise UnreadableTable(line_no, "there's more after END")
        head, rest = words[0], words[1:]

        if head == "TABLE":
            if valid_for is not None:
                raise UnreadableTable(line_no, "a second TABLE line: two files stuck together?")
            valid_for = _date(line_no, rest)
        elif head == "ISSUED":
            issued_at = _instant(line_no, rest)
        elif head == "HARBOUR":
            harbours.append(_harbour(line_no, rest, harbours))
        elif head in ("HW", "LW"):
            if not harbours:
                raise UnreadableTable(line_no, "a tide before any harbour")
            harbours[-1].tides.append(_tide(line_no, head, rest))
        elif head == "END":
            if rest != [str(len(harbours))]:
                raise UnreadableTable(
                    line_no, f"END says {' '.join(rest) or 'nothing'}, I counted {len(harbours)}")
            ended = True
        else:
            raise UnreadableTable(line_no, f"I don't know the word {head!r}")

    if not ended:
        raise UnreadableTable(line_no, "no END line, so I can't tell if this is all of it")
    if valid_for is None or issued_at is None:
        raise UnreadableTable(line_no, "it doesn't say which day it's for, or when it was issued")
    return Table(valid_for, issued_at, harbours)


def _date(line_no: int, rest: list[str]) -> date:
    try:
        return date.fromisoformat(" ".join(rest))
    except ValueError:
        raise UnreadableTable(line_no, "TABLE wants a date like 2022-02-02") from None


def _instant(line_no: int, rest: list[str]) -> datetime:
    # The Z is compulsory. A time that won't say which clock it's on isn't a time.
    try:
        naive = datetime.strptime(" ".join(rest), "%Y-%m-%dT%H:%MZ")
    except ValueError:
        raise UnreadableTable(line_no, "ISSUED wants UTC like 2022-02-01T21:04Z") from None
    return naive.replace(tzinfo=timezone.utc)


def _harbour(line_no: int, rest: list[str], seen: list[Harbour]) -> Harbour:
    if len(rest) < 2 or len(rest[0]) != 3 or not rest[0].isupper():
        raise UnreadableTable(line_no, "HARBOUR wants a three-letter code and a name")
    if any(h.code == rest[0] for h in seen):
        raise UnreadableTable(line_no, f"{rest[0]} is in here twice")
    return Harbour(rest[0], " ".join(rest[1:]))


def _tide(line_no: int, kind: str, rest: list[str]) -> Tide:
    try:
        at, height = rest
        return Tide(kind, datetime.strptime(at, "%H:%M").time(), float(height))
    except ValueError:
        raise UnreadableTable(line_no, f"{kind} wants a time and a height, like 00:41 3.42") from None
