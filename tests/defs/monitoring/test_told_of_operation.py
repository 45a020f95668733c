"""What is told of the running of things: failed work, failing sources, candidates that wait, runs that wait, a full disk; from a
real instance's own records."""

import shutil
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from tests.monitoring.alerts.alert_doubles import HookDouble
from tests.support.releases import Office
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import LocalLake
from twin_assets.definitions import defs
from twin_assets.defs.shared.common import personas
from twin_assets.defs.shared.resources import build_resources
from twin_assets.monitoring.alerts.lifecycle import PLATFORM, Alert, batches, open_alerts


class Told:
    """The sensor as Dagster's daemon ticks it; `now` moves on with each tick by a minute, or as said."""

    def __init__(self, home: Path, hook: HookDouble) -> None:
        self.home, self.hook, self.cursor, self.now = home, hook, None, datetime.now(UTC)

    def tick(self, instance: dg.DagsterInstance, after: timedelta = timedelta(minutes=1)) -> str:
        self.now += after
        given = {
            "home": str(self.home),
            "replay_now": self.now.isoformat(),
            "alert_webhook_url": f"{self.hook.address}/hook",
        }
        repository = defs.get_repository_def()
        with dg.build_sensor_context(
            instance=instance, cursor=self.cursor, resources={"platform": build_resources(given)["platform"]},
            repository_def=repository,
        ) as context:  # fmt: skip
            done = repository.get_sensor_def("send_alerts").evaluate_tick(context)
        self.cursor = done.cursor
        return done.skip_message or ""

    def open(self, persona: str = "runa") -> dict[str, Alert]:
        standing = open_alerts(batches(LocalLake(self.home / "lake"), persona))
        return {name: one.alert for name, one in standing.items()}


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with HookDouble() as hook:
        yield Told(tmp_path / "home", hook)


def asset(name: str, error: Exception | None = None, told: Any = None) -> dg.AssetsDefinition:
    """An asset of the platform's name that fails, or tells something."""

    @dg.asset(name=name, partitions_def=personas)
    def made() -> dg.MaterializeResult:
        if error is not None:
            raise error
        return dg.MaterializeResult(metadata=told or {})

    return made


def run(
    instance: dg.DagsterInstance, one: dg.AssetsDefinition, persona: str = "runa"
) -> dg.ExecuteInProcessResult:
    return dg.materialize([one], instance=instance, partition_key=persona, raise_on_error=False)


def test_failed_work_is_told_once_with_its_reason_and_link_and_is_over_when_it_was_done(
    instance: dg.DagsterInstance, told: Told
) -> None:
    failed = run(
        instance, asset("sft_model", TwinError("The card is out of memory.", "train with a smaller batch."))
    )
    assert "message 1 speaks of failed:sft_model" in told.tick(instance)
    alert = told.open()["failed:sft_model"]
    assert alert.how_bad == "The card is out of memory. Fix: train with a smaller batch."
    assert alert.link == f"http://127.0.0.1:3070/runs/{failed.run_id}"
    for _ in range(3):
        told.tick(instance)
    assert len(told.hook.posted) == 1
    assert told.open("ola") == {}
    # It fails again, for another reason: the same thing, still open, not told again at once.
    run(instance, asset("sft_model", ValueError("no such file")))
    told.tick(instance)
    assert len(told.hook.posted) == 1
    run(instance, asset("sft_model"))
    told.tick(instance)
    assert told.open() == {}
    assert told.hook.posted[-1]["subject"] == "[LLM Twin] runa: over: failed:sft_model"


def test_one_personas_failure_says_nothing_of_another_and_old_ones_are_forgotten(
    instance: dg.DagsterInstance, told: Told
) -> None:
    run(instance, asset("chunks", ValueError("a")), "runa")
    run(instance, asset("chunks", ValueError("b")), "ola")
    told.tick(instance)
    assert told.open()["failed:chunks"].how_bad == "ValueError: a"
    assert told.open("ola")["failed:chunks"].how_bad == "ValueError: b"
    run(instance, asset("chunks"), "ola")
    told.tick(instance)
    assert (set(told.open()), set(told.open("ola"))) == ({"failed:chunks"}, set())
    told.tick(instance, timedelta(days=8))
    assert told.open() == {}


@dg.op
def breaks() -> None:
    raise TwinError("The hub refuses the token.", "make a new one.")


@dg.op
def works() -> None:
    pass


def launch(instance: dg.DagsterInstance, op: dg.OpDefinition, tags: dict[str, str]) -> None:
    job = dg.GraphDefinition("push_model", node_defs=[op]).to_job(tags=tags)
    job.execute_in_process(instance=instance, raise_on_error=False)


