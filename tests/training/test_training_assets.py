"""What the training assets say when the process that they start fails."""

from pathlib import Path

from tests.training.sft_asset import materialize_sft
from tests.training.training_factories import instruct_dataset
from twin_assets.core.storage.experiments import ExperimentRow


def test_a_training_that_fails_shows_its_own_reason_not_the_processs_exit_code(tmp_path: Path) -> None:
    manifest = instruct_dataset(tmp_path / "data", train=3)
    (tmp_path / "data" / "train.jsonl").write_text("")
    _, result = materialize_sft(tmp_path, {"wandb_mode": "offline", "profile": "nano"}, manifest)
    [failure] = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert (
        "train.jsonl has 0 rows where its manifest says 3. Fix: build the dataset again"
        in error.cause.message
    )
    [record] = (tmp_path / "lake" / "experiments" / "runa").glob("*.json")
    row = ExperimentRow.model_validate_json(record.read_text())
    assert (row.status, row.stage, row.datasets) == ("failed", "sft", {"instruct": "instruct-v1"})
    assert "train.jsonl has 0 rows" in (row.error or "")
    assert row.hyperparameters["learning_rate"] == 0.001
    assert (row.tokens, row.cost_usd) == (None, None)
