"""Old runs are removed from a real instance on SQLite; what the graph goes by stays."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus
from dagster._core.definitions.reconstruct import ReconstructableRepository

from twin_assets.definitions import defs
from twin_assets.defs.shared.common import personas

REPOSITORY = ReconstructableRepository.for_module("twin_assets.definitions", "defs")


def made(instance: dg.DagsterInstance, name: str, persona: str = "runa") -> str:
    """The id of a run that made an asset of the platform's name."""

    @dg.asset(name=name, partitions_def=personas)
    def one() -> None:
        pass

    return dg.materialize([one], instance=instance, partition_key=persona).run_id


def failed(instance: dg.DagsterInstance, **tags: str) -> str:
    run = instance.create_run_for_job(
        defs.resolve_job_def("monitor"), status=DagsterRunStatus.FAILURE, tags={f"dagster/{k}": v for k, v in tags.items()}
    )  # fmt: skip
    return run.run_id


def others(instance: dg.DagsterInstance) -> set[str]:
    """The ids of all runs but those of the job itself."""
    return {run.run_id for run in instance.get_runs() if run.job_name != "forget_old_runs"}


def removed(instance: dg.DagsterInstance, home: Path, days: int, minutes: float = 30.0) -> set[str]:
    """The ids of the runs that go when the job runs so many days from now, as Dagster's daemon would start it."""
    before = others(instance)
    later = {"home": str(home), "replay_now": (datetime.now(UTC) + timedelta(days=days)).isoformat()}
    job = REPOSITORY.get_reconstructable_job("forget_old_runs")
    config = {
        "resources": {"platform": {"config": {"overrides": later}}},
        "ops": {"remove_old_runs": {"config": {"most_minutes": minutes}}},
        "execution": {"config": {"multiprocess": {"max_concurrent": 1}}},
    }
    with dg.execute_job(job, instance, run_config=config) as ended:
        assert ended.success
    return before - others(instance)


def test_runs_go_whose_results_were_made_anew(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    monitored = [made(instance, "cost_report") for _ in range(3)]
    another = made(instance, "cost_report", "ola")
    datasets = [made(instance, "instruct_dataset") for _ in range(2)]
    broken, asked = failed(instance), failed(instance, sensor_name="evaluate_new_candidate", run_key="one")
    again = failed(instance, schedule_name="monitor_hourly", run_key="runa:2026")
    going = instance.create_run_for_job(defs.resolve_job_def("monitor"), status=DagsterRunStatus.STARTED)

    assert removed(instance, tmp_path, days=89) == set()
    assert removed(instance, tmp_path, days=91, minutes=0) == {monitored[0]}, (
        "what is left is for the next night"
    )
    assert removed(instance, tmp_path, days=91) == {monitored[1], broken, again}
    assert others(instance) == {monitored[2], another, *datasets, asked, going.run_id}
    files = {path.stem for path in (tmp_path / "dagster").rglob("*.db")}
    assert not files & {*monitored[:2], broken}
    newest = instance.get_latest_materialization_event(dg.AssetKey("cost_report"))
    assert newest is not None
    assert newest.run_id == another
    told = dg.AssetRecordsFilter(dg.AssetKey("cost_report"), asset_partitions=["runa"])
    assert [record.run_id for record in instance.fetch_materializations(told, limit=9).records] == [
        monitored[2]
    ]