def test_a_job_without_assets_is_told_of_where_nobody_watched_it(
    instance: dg.DagsterInstance, told: Told
) -> None:
    by_schedule = {"dagster/schedule_name": "nightly", "dagster/partition": "runa"}
    launch(instance, breaks, {"dagster/partition": "runa"})
    told.tick(instance)
    assert told.open() == {}, "a person launched it and is shown what became of it"
    launch(instance, breaks, by_schedule | {"dagster/will_retry": "true"})
    told.tick(instance)
    assert told.open() == {}, "it is tried again by itself"
    launch(instance, breaks, by_schedule)
    launch(instance, breaks, {"dagster/sensor_name": "watch"})
    told.tick(instance)
    assert told.open()["failed:push_model"].how_bad == "The hub refuses the token. Fix: make a new one."
    assert set(told.open(PLATFORM)) == {"failed:push_model"}
    assert "[LLM Twin] the platform: warning: failed:push_model" in {m["subject"] for m in told.hook.posted}
    launch(instance, works, by_schedule)
    told.tick(instance)
    assert told.open() == {}


def test_a_source_that_refuses_is_told_of_until_it_is_read(instance: dg.DagsterInstance, told: Told) -> None:
    error = "https://api.linkedin.com answered 401: the token has expired. Fix: make a new one."
    run(instance, asset("raw_linkedin", told={"error": error}))
    run(instance, asset("raw_medium"))
    told.tick(instance)
    assert set(told.open()) == {"source:linkedin"}
    assert told.open()["source:linkedin"].how_bad == error
    assert "assets/raw_linkedin?partition=runa" in told.open()["source:linkedin"].link
    run(instance, asset("raw_linkedin"))
    told.tick(instance)
    assert told.open() == {}


def test_a_candidate_is_told_of_once_and_again_before_it_can_not_be_approved_any_more(
    instance: dg.DagsterInstance, told: Told
) -> None:
    office = Office(told.home)
    waits = office.candidate()
    told.tick(instance)
    [message] = told.hook.posted
    assert message["subject"] == f"[LLM Twin] runa: notice: approval:{waits.model}"
    assert "waits for a person's approval" in message["text"]
    for _ in range(10):
        told.tick(instance, timedelta(days=1))
    assert len(told.hook.posted) == 1, "a notice is no nagging"
    told.tick(instance, timedelta(days=1))
    assert told.hook.posted[-1]["subject"] == f"[LLM Twin] runa: warning: approval_ends:{waits.model}"
    told.tick(instance, timedelta(days=1))
    assert told.hook.posted[-1]["repeated"][0]["name"] == f"approval_ends:{waits.model}"
    told.tick(instance, timedelta(days=3))
    assert told.open() == {}
    assert set(told.hook.posted[-1]["told"]) == {f"approval:{waits.model}", f"approval_ends:{waits.model}"}


def test_a_rejected_candidate_waits_no_more(instance: dg.DagsterInstance, told: Told) -> None:
    office = Office(told.home)
    waits = office.candidate()
    told.tick(instance)
    office.decide("reject", waits)
    told.tick(instance)
    assert told.open() == {}


def test_a_disk_that_fills_and_runs_that_wait_are_of_the_platform(
    instance: dg.DagsterInstance, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    told.home.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1000, 500, 500))
    assert "the platform" not in told.tick(instance)
    job = dg.GraphDefinition("collect", node_defs=[works]).to_job()
    where = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
    queued = instance.create_run_for_job(job, remote_job_origin=RemoteJobOrigin(where, job.name))
    enqueued = dg.DagsterEvent(dg.DagsterEventType.RUN_ENQUEUED.value, job.name)
    instance.report_dagster_event(enqueued, queued.run_id)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1000, 950, 50))
    assert "the platform: open: disk" in told.tick(instance)
    assert told.open(PLATFORM)["disk"].how_bad == "5% is free"
    assert told.hook.posted[-1]["subject"] == "[LLM Twin] the platform: critical: disk"
    told.tick(instance, timedelta(hours=3))
    assert set(told.open(PLATFORM)) == {"disk", "backlog"}
    assert told.open(PLATFORM)["backlog"].how_bad == "1 wait"


def test_a_tick_asks_dagster_no_more_for_many_personas_than_for_few(
    instance: dg.DagsterInstance, told: Told
) -> None:
    """Rows are asked for by asset, not by persona."""
    instance.add_dynamic_partitions("personas", [f"p{n:03d}" for n in range(200)])
    told.tick(instance)
    asked: list[str] = []
    storage = instance.event_log_storage
    for name in ("fetch_materializations", "get_latest_storage_id_by_partition", "get_logs_for_run"):
        plain = getattr(storage, name)
        setattr(
            storage, name, lambda *a, _plain=plain, _name=name, **k: (asked.append(_name), _plain(*a, **k))[1]
        )
    told.tick(instance)
    assert len(asked) < 30, asked
