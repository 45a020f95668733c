"""Every byte of a home, as it lies and as whoever can read the format sees it."""

import gzip
import io
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import lancedb
import pyarrow.parquet as pq


def places_with(home: Path, word: str | re.Pattern[bytes]) -> set[str]:
    """The files below `home` that hold a word, in whatever case, or a pattern; tables of LanceDB by their own names."""
    wanted = re.compile(re.escape(word).encode(), re.IGNORECASE) if isinstance(word, str) else word
    found = set()
    for path in sorted(p for p in home.rglob("*") if p.is_file()):
        if any(wanted.search(data) for data in _readings(path)):
            found.add(path.relative_to(home).as_posix())
    if (home / "vectors").is_dir():
        found |= {name for name, text in _lance(home / "vectors") if wanted.search(text)}
    return found


def _readings(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    yield from readings(data)
    yield data.decode("utf-8", "replace").encode("unicode_escape").replace(b"\\x00", b"")
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as base:
            for schema, table in base.execute(
                "select schema_name, table_name from duckdb_tables()"
            ).fetchall():
                yield repr(base.execute(f'select * from "{schema}"."{table}"').fetchall()).encode()
    if data[:15] == b"SQLite format 3":
        with sqlite3.connect(path) as base:
            yield "\n".join(base.iterdump()).encode()


def readings(data: bytes) -> Iterator[bytes]:
    """The bytes of an object, and what is in them where they are Parquet, gzip or zip."""
    yield data
    if data[:4] == b"PAR1":
        yield repr(pq.read_table(io.BytesIO(data)).to_pylist()).encode()
    elif data[:2] == b"\x1f\x8b":
        yield from readings(gzip.decompress(data))
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from readings(archive.read(name))


def _lance(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every version of every table."""
    base = lancedb.connect(str(folder))
    for name in base.table_names():
        table = base.open_table(name)
        for version in [one["version"] for one in table.list_versions()]:
            table.checkout(version)
            rows = table.to_arrow().drop_columns(["vector"]).to_pylist()
            yield f"vectors/{name}@{version}", repr(rows).encode()
