"""An Axolotl plugin, loaded inside the training process: it prints what happens as lines of JSON, and
decides when a checkpoint is due.

The lines carry a prefix, so that `run.py` finds them among Axolotl's own output without guessing at
its wording; the row count is the trainer's own, after everything that could have dropped a row.
"""

import gc
import json
import math
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from axolotl.integrations.base import BasePlugin
from axolotl.utils.data import rl, sft
from transformers import TrainerCallback

from twin_assets.core.models.cpu import without_gpu_kernels
from twin_assets.training.axolotl.failures import ZERO_LOSS
from twin_assets.training.axolotl.reporting.tracking import ArtifactLogger
from twin_assets.training.configs.job import TrainingJob

PREFIX = "TWIN-REPORT "
REPORTED = {
    "loss", "eval_loss", "learning_rate", "grad_norm", "rewards/accuracies", "rewards/margins", "reward", "rewards/voice/mean",
    "rewards/copied/mean", "rewards/unsupported/mean", "rewards/unreadable/mean",
}  # fmt: skip
KEPT_CHECKPOINTS = 2  # the one before, should the last turn out broken
MOST_SAVING = 0.02  # of the time: a checkpoint that takes long is made less often


class ReporterPlugin(BasePlugin):
    """Adds the callbacks to every trainer, and lets the trainer use a CPU."""

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> None:
        # The last hook before the model is placed; the dataset is left to Axolotl. Of several workers each
        # would be given the GPU of its number.
        without_gpu_kernels()
        # Axolotl's own `cfg.world_size` is that of the process that began, which has several workers on Ray.
        if os.environ.get("WORLD_SIZE", "1") == "1":
            # Axolotl writes the tokenized rows for the workers to read, by a process that imports all of this again:
            # seconds for each of the two files, for rows that the one worker holds already.
            for reader in (sft, rl):
                reader.save_preprocessed_dataset = _leave_in_memory
        if not torch.cuda.is_available():
            cfg.device_map = {"": "cpu"}

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        watched = {"include_num_input_tokens_seen": "non_padding", "save_total_limit": KEPT_CHECKPOINTS}
        # Unless it is told that a CPU is meant, the Hugging Face trainer refuses bfloat16 there.
        return watched | ({} if torch.cuda.is_available() else {"use_cpu": True})

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        job = TrainingJob.model_validate_json((Path(cfg.output_dir).parent / "job.json").read_text())
        reporter = Reporter(trainer)
        return [reporter, CheckpointClock(job.checkpoint_seconds, reporter.report), ArtifactLogger(job)]


def _leave_in_memory(*_: Any) -> None:
    pass


class Reporter(TrainerCallback):
    """Prints {event: begin | log | saving | saved | broken | end, ...}; stops at the first loss that is no number, and
    at one of zero that packed rows have."""

    def __init__(self, trainer: Any) -> None:
        self.rows = len(trainer.train_dataset)
        self.world_zero = trainer.is_world_process_zero()
        self.tokens, self.since = 0, time.monotonic()
        self.memory = Peak(_memory_gb)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Axolotl collects garbage after every step of DPO: half a second, over all that was imported and loaded before.
        gc.freeze()
        self.tokens, self.since = state.num_input_tokens_seen, time.monotonic()
        self.report(
            {"event": "begin", "rows": self.rows, "steps": state.max_steps, "step": state.global_step}
        )

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # The order of rows comes from this generator. A resumed run must draw the same order again, or
        # the rest of its epoch would repeat some rows and miss others.
        torch.manual_seed(args.seed + int(state.epoch or 0))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.memory.look()  # Axolotl sets torch's own peak back before each log

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.memory.look()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        numbers = {k: float(v) for k, v in logs.items() if isinstance(v, int | float)}
        # In float16 a gradient may overflow: the scaler skips such a step by itself.
        watched = ("loss",) if args.fp16 else ("loss", "grad_norm")
        broken = [k for k in watched if not math.isfinite(numbers.get(k, 0.0))]
        # What attention that loses its mask has been seen to train on.
        if getattr(args, "sample_packing", False) and numbers.get("loss") == 0.0:
            broken.append(ZERO_LOSS)
        if broken:
            control.should_training_stop = True
            control.should_save = False  # nobody wants to go on from here
            self.report({"event": "broken", "step": state.global_step, "what": broken[0]})
        finite = {k: v for k, v in numbers.items() if k in REPORTED and math.isfinite(v)}
        if "loss" in numbers:
            finite |= {"tokens_per_second": self._speed(state), "memory_gb": self.memory.look()}
        self.report({"event": "log", "step": state.global_step, **finite})

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.since = time.monotonic()  # evaluating is no training

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.since = time.monotonic()
        self.report({"event": "saved", "step": state.global_step})

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Less than one epoch has not seen every row, whatever the dataset holds.
        seen = round(self.rows * min(1.0, state.epoch or 0.0))
        self.report(
            {
                "event": "end",
                "step": state.global_step,
                "rows_trained": seen,
                "tokens": state.num_input_tokens_seen,
            }
        )

    def _speed(self, state: Any) -> float:
        now = time.monotonic()
        speed = (state.num_input_tokens_seen - self.tokens) / max(now - self.since, 1e-9)
        self.tokens, self.since = state.num_input_tokens_seen, now
        return round(speed, 1)

    def report(self, report: dict[str, Any]) -> None:
        """Print one line for the process that started this one; of several workers the first speaks."""
        if self.world_zero:
            print(PREFIX + json.dumps(report), flush=True)


class Peak:
    """The most that `read` has said so far, whatever it says later."""

    def __init__(self, read: Callable[[], float]) -> None:
        self.read, self.most = read, 0.0

    def look(self) -> float:
        self.most = max(self.most, self.read())
        return self.most


class CheckpointClock(TrainerCallback):
    """Asks for a checkpoint when the last is old enough, so that a killed run loses little time.

    By the clock, as neither the length of a step nor of a save is known beforehand; `seconds` is
    stretched where saving would take more than MOST_SAVING of the time.
    """

    def __init__(self, seconds: float, report: Callable[[dict[str, Any]], None]) -> None:
        self.seconds, self.report = seconds, report
        self.saved = self.asked = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # The workers' clocks differ, and a checkpoint needs all of them: the first decides.
        [due] = broadcast_object_list([time.monotonic() - self.saved > self.seconds])
        # A run that resumes at the border of an epoch draws another order of rows than the one it goes on
        # from: the next step is as good.
        if due and state.epoch % 1 and state.global_step < state.max_steps:
            control.should_save = True
            self.asked = time.monotonic()
            self.report({"event": "saving", "step": state.global_step})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = time.monotonic()
        self.seconds = max(self.seconds, (self.saved - self.asked) / MOST_SAVING)


def _memory_gb() -> float:
    """The most that torch's allocator held since its peak was last set back; without a GPU, that the process had."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_reserved() / 1e9, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)  # Linux counts KiB
