"""A tick with more to do than its bound: it does so much, the next ones the rest, and nobody stops the others."""

import logging
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import (
    InProcessTestWorkspaceLoadTarget,
    create_test_daemon_workspace_context,
    freeze_time,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.sensor import execute_sensor_iteration

from tests.defs.test_sensors_of_many import tick
from tests.support.models import lineage, save
from twin_assets.core.datasets.rows import dataset_folder
from twin_assets.core.models.registry import Registry
from twin_assets.core.storage.lake import LocalLake
from twin_assets.core.storage.s3 import StorageError
from twin_assets.defs.shared import looks
from twin_assets.defs.shared.looks import AGAIN, MOST_LOOKS, Looks
from twin_assets.settings import Settings

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SENSOR = "train_on_new_dataset"
MANY = [f"p{n:03d}" for n in range(MOST_LOOKS + 50)]


def with_datasets(instance: dg.DagsterInstance, names: list[str]) -> dg.DagsterInstance:
    instance.add_dynamic_partitions("personas", names)
    for name in names:
        told = dg.AssetMaterialization(
            "instruct_dataset", partition=name, tags={"dagster/data_version": "v1"}
        )
        instance.report_runless_asset_event(told)
    return instance


def test_a_tick_asks_for_so_many_runs_and_the_next_for_the_rest_though_one_dataset_cannot_be_read(
    local_instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    instance, home, ill = with_datasets(local_instance, MANY), tmp_path / "home", MANY[7]
    lake, registry = LocalLake(home / "lake"), Registry(Settings(home=home))
    for version in ("v0", "v1"):
        lake.write(f"{dataset_folder(ill, 'instruct', version)}/train.jsonl", b'{"messages": [')
    save(registry, tmp_path / "model", lineage("sft", persona=ill, profile=Settings().profile, datasets={"instruct": "v0"}))  # fmt: skip

    first = tick(instance, SENSOR, home, None)
    assert [r.partition_key for r in first.run_requests] == [
        name for name in MANY[:MOST_LOOKS] if name != ill
    ]
    # The daemon was killed before it stored the cursor.
    repeated = tick(instance, SENSOR, home, None)
    assert [r.run_key for r in repeated.run_requests] == [r.run_key for r in first.run_requests]
    second = tick(instance, SENSOR, home, first.cursor)
    assert [r.run_key for r in second.run_requests] == [f"{name}:v1" for name in MANY[MOST_LOOKS:]]

    rest = tick(instance, SENSOR, home, second.cursor)
    assert not rest.run_requests
    assert rest.skip_message.startswith(
        f"p000, p001, p002 and {len(MANY) - 4} more: asked for a run: there is no model yet; {ill}: can't be looked at: "
    )
    told = dg.AssetMaterialization("instruct_dataset", partition="p249", tags={"dagster/data_version": "v2"})
    instance.report_runless_asset_event(told)
    assert [r.run_key for r in tick(instance, SENSOR, home, rest.cursor).run_requests] == ["p249:v2"]


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Dagster with the coordinator that only queues runs, and so few looks a tick that a test is short."""
    monkeypatch.setenv("TWIN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(looks, "MOST_LOOKS", 6)
    (tmp_path / "dagster").mkdir()
    coordinator = {"module": "dagster._core.run_coordinator.queued_run_coordinator", "class": "QueuedRunCoordinator"}  # fmt: skip
    with dg.DagsterInstance.local_temp(
        str(tmp_path / "dagster"), overrides={"run_coordinator": coordinator}
    ) as instance:
        yield with_datasets(instance, MANY[:10])


def daemon_tick(instance: dg.DagsterInstance, at: datetime, killed: dict[str, Any] | None = None) -> None:
    """Dagster's own: every sensor of ours that is due, from the cursor that is stored to the runs that it asks for."""
    ours = LoadableTargetOrigin(module_name="twin_assets.definitions", attribute="defs")
    target = InProcessTestWorkspaceLoadTarget(InProcessCodeLocationOrigin(ours))
    with freeze_time(at), create_test_daemon_workspace_context(target, instance) as workspace:
        list(execute_sensor_iteration(workspace, logging.getLogger("daemon"), None, None, debug_crash_flags=killed))  # fmt: skip


@pytest.mark.parametrize(("place", "started"), [("TICK_HELD", 0), ("RUN_CREATED", 1)])
def test_a_daemon_that_is_killed_in_a_tick_goes_on_and_starts_nothing_twice(
    queue: dg.DagsterInstance, place: str, started: int
) -> None:
    flags = {SENSOR: {place: signal.SIGKILL}}
    child = get_context("fork").Process(target=daemon_tick, args=(queue, NOW, flags))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(queue.get_runs()) == started
    for seconds, runs in ((35, 6), (70, 10), (105, 10)):
        daemon_tick(queue, NOW + timedelta(seconds=seconds))
        assert len(queue.get_runs()) == runs
    assert {run.tags["dagster/run_key"] for run in queue.get_runs()} == {f"{name}:v1" for name in MANY[:10]}


def test_all_are_looked_at_in_turn_whoever_is_always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "MOST_LOOKS", 3)
    names, cursor, seen = [f"p{n}" for n in range(8)], None, list[list[str]]()
    for minute in range(9):
        now = Looks(cursor, NOW + timedelta(minutes=minute))
        # The first two have news at each tick, the others wait for something.
        states = {name: str(minute) if name in names[:2] else "same" for name in names}
        seen.append(now.choose(states))
        for name in seen[-1]:
            now.looked(name, "it waits", now.now)
        cursor = now.cursor()
    assert all(len(chosen) == 3 for chosen in seen)
    for three in zip(seen, seen[1:], seen[2:], strict=False):
        assert {name for chosen in three for name in chosen} == set(names)


def test_what_is_wrong_with_one_is_told_first_and_tried_again_and_a_storage_that_is_away_fails_the_tick() -> (
    None
):
    now = Looks(None, NOW)
    chosen = now.choose(dict.fromkeys(MANY[:30], "s"))

    def look(name: str) -> None:
        if name == "p009":
            raise PermissionError(13, "Permission denied", "rows.jsonl")
        now.looked(name, f"{name} is fine", None)

    now.each(chosen, look)
    assert now.told().startswith(
        "p009: can't be looked at: PermissionError: [Errno 13] Permission denied: 'rows.jsonl'; p000: p000"
    )
    assert now.told().endswith("and 18 more personas, of whom other things are told")
    states = dict.fromkeys(MANY[:30], "s")
    assert Looks(now.cursor(), NOW + AGAIN / 2).choose(states) == []
    assert Looks(now.cursor(), NOW + AGAIN).choose(states) == ["p009"]

    def nothing(name: str) -> None:
        raise StorageError("S3 can't be reached.", "see that it runs.", away=True)

    broken = Looks(None, NOW)
    with pytest.raises(StorageError, match="can't be reached"):
        broken.each(broken.choose(states), nothing)


def test_a_tick_that_takes_long_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "MOST_SECONDS", 0.05)
    states, now = dict.fromkeys(MANY[:9], "s"), Looks(None, NOW)

    def slow(name: str) -> None:
        time.sleep(0.03)
        now.looked(name, "fine", None)

    now.each(now.choose(states), slow)
    left = Looks(now.cursor(), NOW + timedelta(minutes=1)).choose(states)
    assert 6 <= len(left) <= 8
    assert left == MANY[9 - len(left) : 9]
    assert "its turn comes at one of the next ticks" in now.told()
