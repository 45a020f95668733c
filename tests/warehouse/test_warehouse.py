"""A real `dbt build` over raw objects: current documents, their history, and one persona at a time."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Document, arrow_schema
from twin_assets.core.storage.raw import RawItem, body_hash
from twin_assets.feature.corpus.warehouse import count_damaged, read_documents, read_some
from twin_assets.settings import ROOT

START = datetime(2025, 1, 1, tzinfo=UTC)


def raw(item_id: str, body: str, day: int, persona: str = "runa", **more: Any) -> RawItem:
    values: dict[str, Any] = {
        "persona": persona, "source": "medium", "item_id": item_id, "category": "article",
        "url": f"https://x/{item_id}", "title": item_id.title(), "fetched_at": START + timedelta(days=day),
        "published_at": START, "mime": "text/html", "body": body, "content_hash": body_hash(body),
        "payload": {"guid": item_id, "deep": [1, {"a": None}]},
    }  # fmt: skip
    return RawItem(**values | more)


def store(lake: Path, name: str, items: list[RawItem]) -> None:
    folder = lake / items[0].source / items[0].persona
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text(
        "".join(i.model_dump_json() + "\n" for i in items), encoding="utf-8"
    )


def build(tmp_path: Path, persona: str = "runa") -> Path:
    done = run_dbt(tmp_path, ["build"], persona)
    assert done.returncode == 0, done.stdout[-3000:]
    return tmp_path / "warehouse.duckdb"


def run_dbt(tmp_path: Path, command: list[str], persona: str) -> "subprocess.CompletedProcess[str]":
    warehouse = tmp_path / "warehouse.duckdb"
    (tmp_path / "raw").mkdir(exist_ok=True)
    variables = json.dumps({"persona": persona, "raw_dir": str(tmp_path / "raw")})
    dbt = Path(sys.executable).with_name("dbt")
    project = str(ROOT / "dbt_project")
    return subprocess.run(
        [
            str(dbt), "--no-use-colors", *command, "--project-dir", project, "--profiles-dir", project,
            "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path), "--vars", variables,
        ],
        env=os.environ | {"TWIN_WAREHOUSE": str(warehouse), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def query(warehouse: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_a_damaged_line_of_an_object_costs_its_item_and_no_other(tmp_path: Path) -> None:
    """The kind: a lost block of a disk, or a hand that edited a line."""
    whole = [raw(name, f"the text of {name}", 0).model_dump_json() for name in "abc"]
    folder = tmp_path / "raw/medium/runa"
    folder.mkdir(parents=True)
    lines = [whole[0], whole[1][: len(whole[1]) // 2], "\0\0 nothing", '{"item_id": 5}', whole[2]]
    (folder / "1.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    store(tmp_path / "raw", "2", [raw("d", "the text of d", 1)])
    assert {row[0] for row in query(build(tmp_path), "select body from documents")} == {
        f"the text of {name}" for name in "acd"
    }
    assert count_damaged(tmp_path / "warehouse.duckdb", "runa") == 3
    build(tmp_path)
    assert count_damaged(tmp_path / "warehouse.duckdb", "runa") == 3, "each is counted once"


def test_a_half_line_joined_to_the_next_item_fails_no_build_wherever_it_was_cut(tmp_path: Path) -> None:
    """As a disk that was full left it in the objects of earlier versions: cut anywhere, also within a letter."""
    first, second = (
        raw(name, f'fé \\ {{"kind": [1]}} {name}', 0).model_dump_json().encode() for name in "ab"
    )
    folder = tmp_path / "raw/medium/runa"
    folder.mkdir(parents=True)
    cuts = range(1, len(first))
    whole = raw("c", "the text of c", 0).model_dump_json().encode()
    (folder / "1.jsonl").write_bytes(b"".join(first[:cut] + second + b"\n" for cut in cuts) + whole + b"\n")
    odd = raw("d", "x", 0).model_dump(mode="json")
    lines = [
        json.dumps(odd | change)
        for change in ({"category": None}, {"kind": "no"}, {"fetched_at": "yesterday"})
    ]
    (folder / "2.jsonl").write_text("\n".join(lines))
    warehouse = build(tmp_path)
    assert query(warehouse, "select body from documents") == [("the text of c",)]
    assert count_damaged(warehouse, "runa") == len(cuts) + 3


def test_edits_and_deletions_change_the_documents_and_stay_in_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path / "raw", "1", [raw("a", "six ⛴\n“cores”", 0), raw("b", "bye", 0), raw("c", "still", 0)])
    store(tmp_path / "raw", "1", [raw("p", "a post", 0, source="linkedin", category="post", title=" ")])
    first = build(tmp_path)
    assert [d.body for d in read_documents(first, "runa") if d.title == "A"] == ["six ⛴\n“cores”"]

    gone = raw("b", "", 1, kind="deleted")
    store(tmp_path / "raw", "2", [raw("a", "eight cores", 1), gone])
    store(tmp_path / "raw", "3", [raw("c", "still", 0)])  # a line that an earlier object has already
    warehouse = build(tmp_path)
    monkeypatch.setattr("twin_assets.feature.corpus.warehouse.PAGE", 2)
    read = list(read_documents(warehouse, "runa"))
    assert [d.doc_id for d in read] == sorted(d.doc_id for d in read)
    assert read_some(warehouse, "runa", [read[2].doc_id, "unknown"]) == read[2:]
    assert read_some(warehouse, "ada", [read[2].doc_id]) == []
    documents = {d.url: d for d in read}
    assert set(documents) == {"https://x/a", "https://x/c", "https://x/p"}
    assert documents["https://x/a"].body == "eight cores"
    assert documents["https://x/a"].fetched_at == START + timedelta(days=1)
    assert (documents["https://x/p"].category, documents["https://x/p"].title) == ("post", None)
    history = query(
        warehouse,
        "select item_id, version, is_deleted, is_current, valid_to is null from document_history "
        "where source = 'medium' order by item_id, version",
    )
    assert history == [
        ("a", 1, False, False, False), ("a", 2, False, True, True),
        ("b", 1, False, False, False), ("b", 2, True, True, True),
        ("c", 1, False, True, True),
    ]  # fmt: skip
    assert query(warehouse, "select payload->>'$.deep[0]' from stg_documents where item_id = 'c'") == [("1",)]
    assert query(warehouse, "select count(*) from raw.items") == [(7,)]


def test_a_persona_that_was_not_collected_for_days_is_stale(tmp_path: Path) -> None:
    now = (datetime.now(UTC) - START) / timedelta(days=1)
    store(tmp_path / "raw", "1", [raw("a", "old", 0)])
    store(tmp_path / "raw", "2", [raw("b", "new", int(now), persona="ada")])
    build(tmp_path)
    old = run_dbt(tmp_path, ["source", "freshness"], "runa")
    new = run_dbt(tmp_path, ["source", "freshness"], "ada")
    assert ("ERROR STALE" in old.stdout, old.returncode) == (True, 1), old.stdout
    assert ("PASS freshness of raw.items" in new.stdout, new.returncode) == (True, 0), new.stdout


def test_each_persona_is_built_alone(tmp_path: Path) -> None:
    store(tmp_path / "raw", "1", [raw("a", "mine", 0)])
    store(tmp_path / "raw", "1", [raw("a", "yours", 0, persona="ada")])
    build(tmp_path, "runa")
    warehouse = build(tmp_path, "ada")
    mine, yours = list(read_documents(warehouse, "runa")), list(read_documents(warehouse, "ada"))
    assert [d.body for d in mine + yours] == ["mine", "yours"]
    assert mine[0].doc_id != yours[0].doc_id
    names = [row[0] for row in query(warehouse, "describe documents")]
    assert names == arrow_schema(Document).names


def test_no_raw_objects_and_no_warehouse_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match="no warehouse"):
        read_documents(tmp_path / "none.duckdb", "runa")
    with pytest.raises(TwinError, match="no documents of 'runa'"):
        read_documents(build(tmp_path), "runa")
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(b"not a database" * 500)
    with pytest.raises(TwinError, match="can't be opened"):
        read_documents(damaged, "runa")
    damaged.unlink()
    duckdb.connect(str(damaged)).close()
    with pytest.raises(TwinError, match="no table"):
        read_documents(damaged, "runa")
