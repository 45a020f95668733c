"""What the training assets say when the process that they start fails."""

from pathlib import Path

import pytest

from tests.training.sft_asset import materialize_sft
from tests.training.training_factories import instruct_dataset, settings
from twin_assets.core.models.registry import Registry
from twin_assets.core.storage.experiments import ExperimentRow


def test_a_training_that_fails_shows_its_own_reason_not_the_processs_exit_code(tmp_path: Path) -> None:
    manifest = instruct_dataset(tmp_path / "data", train=3, documents=9)
    (tmp_path / "data" / "train.jsonl").write_text("")
    asked = {"wandb_mode": "offline", "profile": "nano", "continued_pretraining_tokens": 1000}
    _, result = materialize_sft(tmp_path, asked | {"hardware_usd_per_hour": 36.0}, manifest)
    [failure] = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert (
        "train.jsonl has 0 rows where its manifest says 3. Fix: build the dataset again"
        in error.cause.message
    )
    records = (tmp_path / "lake" / "experiments" / "runa").glob("*.json")
    read, row = sorted(
        (ExperimentRow.model_validate_json(record.read_text()) for record in records), key=lambda r: r.stage
    )
    assert (read.status, read.stage, read.rows, read.datasets) == ("finished", "cpt", 9, row.datasets)
    assert read.cost_usd == pytest.approx(read.seconds / 100, rel=1e-3)
    assert row.parent == read.tag, "what read the documents stays, and is what SFT begins with"
    assert Registry(settings(tmp_path)).get(read.tag or "").metrics["rows_trained"] == 9
    assert (row.status, row.stage, row.datasets) == ("failed", "sft", {"instruct": "instruct-v1"})
    assert "train.jsonl has 0 rows" in (row.error or "")
    assert row.hyperparameters["learning_rate"] == 0.001
    assert row.tokens is None
