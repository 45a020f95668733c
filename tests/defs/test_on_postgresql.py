"""Dagster's runs and events in PostgreSQL: the graph runs on it, and what is erased leaves it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata

from tests.defs.monitoring.test_erase_document import TEXT, WORD, document_of, walk
from tests.support.postgres.server import Postgres, postgres
from twin_assets.core.storage.dagster_home import ensure_dagster_home
from twin_assets.core.storage.database import DAGSTER_TABLES, ask, connect
from twin_assets.core.storage.lake import open_lake
from twin_assets.definitions import defs
from twin_assets.defs.monitoring.person import PersonInDagster
from twin_assets.monitoring.erasure import delete_person, erase_document
from twin_assets.settings import ROOT, Settings

STEPS = (
    "raw_web",
    "raw_library",
    "stg_documents",
    "document",
    "library_",
    "cleaned_",
    "unique_",
    "corpus_",
    "chunks",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


@pytest.fixture
def settings(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    writing, personas = tmp_path / "writing", tmp_path / "personas"
    writing.mkdir()
    personas.mkdir()
    for path in sorted((ROOT / "demo" / "writing" / "medium").glob("*.md"))[:4]:
        shutil.copy(path, writing)
    (writing / f"{WORD}.md").write_text(TEXT)
    (personas / "runa.yaml").write_text(
        f"name: runa\nfull_name: Runa Skov\nabout: She writes about ferries.\nlicense: MIT\nweb: {{folders: [{writing}]}}\n"
    )
    monkeypatch.setenv("TWIN_DATABASE_URL", server.url)
    return Settings(home=tmp_path / "home", personas_dir=personas, profile="pocket", database_url=server.url)  # type: ignore[arg-type]


def with_word(settings: Settings, word: str = WORD) -> int:
    """How many rows have the word."""
    connection, found = connect(settings, 60), 0
    for (table,) in ask(
        connection, 60, "select table_name from information_schema.tables where table_schema = 'public'"
    ):
        [(count,)] = ask(
            connection, 60, f'select count(*) from "{table}" as t where t::text like %s', (f"%{word}%",)
        )
        found += count
    connection.close()
    return found


def test_every_table_of_dagster_is_named() -> None:
    own = (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata)
    assert sorted({name for one in own for name in one.tables}) == list(DAGSTER_TABLES)


def test_the_graph_runs_on_it_and_a_document_that_is_erased_leaves_it(
    settings: Settings, server: Postgres
) -> None:
    ensure_dagster_home(settings)
    assert "p%40ss" not in (settings.dagster_home / "dagster.yaml").read_text()
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        made = walk(settings, instance, STEPS)
    # Another process finds all of it: none lies in a file of the home.
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        assert [run.run_id for run in instance.get_runs()] == [made.run_id]
        event = instance.get_latest_materialization_event(dg.AssetKey("chunks"))
        assert event
        assert event.run_id == made.run_id
        assert instance.has_dynamic_partition("personas", "runa")
    assert not list(settings.dagster_home.rglob("*.db"))

    notes = connect(settings, 60)
    ask(notes, 60, "create table notes (text text)")
    ask(notes, 60, "insert into notes values (%s)", (WORD,))
    assert with_word(settings) > 1
    erased = erase_document(settings, open_lake(settings), "runa", document_of(settings))
    assert erased.places["dagster"]
    assert ask(notes, 60, "select text from notes") == [(WORD,)]  # another program's, in the same schema
    notes.close()
    assert with_word(settings) == 1
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        assert [run.run_id for run in instance.get_runs()] == [made.run_id]
        assert instance.get_latest_materialization_event(dg.AssetKey("chunks"))

    # A person whose name is in no path, so that each row with it is one of theirs.
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        told = delete_person(
            settings, open_lake(settings), "runa", "Ines", PersonInDagster(instance, "runa", lambda: defs)
        )
        assert told.finished_at
        assert told.places["dagster"]
        assert instance.get_runs() == []
        assert instance.get_dynamic_partitions("personas") == []
    assert with_word(settings, "runa") == 0
    assert with_word(settings) == 1  # the other program's
