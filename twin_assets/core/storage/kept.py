"""Values by key in a SQLite file: what was paid for or computed once, and need not be again."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Generic, TypeVar

V = TypeVar("V", str, bytes)
BUSY_SECONDS = 30.0  # how long another process may hold the file


class KeptValues(Generic[V]):
    """One table of a file; both are made with the first use. What `keep` was given holds when it returns.

    Raises sqlite3.OperationalError while another process holds the file for longer than BUSY_SECONDS.
    """

    def __init__(self, file: Path, table: str) -> None:
        self._file, self._table = file, table

    def find(self, keys: Iterable[str]) -> dict[str, V]:
        """The values of those keys that have one."""
        query = f"select * from {self._table} where key = ?"  # noqa: S608
        with self._open() as table:
            rows = (table.execute(query, (key,)).fetchone() for key in set(keys))
            return {row[0]: row[1] for row in rows if row}

    def keep(self, values: Mapping[str, V]) -> None:
        """Store values, each in the place of an older one."""
        with self._open() as table:
            table.executemany(f"insert or replace into {self._table} values (?, ?)", values.items())  # noqa: S608

    def erase(self, keys: Iterable[str]) -> int:
        """Take values out, their bytes overwritten in the file; how many there were."""
        query = f"delete from {self._table} where key = ?"  # noqa: S608
        with self._open() as table:
            table.execute("pragma secure_delete = on")
            gone = table.executemany(query, [(key,) for key in keys])
            return max(gone.rowcount, 0)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file, timeout=BUSY_SECONDS)) as base, base:
            base.execute(f"create table if not exists {self._table} (key text primary key, value)")
            yield base
