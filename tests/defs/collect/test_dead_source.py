"""A source in error says so, and keeps neither the other sources nor what it has stored from being carried on; a walk told to end ends."""

import os
import signal
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from demo.sites import DemoSites
from tests.feature.crawl.writing import write_article, write_post
from twin_assets.cli.base import sigterm_is_ctrl_c
from twin_assets.cli.runner import Runner, hears_stops
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources
from twin_assets.settings import Settings, load_settings

PERSONA = """
name: runa
full_name: Runa Hollis
about: She looks after a ferry company's data.
license: CC-BY-4.0
linkedin: {profile: "https://www.linkedin.com/in/r", api: "URL/linkedin"}
medium: {feed: "URL/medium/feed/@runahollis"}
"""
STEPS = ["raw_linkedin", "raw_medium", "stg_documents", "documents", "document_history"]


def declare(home: Path, sites: DemoSites) -> dict[str, str]:
    """The persona's file and the settings of a run, as overrides."""
    (home / "personas").mkdir(exist_ok=True)
    (home / "personas" / "runa.yaml").write_text(PERSONA.replace("URL", sites.url()))
    return {
        "home": str(home), "personas_dir": str(home / "personas"), "allow_private_hosts": "true",
        "linkedin_token": "t", "crawl_backoff": "0.01",
    }  # fmt: skip


def materialize(instance: dg.DagsterInstance, overrides: dict[str, str]) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        defs.assets, instance=instance, partition_key="runa", resources=build_resources(overrides),
        selection=dg.AssetSelection.assets(*STEPS), raise_on_error=False,
    )  # fmt: skip


def documents(home: Path) -> dict[str, int]:
    with duckdb.connect(str(Settings(home=home).warehouse_path), read_only=True) as warehouse:
        return dict(warehouse.execute("select source, count(*) from documents group by 1").fetchall())


def test_one_dead_source_is_told_by_its_check_and_the_others_reach_the_warehouse(tmp_path: Path) -> None:
    for number in (1, 2):
        write_post(tmp_path / "w", number)
    write_article(tmp_path / "w", "medium", 1)
    with DemoSites(tmp_path / "w") as sites, dg.DagsterInstance.ephemeral() as instance:
        overrides = declare(tmp_path, sites)
        instance.add_dynamic_partitions("personas", ["runa"])
        sites.fail["/linkedin"] = 500
        first = materialize(instance, overrides)  # it has never answered
        assert first.success
        checks = {
            (c.asset_key.to_user_string(), c.check_name): c for c in first.get_asset_check_evaluations()
        }
        whole = checks["raw_linkedin", "collected_whole"]
        assert (whole.passed, whole.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert "HTTP 500" in str(whole.metadata["error"].value)
        assert "Fix:" in str(whole.metadata["error"].value)
        assert checks["raw_medium", "collected_whole"].passed
        assert documents(tmp_path) == {"medium": 1}

        sites.fail.clear()
        assert materialize(instance, overrides).success
        sites.fail["/linkedin"] = 500
        write_article(tmp_path / "w", "medium", 2)
        sites.reread()
        assert materialize(instance, overrides).success  # it has answered before: what is stored stays
    assert documents(tmp_path) == {"linkedin": 2, "medium": 2}


class ShortWalk(Runner):
    """The walk as far as the warehouse."""

    def _order(self) -> list[list[dg.AssetKey]]:
        return [keys for keys in super()._order() if keys[0].to_user_string() in STEPS]


@pytest.mark.parametrize("dead", [["/linkedin"], ["/linkedin", "/medium"]])
def test_a_walk_goes_on_without_a_dead_source_unless_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dead: list[str]
) -> None:
    write_post(tmp_path / "w", 1)
    write_article(tmp_path / "w", "medium", 1)
    with DemoSites(tmp_path / "w") as sites:
        for name, value in declare(tmp_path, sites).items():
            monkeypatch.setenv(f"TWIN_{name.upper()}", value)
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        sites.fail = dict.fromkeys(dead, 500)
        walk = ShortWalk(load_settings(), "runa")
        fine = walk.materialize_stale()
    assert [step.name for step in walk.failed_sources()] == [f"raw_{path[1:]}" for path in dead]
    assert "HTTP 500" in (walk.failed_sources()[0].problem or "")
    if len(dead) == 1:  # `fine` is what an approval on the command line asks for
        assert (fine, walk.steps[-1].state) == (True, "done")
        assert documents(tmp_path) == {"medium": 1}
    else:
        assert not fine
        assert {step.group for step in walk.steps} == {"collect"}


def test_a_walk_ends_when_it_is_told_to_between_the_steps_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There Dagster notes a signal, and forgets it with the end of the run."""
    write_post(tmp_path / "w", 1)
    write_article(tmp_path / "w", "medium", 1)
    write_event = dg.DagsterInstance.handle_new_event

    def told_to_end(instance: dg.DagsterInstance, event: dg.EventLogEntry, **options: object) -> None:
        if event.dagster_event and event.dagster_event.event_type_value == "PIPELINE_SUCCESS":
            os.kill(os.getpid(), signal.SIGTERM)
        write_event(instance, event, **options)  # type: ignore[arg-type]

    with DemoSites(tmp_path / "w") as sites:
        for name, value in declare(tmp_path, sites).items():
            monkeypatch.setenv(f"TWIN_{name.upper()}", value)
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        monkeypatch.setattr(dg.DagsterInstance, "handle_new_event", told_to_end)
        walk = ShortWalk(load_settings(), "runa")
        # As the command does it: what Dagster hands the signal to when its run is over must not be this process's end.
        with pytest.raises(KeyboardInterrupt), sigterm_is_ctrl_c():
            walk.materialize_stale()
    assert len(walk.steps) == 1


def test_what_ends_a_forked_child_does_not_end_the_walk() -> None:
    with hears_stops() as stopped:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not stopped()
