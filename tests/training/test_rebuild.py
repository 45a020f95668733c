"""A model that was trained by Axolotl is trained again from what was kept of it, and comes out the same."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.feature.instruct.test_dataset_versions import FACTS, row
from tests.support.machine import PATIENCE, until
from tests.training.training_factories import processes_of, settings, tiny_base, train
from twin_assets.core.datasets.rows import DOCUMENTS, dataset_folder
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Message
from twin_assets.core.storage.lake import open_lake
from twin_assets.defs.shared.resources import build_resources
from twin_assets.defs.training.registry_jobs import rebuild_model_version
from twin_assets.feature.instruct.tasks import make_row
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.jobs import finish_job, prepare_job
from twin_assets.training.rebuild import rebuild

pytestmark = pytest.mark.e2e


def test_a_version_is_rebuilt_from_its_dataset_and_configuration(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    lake, base = open_lake(platform), tiny_base(platform)
    rows = [row(n, "answer", "heldout" if n > 15 else "train") for n in range(18)]
    manifest = write_dataset(lake, "runa", "instruct", rows, **FACTS)
    folder = lake.local(dataset_folder("runa", "instruct", manifest.version))
    changed = {"learning_rate": 0.002}  # a value that no file of this checkout holds any more
    job = prepare_job(platform, load_profile("smoke"), "sft", base, manifest, folder, "runa", changed)
    status, output = train(job)
    assert status == 0, output
    version = finish_job(platform, job)
    assert version.about.license == "MIT"
    assert version.about.environment["axolotl"]
    assert str(tmp_path) not in version.config_file.read_text()

    # As a person launches it in the Dagster UI; it fails when another model comes of it.
    result = rebuild_model_version.execute_in_process(
        resources=build_resources({"home": str(tmp_path)}),
        run_config={"ops": {"rebuild_model": {"config": {"model": version.tag}}}},
    )
    [done] = [e for e in result.all_events if e.is_successful_output]
    made = {name: value.value for name, value in done.step_output_data.metadata.items()}
    assert (made["dataset"], made["config"]) == (manifest.version, version.lineage.config_hash)
    assert made["same_code"]
    assert set(made["environment_changes"]) <= {"code"}  # the checkout may move while a test runs
    assert "| train_loss |" in made["metrics"]
    assert Path(made["folder"]) != job.folder
    again = json.loads((Path(made["folder"]) / "result.json").read_text())["metrics"]
    assert again["train_loss"] == pytest.approx(version.metrics["train_loss"], rel=1e-3)
    assert [v.tag for v in Registry(platform).list("runa")] == [version.tag]

    again_job = TrainingJob.model_validate_json((Path(made["folder"]) / job.file.name).read_text())
    told_to_end_leaves_no_process(version.tag, again_job)

    with pytest.raises(TwinError, match="is a base model"):
        rebuild(platform, lake, base.tag)
    rows = (folder / "train.jsonl").read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join([*rows, rows[0]]))
    with pytest.raises(TwinError, match="are not those that trained"):
        rebuild(platform, lake, version.tag)
    lake.delete(f"{dataset_folder('runa', 'instruct', manifest.version)}/manifest.json")
    with pytest.raises(TwinError, match="is not in the lake"):
        rebuild(platform, lake, version.tag)


def test_a_model_that_read_documents_is_rebuilt_from_what_it_read(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    lake, base = open_lake(platform), tiny_base(platform)
    rows = [row(n, "answer", "heldout" if n > 3 else "train") for n in range(5)]
    said = [
        Message(role="assistant", content="The ferry waits for the tide. " * 6 + f"Day {n}.")
        for n in range(8)
    ]
    documents = [
        make_row(f"document{n}", DOCUMENTS, "train", [text], "public") for n, text in enumerate(said)
    ]
    manifest = write_dataset(lake, "runa", "instruct", rows, documents=documents, **FACTS)
    folder = lake.local(dataset_folder("runa", "instruct", manifest.version))
    job = prepare_job(platform, load_profile("smoke"), "cpt", base, manifest, folder, "runa")
    status, output = train(job)
    assert status == 0, output
    read = finish_job(platform, job)
    assert read.metrics["rows_trained"] == 8

    again = rebuild(platform, lake, read.tag)
    assert (again.dataset, again.config_hash) == (manifest.version, read.lineage.config_hash)
    assert again.folder != job.folder
    assert again.metrics["train_loss"].after == pytest.approx(read.metrics["train_loss"], rel=1e-3)


def told_to_end_leaves_no_process(tag: str, job: TrainingJob) -> None:
    """`twin rebuild` in a process of its own, which is told to end when its training has begun."""
    environment = os.environ | {"TWIN_HOME": str(job.folder.parents[3]), "TWIN_WANDB_MODE": "offline"}
    command = subprocess.Popen([sys.executable, "-m", "twin_assets.cli", "rebuild", tag], env=environment)
    training: list[int] = []
    try:
        training = until(lambda: trains(job), "the training")
        command.terminate()
        assert command.wait(PATIENCE) == 130
        until(lambda: not (trains(job) or processes_of(job)), "the end of every process")
    finally:
        command.kill()
        for pid in training:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def trains(job: TrainingJob) -> list[int]:
    """Ids of the processes that are given this job."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended while we looked
            if str(job.file).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found
