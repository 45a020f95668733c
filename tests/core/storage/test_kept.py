import sqlite3
from pathlib import Path

import pytest

from twin_assets.core.storage.kept import KeptValues


def test_what_is_kept_is_found_again_by_another(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "teacher.sqlite"
    one: KeptValues[str] = KeptValues(file, "lessons")
    assert one.find(["a"]) == {}
    one.keep({"a": "1", "b": "2"})
    one.keep({"b": "3"})
    other: KeptValues[str] = KeptValues(file, "lessons")
    assert other.find(["a", "b", "b", "c"]) == {"a": "1", "b": "3"}
    vectors: KeptValues[bytes] = KeptValues(tmp_path / "embeddings.sqlite", "vectors")
    vectors.keep({"a": b"\x00\x01"})
    assert vectors.find(["a"]) == {"a": b"\x00\x01"}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("lessons", "answer text", "{}"),
        ("verdicts", "answer text", "A"),
        ("vectors", "vector blob", b"\x01\xff"),
    ],
)
def test_files_of_homes_made_before_are_read_and_added_to(
    tmp_path: Path, table: str, column: str, value: str | bytes
) -> None:
    with sqlite3.connect(tmp_path / "old.sqlite") as old:
        old.execute(f"create table {table} (key text primary key, {column})")
        old.execute(f"insert into {table} values ('paid', ?)", (value,))
    kept = KeptValues(tmp_path / "old.sqlite", table)  # type: ignore[var-annotated]
    kept.keep({"new": value})
    assert kept.find(["paid", "new"]) == {"paid": value, "new": value}


def test_what_is_erased_leaves_no_bytes_behind(tmp_path: Path) -> None:
    file = tmp_path / "kept.sqlite"
    kept: KeptValues[bytes] = KeptValues(file, "vectors")
    kept.keep({"a": b"of a document", "b": b"of another"})
    assert kept.erase([]) == 0
    assert kept.erase(["a", "none"]) == 1
    assert b"of a document" not in file.read_bytes()
    assert kept.find(["a", "b"]) == {"b": b"of another"}
