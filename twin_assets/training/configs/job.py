"""What travels between preparing, running and finishing a training: plain records stored as JSON."""

from pathlib import Path
from typing import Any

from twin_assets.core.datasets.rows import side_for
from twin_assets.core.models.registry import About, Lineage
from twin_assets.core.models.version import REWARD_FILE
from twin_assets.core.records import Record
from twin_assets.settings import GpuOption
from twin_assets.training.configs.overlays import TrainingStage


class RayWorkers(Record):
    """The workers that a run on Ray asks for, each with its share of the cluster; 0 GPUs trains on CPU."""

    workers: int
    gpus: int
    cpus: int


class TrainingJob(Record):
    """One Axolotl run, known by its inputs. `folder` holds all it writes; `config` is Axolotl's own.

    `rows` counts the dataset's sides: {"train": n, "test": m}; "train" is what the stage trains on. `checkpoint_seconds` is the least time
    between two checkpoints, `hours` the longest that the run may take, `micro_batch` the most rows that a device takes at once, if someone says,
    `gpu_options` what it may use of a GPU. Without `ray`
    the run uses the machine it is started on: its GPUs, or without one `cpu_workers` processes.
    """

    folder: Path
    stage: TrainingStage
    lineage: Lineage
    parent_path: Path
    dataset_dir: Path
    rows: dict[str, int]
    config: dict[str, Any]
    wandb_mode: str
    checkpoint_seconds: float
    hours: float = 96.0
    micro_batch: int | None = None
    gpu_options: tuple[GpuOption, ...] = ()
    cpu_workers: int = 1
    ray: RayWorkers | None = None
    about: About = About()

    @property
    def model_tag(self) -> str:
        """The name that the registry will give to the model."""
        return self.lineage.tag

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
    def train_file(self) -> Path:
        """The rows of the dataset that are trained on."""
        return self.dataset_dir / f"{side_for(self.stage)}.jsonl"

    @property
    def log_file(self) -> Path:
        return self.folder / "train.log"

    @property
    def error_file(self) -> Path:
        return self.folder / "error.json"

    @property
    def phase_file(self) -> Path:
        return self.folder / "phase"

    @property
    def reward_file(self) -> Path:
        return self.folder / REWARD_FILE

    @property
    def history_file(self) -> Path:
        return self.folder / "history.jsonl"


class TrainingResult(Record):
    """What a finished run reports. `rows_dropped` are rows of the dataset that were not trained on.

    metrics: train_loss (mean of the last tenth of the steps, nats a token), eval_loss (last
    evaluation), steps, seconds (of training, all attempts together), tokens_per_second (mean),
    peak_memory_gb, rows_trained (of GRPO the prompts it was asked with), rows_dropped, prompt_rows_checked (rows whose format was compared with
    the served one); for DPO also reward_accuracy (share) and reward_margin, means of the later half of the
    steps: each step judges its pairs before it learns from them. For GRPO the reward and its terms, voice, copied, unsupported and
    unreadable, in the same way.
    `resumed_from_step` is 0 for a run in one piece. `micro_batch` are the rows that a device took at once, where
    they were not the config's, and `gpu_options` what the run used of a GPU.
    """

    model_dir: Path
    metrics: dict[str, float]
    rows_trained: int
    rows_dropped: int
    resumed_from_step: int = 0
    micro_batch: int | None = None
    gpu_options: tuple[GpuOption, ...] = ()
    wandb_dir: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the hardware decided, by name; empty where all was as the config says."""
        decided = {
            "micro_batch": str(self.micro_batch or ""),
            "gpu_options": ", ".join(self.gpu_options),
        }
        return {name: value for name, value in decided.items() if value}


class HistoryPoint(Record):
    """What the trainer logged at a step; a value that it didn't log is None.

    `seconds` counts from the beginning of training, all attempts together. `tokens_per_second` counts
    what the model read, without padding, over all workers. `memory_gb` is the most that the process had
    so far, in this attempt: what torch holds of its GPU, or without one of main memory.
    """

    step: int
    seconds: float = 0.0
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    memory_gb: float | None = None
    reward_accuracy: float | None = None
    reward_margin: float | None = None
    reward: float | None = None
    reward_voice: float | None = None
    reward_copied: float | None = None
    reward_unsupported: float | None = None
    reward_unreadable: float | None = None
