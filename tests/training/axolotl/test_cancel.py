"""The button that ends a run in the Dagster UI ends its training."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import httpx
import pytest
import yaml

from tests.support.machine import free_port, until
from tests.training.training_factories import instruct_dataset, processes_of, settings, tiny_base
from twin_assets.core.datasets.rows import dataset_folder
from twin_assets.settings import ROOT
from twin_assets.training.configs.job import TrainingJob

LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
TERMINATE = """mutation ($id: String!) { terminateRun(runId: $id) {
  __typename ... on TerminateRunFailure { message } } }"""

Found = TypeVar("Found")


def prepare_home(home: Path) -> dg.DagsterInstance:
    """A registered base, a dataset in the lake that takes minutes to train on, and one persona."""
    platform = settings(home)
    (home / "base.txt").write_text(tiny_base(platform).tag)
    manifest = instruct_dataset(home / "data", 1500, words=100)
    (home / "manifest.json").write_text(manifest.model_dump_json())
    folder = platform.lake_dir / dataset_folder("runa", "instruct", manifest.version)
    folder.parent.mkdir(parents=True)
    (home / "data").rename(folder)
    coordinator = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    (home / "dagster.yaml").write_text(
        yaml.safe_dump({"telemetry": {"enabled": False}, "run_coordinator": coordinator})
    )
    instance = dg.DagsterInstance.from_config(str(home))
    instance.add_dynamic_partitions("personas", ["runa"])
    return instance


@contextmanager
def dagster(home: Path) -> Iterator[httpx.Client]:
    """The web server that people use, and a client of the API behind its buttons."""
    port = free_port()
    location = Path(__file__).with_name("cancel_location.py")
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name("dagster-webserver")), "-h", "127.0.0.1", "-p", str(port), "-f", str(location)],
        cwd=ROOT,
        env=os.environ | {
            "DAGSTER_HOME": str(home), "TWIN_HOME": str(home), "TWIN_PROFILE": "nano",
            "TWIN_TRAINING_CHECKPOINT_SECONDS": "1", "PYTHONPATH": str(ROOT),
        },
    )  # fmt: skip

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/server_info").status_code == 200
        return False

    try:
        until(answers)
        yield httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
    finally:
        server.terminate()
        server.wait(30)


def ask(client: httpx.Client, query: str, **variables: Any) -> dict[str, Any]:
    answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in answer, answer
    [value] = answer["data"].values()
    return dict(value)


@pytest.mark.e2e
def test_terminating_the_run_in_the_ui_ends_the_training_and_says_where_it_will_go_on(
    tmp_path: Path,
) -> None:
    instance = prepare_home(tmp_path)
    with dagster(tmp_path) as client:
        selector = {
            "repositoryLocationName": "cancel_location.py", "repositoryName": "__repository__",
            "pipelineName": "train",
        }  # fmt: skip
        tags = [{"key": "dagster/partition", "value": "runa"}]
        params = {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        launched = ask(client, LAUNCH, params=params)
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]

        def said(words: str) -> bool:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.status != dg.DagsterRunStatus.FAILURE, instance.all_logs(run_id)[-3:]
            return any(words in entry.user_message for entry in instance.all_logs(run_id))

        # While it trains, the run's log in Dagster shows its steps and its checkpoints.
        until(lambda: said("checkpoint saved") and said("tokens/s"))
        [file] = (tmp_path / "cache" / "training" / "runa").glob("sft-*/job.json")
        job = TrainingJob.model_validate_json(file.read_text())
        assert len(processes_of(job)) > 0
        assert ask(client, TERMINATE, id=run_id)["__typename"] == "TerminateRunSuccess"
        until(lambda: instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.CANCELED)
        until(lambda: not processes_of(job))
        assert said("sft was cancelled; the next run resumes from the checkpoint of step ")
