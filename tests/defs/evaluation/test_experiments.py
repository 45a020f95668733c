"""Training runs become rows of the mart, joined by what their evaluation found; a real `dbt build`, as Dagster runs it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from tests.evaluation.evaluation_factories import reciting_report
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.experiments import ExperimentRow, write_experiment
from twin_assets.core.storage.lake import LocalLake
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources
from twin_assets.evaluation.report.page import report_key
from twin_assets.training.experiments.plots import hyperparameters_plot, loss_by_run_plot, varied
from twin_assets.training.experiments.records import read_experiments

START = datetime(2025, 1, 1, tzinfo=UTC)


def run(number: int, **changes: Any) -> ExperimentRow:
    values: dict[str, Any] = {
        "run_id": f"run{number}", "tag": f"runa:{number}", "persona": "runa", "stage": "sft", "profile": "nano",
        "parent": "base:one", "datasets": {"instruct": "v1"}, "config_hash": "c", "code_version": "1", "seed": 17,
        "hyperparameters": {"learning_rate": 0.001 * number, "num_epochs": 3, "optimizer": "adamw_torch"},
        "metrics": {"eval_loss": 4.0 - number, "train_loss": 1.0}, "rows": 100, "tokens": 9000, "seconds": 60.0,
        "cost_usd": None, "host": "here", "status": "finished", "started_at": START + timedelta(hours=number),
    }  # fmt: skip
    return ExperimentRow(**values | changes)


def test_runs_meet_their_evaluations_persona_by_persona(tmp_path: Path) -> None:
    lake, warehouse = LocalLake(tmp_path / "lake"), tmp_path / "warehouse.duckdb"
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("personas", ["runa", "ada"])

    def compare(persona: str) -> dict[str, Any]:
        """Metadata of the comparison, after a real dbt build."""
        result = dg.materialize(
            defs.assets or [],
            selection=dg.AssetSelection.groups("evaluation") - dg.AssetSelection.assets("evaluation_report"),
            instance=instance,
            partition_key=persona,
            resources=build_resources({"home": str(tmp_path)}),
        )
        assert all(check.passed for check in result.get_asset_check_evaluations())
        [made] = result.asset_materializations_for_node("experiment_comparison")
        return {name: value.value for name, value in made.metadata.items()}

    with pytest.raises(TwinError, match="materialise `experiments`"):
        read_experiments(warehouse, "runa")
    assert compare("ada")["runs"] == 0  # before the first run there is a table, and it is empty
    report = reciting_report()
    lake.write(report_key("runa", "runa:one", "json"), report.model_dump_json(indent=1).encode())
    lake.write(report_key("runa", "runa:one", "html"), b"<html>")
    before = {
        "persona": "runa",
        "candidate": "runa:before",
        "contestants": {"candidate": {"voice": {"margin": 0.25}}},
    }
    lake.write(report_key("runa", "runa:before", "json"), json.dumps(before).encode())
    write_experiment(lake, run(1))
    write_experiment(
        lake, run(2, tag="runa:one", stage="dpo", datasets={"instruct": "v1", "preference": "v7"})
    )
    write_experiment(lake, run(3, status="failed", metrics={}, error="The disk is full.", tokens=None))
    write_experiment(lake, run(4, tag=None, status="pruned", study="runa-nano-sft", trial=1, cost_usd=0.25))
    write_experiment(lake, run(5, persona="ada"))
    compare("runa")
    shown = compare("runa")  # once more: nothing twice
    assert (shown["runs"], shown["finished"], shown["failed"], shown["pruned"]) == (4, 2, 1, 1)
    assert (shown["hours"], shown["cost_usd"]) == (0.07, 0.25)
    assert shown["comparison"].splitlines()[2].startswith("| dpo | runa:one | finished | v7 | 2 |")
    assert shown["loss_by_run"].startswith("![loss by run](data:image/png;base64,")

    first, second, failed, pruned = read_experiments(warehouse, "runa")
    assert (first.eval_loss, first.voice_gain, first.dataset, first.tokens) == (3.0, None, "v1", 9000)
    assert json.loads(first.hyperparameters)["optimizer"] == "adamw_torch"
    assert first.started_at == START + timedelta(hours=1)
    assert (second.dataset, second.voice_gain) == ("v7", report.gain)
    assert second.voice_margin == report.systems["candidate"].voice.margin
    figure = report.systems["candidate"].voice.figure
    assert figure is not None
    assert (second.voice_figure, first.voice_figure) == (figure.value, None)
    assert second.copied_share == report.systems["candidate"].copying.copied_share
    assert (failed.status, failed.eval_loss) == ("failed", None)
    assert (pruned.tag, pruned.study, pruned.cost_usd) == (None, "runa-nano-sft", 0.25)
    assert read_experiments(warehouse, "ada") == []  # hers is built when hers is asked for
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        rates = connection.execute("select learning_rate from experiments where run_id = 'run1'").fetchall()
        margins = connection.execute("select tag, voice_margin from stg_evaluations order by tag").fetchall()
    assert rates == [(0.001,)]
    assert margins[0] == ("runa:before", 0.25)  # a report from when systems were called contestants

    runs = read_experiments(warehouse, "runa")
    assert varied([json.loads(r.hyperparameters) for r in runs]) == ["learning_rate"]
    for shown in (runs, []):
        assert loss_by_run_plot(shown).startswith(b"\x89PNG")
        assert hyperparameters_plot(shown).startswith(b"\x89PNG")
