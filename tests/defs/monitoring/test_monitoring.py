"""Production in the graph: the log is scored, the marts are built by dbt, money is counted; erased rows leave all of it."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from tests.core.models.lent import lend_reference
from tests.evaluation.evaluation_factories import request, train
from twin_assets.core.errors import TwinError
from twin_assets.core.feedback.store import Feedback, add_feedback
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import EmbeddedChunk, SplitDocument
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import LocalLake
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources
from twin_assets.evaluation.sense import persona_sense
from twin_assets.inference.twin.request_log import write_object
from twin_assets.inference.twin.threads import Threads
from twin_assets.monitoring.erasure import erase
from twin_assets.monitoring.scores.cost_report import read_costs
from twin_assets.monitoring.scores.scored import FOLDER, StoredScore, read_scored, write_scores
from twin_assets.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module", autouse=True)
def fitted_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The author is the same in every home: what reads as theirs is fitted once."""
    fitted, first = persona_sense.fitted_sense, tmp_path_factory.mktemp("first")
    lend_reference(first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            persona_sense,
            "fitted_sense",
            lambda model, embedder, _, prose: fitted(model, embedder, first / "cache", prose),
        )
        yield


@pytest.fixture
def home(tmp_path: Path) -> Path:
    lake = LocalLake(tmp_path / "lake")
    store = FeatureStore(lake)
    store.write("corpus_split", "runa", train(), list[SplitDocument])
    store.write("embeddings", "runa", [], list[EmbeddedChunk])
    ledger = Ledger(lake, "runa")
    for model in ("runa:one", "runa:two"):
        ledger.append(model, "proposed", "pipeline", "new")
        ledger.append(model, "evaluated", "pipeline", "passed", passed=True)
        ledger.append(model, "approved", "Ines", "good")
        ledger.append(model, "deployed", "pipeline", "approved")
    ledger.append("runa:two", "rolled_back", "Ines", "it rambles")
    return tmp_path


def log(home: Path, name: str, *numbers: int, days_ago: int = 0, **changes: Any) -> None:
    at = NOW - timedelta(days=days_ago)
    rows = [
        request(n, time=at - timedelta(minutes=n), cost=0.01, key=f"key{n % 2}", **changes) for n in numbers
    ]
    write_object(LocalLake(home / "lake"), f"requests/runa/{at:%Y-%m-%d}", name, rows)


def monitor(home: Path) -> dict[str, dict[str, Any]]:
    """Metadata by asset, after a real run with a real dbt build."""
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("personas", ["runa"])
    resources = build_resources({"home": str(home)})
    chosen = dg.AssetSelection.groups("monitoring") - dg.AssetSelection.assets(
        "drift_report", "feedback_pairs", "monitoring_report"
    )
    result = dg.materialize(
        defs.assets or [], selection=chosen, instance=instance, partition_key="runa", resources=resources
    )
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert len(result.get_asset_check_evaluations()) > 20
    return {
        m.asset_key.to_user_string(): {name: value.value for name, value in m.metadata.items()}
        for m in (e.materialization for e in result.get_asset_materialization_events())
    }


