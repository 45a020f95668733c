"""Rows in a file, for steps that must not hold a corpus: a thousand are read at a time, as often as they are asked for.

The file is Parquet without a name, gone with the process whatever ends it: it holds what people wrote.
"""

import hashlib
import io
import tempfile
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from functools import cache
from itertools import compress, islice
from typing import IO, Any, ClassVar, TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twin_assets.core.records import Record, arrow_schema, from_table, to_table, with_visibility

R = TypeVar("R", bound=Record)
# Rows that are records at a time, and that are written and named at a time: a table of no more has the name that it had when all rows were.
PAGE, GROUP = 1_000, 10_000


class RowFile(Sequence[R]):
    """Records of one kind, `RowFile[Kind].of(records)`; equal where their content is. Each walk over them reads the file anew."""

    kind: ClassVar[type[Record]]

    def __init__(self, file: IO[bytes], version: str) -> None:
        """Of a Parquet file, which this then owns, with the `table_version` of its rows."""
        self.file, self.version = file, version
        self._rows: int = self._open().metadata.num_rows

    @classmethod
    @cache
    def __class_getitem__(cls, kind: Any) -> Any:
        # A class of its own, as Dagster takes no alias for a type.
        names = {"kind": kind, "__module__": cls.__module__}
        return type(f"{cls.__name__}[{kind.__name__}]", (cls,), names) if isinstance(kind, type) else cls

    @classmethod
    def of(cls, records: Iterable[R]) -> "RowFile[R]":
        """The records, taken one by one; a RowFile of this kind as it is."""
        if isinstance(records, cls):
            return records
        file, version = tempfile.TemporaryFile(), _Version(arrow_schema(cls.kind))  # noqa: SIM115  # closed with this object
        with pq.ParquetWriter(file, version.schema, compression="zstd") as writer:
            for table in _groups(records, cls.kind):
                version.add(table)
                writer.write_table(table, row_group_size=GROUP)
        return cls(file, version.name())

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[R]:
        for batch in self._open().iter_batches(PAGE):
            yield from from_table(pa.Table.from_batches([batch]), self.kind)  # type: ignore[misc]

    @overload
    def __getitem__(self, at: int) -> R: ...
    @overload
    def __getitem__(self, at: slice) -> list[R]: ...
    def __getitem__(self, at: int | slice) -> R | list[R]:
        """By walking there: for the first of them, and for tests."""
        if isinstance(at, int):
            return next(islice(self, range(self._rows)[at], None))
        places = range(self._rows)[at]
        found = list(islice(self, max([*places, -1]) + 1))
        return [found[place] for place in places]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RowFile):
            return self.version == other.version
        return isinstance(other, list) and len(self) == len(other) and list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def values(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Some columns, without a record a row."""
        for batch in self._batches(names):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def texts(self, name: str, where: np.ndarray | None = None) -> "Texts":
        """A column of strings; of the rows where `where`, bool of shape (rows,), is true."""
        return Texts(self, name, where)

    def without(self, documents: Container[str]) -> "RowFile[R]":
        """Rows but those of these documents; all of them where rows are of no document."""
        if "doc_id" not in self.kind.model_fields or not any(
            doc_id in documents for (doc_id,) in self.values("doc_id")
        ):
            return self
        return type(self).of(row for row in self if row.doc_id not in documents)  # type: ignore[attr-defined]

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.file)

    def _batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        file = self._open()
        there = [name for name in names if name in file.schema_arrow.names]
        for batch in file.iter_batches(PAGE, columns=there):
            yield with_visibility(pa.Table.from_batches([batch]), self.kind).select(list(names))


class Texts(Collection[str]):
    """Strings of a RowFile, read anew at each walk."""

    def __init__(self, rows: RowFile[Any], name: str, where: np.ndarray | None) -> None:
        self._rows, self._name, self._where = rows, name, where

    def __len__(self) -> int:
        return len(self._rows) if self._where is None else int(self._where.sum())

    def __iter__(self) -> Iterator[str]:
        every = (text for (text,) in self._rows.values(self._name))
        return every if self._where is None else compress(every, self._where)

    def __contains__(self, text: object) -> bool:
        return any(text == one for one in self)


def table_version(table: pa.Table) -> str:
    """Content hash of a table's rows, in order."""
    version = _Version(table.schema)
    for at in range(0, len(table), GROUP):
        # A copy: Arrow's stream of a slice is not that of a table of its own.
        part = table.take(pa.array(range(at, min(at + GROUP, len(table))))) if len(table) > GROUP else table
        version.add(part.combine_chunks())
    return version.name()


class _Version:
    """The hash of Arrow's stream of tables of GROUP rows."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema, self._sink = schema, _Digest()
        self._writer = pa.ipc.new_stream(self._sink, schema)

    def add(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def name(self) -> str:
        self._writer.close()
        return self._sink.digest.hexdigest()[:16]


class _Digest(io.RawIOBase):
    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)


def _groups(records: Iterable[R], kind: type[R]) -> Iterator[pa.Table]:
    """Tables of GROUP rows; a page of them is records at a time."""
    rows = iter(records)
    while pages := [to_table(page, kind) for page in _pages(rows)]:
        yield pa.concat_tables(pages).combine_chunks()


def _pages(rows: Iterator[R]) -> Iterator[list[R]]:
    for _ in range(GROUP // PAGE):
        if page := list(islice(rows, PAGE)):
            yield page
