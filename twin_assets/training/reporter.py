"""An Axolotl plugin, loaded inside the training process: it prints what happens as lines of JSON.

The lines carry a prefix, so that `run.py` finds them among Axolotl's own output without guessing at
its wording; the row count is the trainer's own, after everything that could have dropped a row.
"""

import json
import math
from typing import Any

import torch
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback

PREFIX = "TWIN-REPORT "
REPORTED = {"loss", "eval_loss", "learning_rate", "grad_norm", "rewards/accuracies", "rewards/margins"}


class ReporterPlugin(BasePlugin):
    """Adds the reporting callback to every trainer, and lets the trainer use a CPU."""

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        # Unless it is told that a CPU is meant, the Hugging Face trainer refuses bfloat16 there.
        return {} if torch.cuda.is_available() else {"use_cpu": True}

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        return [Reporter(trainer)]


class Reporter(TrainerCallback):
    """Prints {event: begin | log | end, ...}; stops the training at the first loss that is no number."""

    def __init__(self, trainer: Any) -> None:
        self.rows = len(trainer.train_dataset)
        self.world_zero = trainer.is_world_process_zero()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._print({"event": "begin", "rows": self.rows, "steps": state.max_steps})

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        numbers = {k: float(v) for k, v in logs.items() if isinstance(v, int | float)}
        # In float16 a gradient may overflow: the scaler skips such a step by itself.
        watched = ("loss",) if args.fp16 else ("loss", "grad_norm")
        broken = [k for k in watched if not math.isfinite(numbers.get(k, 0.0))]
        if broken:
            control.should_training_stop = True
            self._print({"event": "broken", "step": state.global_step, "what": broken[0]})
        finite = {k: v for k, v in numbers.items() if k in REPORTED and math.isfinite(v)}
        self._print({"event": "log", "step": state.global_step, **finite})

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Less than one epoch has not seen every row, whatever the dataset holds.
        seen = round(self.rows * min(1.0, state.epoch or 0.0))
        self._print({"event": "end", "step": state.global_step, "rows_trained": seen})

    def _print(self, report: dict[str, Any]) -> None:
        if self.world_zero:
            print(PREFIX + json.dumps(report), flush=True)