def rows(home: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_the_log_becomes_scores_marts_and_money_and_erased_rows_leave_all_of_them(home: Path) -> None:
    settings, lake = Settings(home=home), LocalLake(home / "lake")
    with pytest.raises(TwinError, match="materialise `requests`"):
        read_costs(settings.warehouse_path, "runa")
    log(home, "a", 0, 1, 2, prompt="Secret question?", answer="I never wrote about that.")
    log(home, "b", 3, 4, prompt_kind="write_post", model="runa:two")
    said = {"persona": "runa", "model": "runa:one", "time": NOW}
    add_feedback(lake, Feedback(request_id="0", thumb="up", **said))
    add_feedback(lake, Feedback(request_id="1", thumb="down", **said))
    first = monitor(home)
    assert (first["scored_requests"]["new"], first["cost_report"]["requests"]) == (5, 5)
    assert first["cost_report"]["cost_usd"] == 0.05
    assert first["cost_report"]["usd_per_accepted"] == pytest.approx(0.05)
    assert first["cost_report"]["plot"].startswith("![plot](data:image/png;base64,")
    assert first["scored_requests"]["by_day"].startswith("![plot](data:image/png;base64,")
    assert set(first["cost_report"]["latency_p50_ms"]) == {"generate", "retrieve", "total"}
    assert "| runa:one | 3 |" in first["scored_requests"]["versions"]

    mart = rows(
        home, "select request_id, kind, asked_by, declined, accepted, is_scored from requests order by 1"
    )
    assert mart[0] == ("0", "answer", "key0", True, True, True)
    assert mart[3] == ("3", "write", "key1", False, False, True)
    texts = rows(home, "select count(*) from duckdb_columns() where column_name in ('prompt', 'answer')")
    assert texts == [(0,)]
    releases = rows(home, "select model, state, is_production, requests, thumbs_up from releases order by 1")
    assert releases == [("runa:one", "deployed", True, 3, 1), ("runa:two", "rolled_back", False, 2, 0)]

    log(home, "c", 5, 3)  # a new one, and one that is there
    add_feedback(lake, Feedback(request_id="3", thumb="up", **said))
    gone = erase(settings, lake, "runa", request_id="4")
    assert (gone.requests, gone.scores, gone.warehouse) == (1, 1, 3)
    assert rows(home, "select count(*) from requests where request_id = '4'") == [(0,)]
    second = monitor(home)
    assert second["scored_requests"]["new"] == 1
    assert rows(home, "select request_id, accepted from requests order by 1") == [
        ("0", True), ("1", False), ("2", False), ("3", True), ("5", False),
    ]  # fmt: skip
    report = read_costs(settings.warehouse_path, "runa")
    keys = {g.group: g.requests for g in report.groups if g.by == "asked_by"}
    assert keys == {"key0": 2, "key1": 3}
    assert (report.training_runs, report.training_usd) == (0, None)


def test_the_warehouse_has_each_request_once_before_and_after_its_day_is_compacted(home: Path) -> None:
    lake, day = LocalLake(home / "lake"), f"{NOW - timedelta(days=1):%Y-%m-%d}"

    def mart() -> list[tuple[Any, ...]]:
        return rows(home, "select request_id, cost_usd, latency_ms, generate_ms, passages, top_score, asked_by from requests order by 1")  # fmt: skip

    log(home, "a", 0, 1, days_ago=1)
    log(home, "b", 2, days_ago=1)
    log(home, "c", 3)
    persona = load_persona(Settings().personas_dir, "runa")
    unused, used = (Threads(lake, persona, "page", now=NOW - timedelta(days=ago)).begin() for ago in (31, 29))
    # Before the first note: what an overtaken or killed rewriting left doesn't count.
    lake.write(f"requests/runa/{day}/000001-aa.parquet", b"half")
    first = monitor(home)["scored_requests"]
    assert (first["new"], first["days_compacted"], first["objects_compacted"]) == (4, 1, 2)
    assert first["threads_swept"] == 1
    assert [key.split("/")[-2] for key in lake.keys("threads")] == [used.id] != [unused.id]
    assert [key for key in lake.keys(f"requests/runa/{day}") if key.endswith(".jsonl")] == []
    before = mart()
    assert [one[0] for one in before] == ["0", "1", "2", "3"]
    log(home, "a", 0, 1, days_ago=1)  # as when it was killed before what it replaced was deleted
    log(home, "d", 4, days_ago=1)
    erase(Settings(home=home), lake, "runa", request_id="1")
    log(home, "a", 0, 1, days_ago=1)
    second = monitor(home)["scored_requests"]
    assert (second["new"], second["objects_compacted"]) == (1, 0)
    assert [one for one in mart() if one[0] != "4"] == [one for one in before if one[0] != "1"]
    assert [one[0] for one in mart()] == ["0", "2", "3", "4"]


SENSE = "sense_share, sense_far, sense_loss, sense_coherence"


def score(lake: LocalLake, number: int, name: str, **found: Any) -> None:
    """A request as the scorers left it, in an object of its own."""
    row = StoredScore(
        persona="runa", log=name, request_id=str(number), time=NOW - timedelta(minutes=number), model="runa:one",
        outcome="answered", top_score=0.8, support=None, **found,
    )  # fmt: skip
    write_scores(lake, "runa", f"{NOW:%Y-%m-%d}", [row])


def test_what_reads_as_language_is_in_the_marts_also_of_a_home_that_was_made_before(home: Path) -> None:
    lake = LocalLake(home / "lake")
    log(home, "a", 0)
    log(home, "b", 1)
    score(lake, 0, "a", sense_share=0.5, sense_far=0.25, sense_loss=4.25, sense_coherence=0.375)
    [key] = lake.keys(f"{FOLDER}/runa")
    score(lake, 1, "b")
    older = next(other for other in lake.keys(f"{FOLDER}/runa") if other != key)
    table = pq.read_table(io.BytesIO(lake.read(older)))
    buffer = io.BytesIO()
    pq.write_table(table.drop_columns([n for n in table.column_names if n.startswith("sense_")]), buffer)
    lake.write(older, buffer.getvalue())  # as it was stored before anything was read as language
    monitor(home)
    expected = [("0", 0.5, 0.25, 4.25, 0.375), ("1", None, None, None, None)]
    for table_name in ("requests", "stg_scores"):
        assert rows(home, f"select request_id, {SENSE} from {table_name} order by 1") == expected
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        for table_name in ("requests", "stg_scores"):
            for column in SENSE.split(", "):
                connection.execute(f"alter table {table_name} drop column {column}")
    monitor(home)
    for table_name in ("requests", "stg_scores"):
        assert rows(home, f"select request_id, {SENSE} from {table_name} order by 1") == expected
    assert len(read_scored(lake, "runa")) == 2
