"""What the training assets say when the process that they start fails."""

from pathlib import Path

import dagster as dg

from tests.training.training_factories import instruct_dataset, settings, tiny_base
from twin_assets.core.datasets.rows import Manifest, dataset_folder
from twin_assets.core.storage.experiments import ExperimentRow
from twin_assets.defs.shared.common import personas
from twin_assets.defs.shared.resources import build_resources
from twin_assets.defs.training.assets import sft_model


def test_a_training_that_fails_shows_its_own_reason_not_the_processs_exit_code(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    tag = tiny_base(platform).tag
    manifest = instruct_dataset(tmp_path / "data", train=3)
    folder = platform.home / "lake" / dataset_folder("runa", "instruct", manifest.version)
    folder.parent.mkdir(parents=True)
    (tmp_path / "data").rename(folder)
    (folder / "train.jsonl").write_text("")

    @dg.asset(partitions_def=personas)
    def base_model() -> str:
        return tag

    @dg.asset(name="instruct_dataset", partitions_def=personas)
    def dataset() -> Manifest:
        return manifest

    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("personas", ["runa"])
    result = dg.materialize(
        [base_model, dataset, sft_model],
        partition_key="runa",
        instance=instance,
        resources=build_resources({"home": str(tmp_path), "wandb_mode": "offline"}),
        raise_on_error=False,
    )
    [failure] = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert (
        "train.jsonl has 0 rows where its manifest says 3. Fix: build the dataset again"
        in error.cause.message
    )
    [record] = (platform.home / "lake" / "experiments" / "runa").glob("*.json")
    row = ExperimentRow.model_validate_json(record.read_text())
    assert (row.status, row.stage, row.datasets) == ("failed", "sft", {"instruct": "instruct-v1"})
    assert "train.jsonl has 0 rows" in (row.error or "")
    assert row.hyperparameters["learning_rate"] == 0.001
    assert (row.tokens, row.cost_usd) == (None, None)
