"""Erasure in files below TWIN_HOME that are no objects of the lake: caches, logs, trackers' folders, uploads."""

import gzip
import io
import json
import os
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from twin_assets.core.text.traces import Traces

# Staged by a process that was killed: no write takes so long.
LEFT_SECONDS = 24 * 3600
_ENCODINGS = ("utf-8", "utf-16", "latin-1")
_DEEPEST = 4  # archives within archives


def files_below(*folders: Path) -> Iterator[Path]:
    """Every file, hidden ones too; one that goes meanwhile is left out."""
    for folder in folders:
        for place, _, names in os.walk(folder):
            yield from (
                path for name in names if (path := Path(place, name)).is_file() and not path.is_symlink()
            )


def clean_text(text: str, traces: Traces, mark: str = "[erased]") -> str:
    """A text, or JSON with its strings one by one, without what the traces find."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return traces.taken_out_of(text, mark)
    return json.dumps(clean_value(value, traces, mark), ensure_ascii=False)


def clean_value(value: Any, traces: Traces, mark: str = "[erased]") -> Any:
    """The same of a JSON value."""
    if isinstance(value, str):
        return clean_text(value, traces, mark) if value[:1] in "{[" else traces.taken_out_of(value, mark)
    if isinstance(value, list):
        return [clean_value(one, traces, mark) for one in value]
    if isinstance(value, dict):
        return {name: clean_value(one, traces, mark) for name, one in value.items()}
    return value


def clean_bytes(data: bytes, traces: Traces, mark: str = "", depth: int = 0) -> bytes | None:
    """The content of a file without what the traces find: text, gzip and zip, also within each other. None where there
    was nothing to take out."""
    if data[:2] == b"\x1f\x8b" and depth < _DEEPEST:
        try:
            inner = clean_bytes(gzip.decompress(data), traces, mark, depth + 1)
        except (OSError, EOFError):
            return None
        return None if inner is None else gzip.compress(inner)
    if data[:4] == b"PK\x03\x04" and depth < _DEEPEST:
        return _clean_zip(data, traces, mark, depth)
    if data[:16] == b"SQLite format 3\x00":
        return None
    encoding = next((e for e in _ENCODINGS if _decodes(data, e)), "latin-1")
    text = data.decode(encoding)
    if not traces.are_in(text):
        return None
    return clean_text(text, traces, mark).encode(encoding)


def _decodes(data: bytes, encoding: str) -> bool:
    if encoding == "utf-16" and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return False
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _clean_zip(data: bytes, traces: Traces, mark: str, depth: int) -> bytes | None:
    changed, sink = False, io.BytesIO()
    try:
        with (
            zipfile.ZipFile(io.BytesIO(data)) as before,
            zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as after,
        ):
            for info in before.infolist():
                content = before.read(info)
                cleaned = None if info.is_dir() else clean_bytes(content, traces, mark, depth + 1)
                changed |= cleaned is not None
                after.writestr(info, content if cleaned is None else cleaned)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError):
        return None  # damaged, or locked with a password: nothing in it was ever read either
    return sink.getvalue() if changed else None


def clean_files(paths: Iterator[Path], traces: Traces, mark: str = "", open_by_others: bool = False) -> int:
    """Clean files, each at once; how many changed. One that others may have open stays the same file."""
    changed = 0
    for path in paths:
        try:
            cleaned = clean_bytes(path.read_bytes(), traces, mark)
            if cleaned is not None:
                path.write_bytes(cleaned) if open_by_others else _replace(path, cleaned)
                changed += 1
        except FileNotFoundError:
            continue
    return changed


def remove_files(paths: Iterator[Path], traces: Traces) -> int:
    """Remove the files in which the traces find something; how many."""
    removed = 0
    for path in paths:
        try:
            if clean_bytes(path.read_bytes(), traces) is not None:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def remove_left(paths: Iterator[Path]) -> int:
    """Remove temporary files that a killed process left; how many."""
    removed, before = 0, time.time() - LEFT_SECONDS
    for path in paths:
        try:
            if path.stat().st_mtime < before:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def remove_folder(folder: Path) -> int:
    """Remove a folder; 1 when it was there."""
    if not folder.is_dir():
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    return 1


def clean_sqlite(path: Path, cleaned: Callable[[str], str | None]) -> int:
    """Put another text in the place of those that `cleaned` has another for, None deleting the row; how many rows.

    What the rows held is overwritten in the file. Raises sqlite3.OperationalError while another process keeps it locked.
    """
    changed = 0
    with sqlite3.connect(path, timeout=30) as base:
        base.execute("pragma secure_delete = on")
        tables = [
            row[0]
            for row in base.execute(
                "select name from sqlite_master where type = 'table' and sql not like 'create virtual%'"
            )
        ]
        for table in tables:
            names = [row[1] for row in base.execute(f'pragma table_info("{table}")')]
            for name in names:
                texts = f'select rowid, "{name}" from "{table}" where typeof("{name}") = \'text\''  # noqa: S608
                rows = base.execute(texts).fetchall()
                for row, text in rows:
                    new = cleaned(text)
                    if new is None:
                        base.execute(f'delete from "{table}" where rowid = ?', (row,))  # noqa: S608
                    elif new != text:
                        base.execute(f'update "{table}" set "{name}" = ? where rowid = ?', (new, row))  # noqa: S608
                    changed += new != text
    if changed:
        vacuum_sqlite(path)
    return changed


def vacuum_sqlite(path: Path) -> None:
    """Write a database anew, without what was deleted from it. Raises as `clean_sqlite`."""
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as base:
        base.execute("vacuum")
        base.execute("pragma wal_checkpoint(truncate)")


def _replace(path: Path, data: bytes) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(
            os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, path.stat().st_mode & 0o777), "wb"
        ) as file:
            file.write(data)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
