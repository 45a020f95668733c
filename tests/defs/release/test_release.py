"""The red button and its consequences as Dagster runs them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.releases import Office
from twin_assets.core.persona.definition import save_persona
from twin_assets.definitions import defs
from twin_assets.defs.release.assets import release
from twin_assets.defs.shared.resources import build_resources


class Dagster:
    """Runs assets, jobs and sensors on an office's home."""

    def __init__(self, office: Office, instance: dg.DagsterInstance, overrides: dict[str, Any]) -> None:
        self.office, self.instance = office, instance
        instance.add_dynamic_partitions("personas", ["runa"])
        (office.home / "personas").mkdir(exist_ok=True)
        save_persona(office.home / "personas", {
            "name": "runa", "full_name": "Runa Hollis", "license": "CC-BY-4.0", "about": "Runa runs ferries.",
            "web": {"pages": ["https://runa.example/ferries"]},
        })  # fmt: skip
        paths = {"home": str(office.home), "personas_dir": str(office.home / "personas")}
        self.resources = build_resources(paths | overrides)

    def release(self) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [release], partition_key="runa", instance=self.instance, resources=self.resources, raise_on_error=False
        )  # fmt: skip

    def metadata(self) -> dict[str, Any]:
        [event] = self.release().asset_materializations_for_node("release")
        return {name: entry.value for name, entry in event.metadata.items()}

    def run(self, job: str, op: str, tags: dict[str, str] | None = None, **config: object) -> bool:
        given = {"ops": {op: {"config": {"persona": "runa"} | config}}}
        made = defs.resolve_job_def(job)
        return made.execute_in_process(
            given, tags=tags, instance=self.instance, resources=self.resources, raise_on_error=False
        ).success

    def tick(self, sensor: str) -> Any:
        repository = defs.get_repository_def()
        with (
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
            dg.build_sensor_context(
                instance=self.instance, resources={"platform": self.resources["platform"]}, repository_def=repository
            ) as context,
        ):  # fmt: skip
            return repository.get_sensor_def(sensor).evaluate_tick(context)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as local:
        yield local


def test_a_decision_in_dagster_is_deployed_tried_and_taken_back(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    office = Office(tmp_path / "home")
    dagster = Dagster(office, instance, {"canary_share": 0.5, "canary_minutes": 0.0})
    waits = office.candidate()
    said = dagster.metadata()
    assert (said["waiting_for_approval"], said["evaluation_to_decide_on"]) == (waits.model, waits.number)
    decision = {"evaluation": waits.number, "reviewer": "Ines", "reason": "good"}
    assert dagster.run("approve_release", "decide_approval", **decision)
    assert not dagster.run("approve_release", "decide_approval", **decision), "replayed"
    [asked] = dagster.tick("deploy_approved").run_requests
    assert asked.run_key == "runa:3"
    said = dagster.metadata()
    assert (said["production"], said["approved_by"]) == (waits.model, "Ines (not authenticated)")
    assert "no approval waits" in dagster.tick("deploy_approved").skip_message

    second = office.candidate()
    office.approve(second)
    assert dagster.metadata()["canary"] == second.model
    [over] = dagster.tick("watch_releases").run_requests
    assert over.run_config == {"ops": {"settle_watched": {"config": {"persona": "runa"}}}}
    assert dagster.run("settle_release", "settle_watched")
    assert office.ledger.production() == second.model
    assert dagster.tick("deploy_approved").run_requests, "`release` is behind the ledger"
    assert dagster.metadata()["rollback_brings_back"] == waits.model
    assert dagster.run("roll_back_release", "decide_rollback", reviewer="Ines", reason="too short")
    assert office.ledger.production() == waits.model


def test_a_run_says_who_launched_it_only_where_our_coordinator_took_it(tmp_path: Path) -> None:
    for name, known in (("CallersRunCoordinator", "page login"), ("", "not authenticated")):
        ours = {"module": "twin_assets.defs.run_coordinator", "class": name}
        settings = {"run_coordinator": ours} if name else {}
        (tmp_path / name / "instance").mkdir(parents=True)
        with dg.DagsterInstance.local_temp(str(tmp_path / name / "instance"), overrides=settings) as instance:
            office = Office(tmp_path / name / "home")
            dagster = Dagster(office, instance, {})
            decision = {"evaluation": office.candidate().number, "reviewer": "Ines", "reason": "good"}
            tags = {"twin/caller": "page login"}
            assert dagster.run("approve_release", "decide_approval", tags, **decision)
            event = office.ledger.events()[-1]
            assert (event.actor, event.claimed) == (known, "Ines")


def test_an_approval_too_old_fails_its_run_and_is_closed(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    office = Office(tmp_path / "home")
    dagster = Dagster(office, instance, {"deploy_within_hours": 0.0})
    approval = office.approve(office.candidate())
    assert datetime.now(UTC) - approval.at > timedelta(0)
    failed = dagster.release()
    [step] = [e for e in failed.all_events if e.is_step_failure]
    assert step.step_failure_data.error
    assert "TWIN_DEPLOY_WITHIN_HOURS" in step.step_failure_data.error.to_string()
    assert office.ledger.state(approval.model) == "rejected"
    assert dagster.release().success


def test_without_a_person_only_by_the_setting(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    office = Office(tmp_path / "home")
    waits = office.candidate()
    assert Dagster(office, instance, {}).metadata()["production"] == "none"
    automatic = Dagster(office, instance, {"auto_approve": True})
    assert automatic.tick("deploy_approved").run_requests
    said = automatic.metadata()
    assert (said["production"], said["approved_by"]) == (waits.model, "automatic")
