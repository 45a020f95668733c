"""What travels between preparing, running and finishing a training: plain records stored as JSON."""

from pathlib import Path
from typing import Any

from twin_assets.core.records import Record
from twin_assets.core.registry import About, Lineage
from twin_assets.training.configs import TrainingStage


class TrainingJob(Record):
    """One Axolotl run, known by its inputs. `folder` holds all it writes; `config` is Axolotl's own.

    `rows` counts the dataset's sides: {"train": n, "test": m}.
    """

    folder: Path
    stage: TrainingStage
    lineage: Lineage
    parent_path: Path
    dataset_dir: Path
    rows: dict[str, int]
    config: dict[str, Any]
    wandb_mode: str
    about: About = About()

    @property
    def file(self) -> Path:
        return self.folder / "job.json"

    @property
    def config_file(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def model_dir(self) -> Path:
        return self.folder / "model"

    @property
    def log_file(self) -> Path:
        return self.folder / "train.log"


class TrainingResult(Record):
    """What a finished run reports. `rows_dropped` are rows of the dataset that were not trained on.

    metrics: train_loss (mean of the last tenth of the steps, nats a token), eval_loss (last
    evaluation), steps, seconds, rows_trained, rows_dropped; for DPO also reward_accuracy (share) and
    reward_margin.
    """

    model_dir: Path
    metrics: dict[str, float]
    rows_trained: int
    rows_dropped: int
    wandb_dir: Path | None = None


class HistoryPoint(Record):
    """What the trainer logged at a step; a value that it didn't log is None."""

    step: int
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    reward_accuracy: float | None = None
    reward_margin: float | None = None
