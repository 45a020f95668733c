"""The Axolotl plugin: lets the trainer use a CPU, and writes down what it does, step by step.

Axolotl loads it by name inside its own process. Facts go to `facts.json` (rows given to the trainer) and
`metrics.jsonl` (one line a log event) in the folder named by TWIN_JOB_FOLDER.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback


class TwinPlugin(BasePlugin):
    """Named in every composed configuration."""

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        # Without being told, the Hugging Face trainer refuses bfloat16 on a CPU.
        return {} if torch.cuda.is_available() else {"use_cpu": True}

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        folder = Path(os.environ["TWIN_JOB_FOLDER"])
        (folder / "facts.json").write_text(json.dumps({"rows": len(trainer.train_dataset)}))
        return [_WriteMetrics(folder / "metrics.jsonl")]


class _WriteMetrics(TrainerCallback):
    """Appends every number the trainer logs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("")

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        numbers = {name: _number(value) for name, value in (logs or {}).items()}
        row = {"step": state.global_step, "of": state.max_steps} | {
            name: value for name, value in numbers.items() if value is not None
        }
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _number(value: Any) -> float | None:
    try:
        return float(value)  # Axolotl logs some numbers as text
    except (TypeError, ValueError):
        return None
