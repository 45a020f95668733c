"""Follows a training by the lines that the reporter plugin prints; knows loss, rows and time left."""

import json
import statistics
import time
from typing import Any

from twin_assets.training.records import HistoryPoint

# The plugin's prefix, repeated here: importing it would load Axolotl into this small process.
PREFIX = "TWIN-REPORT "
_NAMES = {
    "loss": "loss", "eval_loss": "eval_loss", "learning_rate": "learning_rate", "grad_norm": "grad_norm",
    "rewards/accuracies": "reward_accuracy", "rewards/margins": "reward_margin",
}  # fmt: skip


class Progress:
    """The state of one run. Feed it lines; ask for metrics when it has ended."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.history: list[HistoryPoint] = []
        self.rows_trained = 0
        self.broken: tuple[str, int] | None = None
        self.finished = False
        self._steps = self._step = 0
        self._begun = time.monotonic()

    def read(self, line: str) -> bool:
        """Take in a line of output; whether it was a report."""
        _, found, text = line.partition(PREFIX)
        if not found:
            return False
        report = json.loads(text)
        match report["event"]:
            case "begin":
                self._steps, self._begun = report["steps"], time.monotonic()
            case "log":
                self._log(report)
            case "broken":
                self.broken = (report["what"], report["step"])
            case "end":
                self.rows_trained, self.finished = report["rows_trained"], True
        return True

    def line(self) -> str:
        """One line for a person: step, loss, speed and time left."""
        loss = next((p.loss for p in reversed(self.history) if p.loss is not None), None)
        seconds = time.monotonic() - self._begun
        speed = self._step / seconds if seconds > 0 else 0.0
        left = f"{(self._steps - self._step) / speed:.0f} s left" if speed else "starting"
        shown = f"loss {loss:.3f}" if loss is not None else "no loss yet"
        return f"{self.stage}: step {self._step} of {self._steps} · {shown} · {speed:.2f} steps/s · {left}"

    def metrics(self) -> dict[str, float]:
        """train_loss is the mean of the last tenth of the steps; the rest are last values."""
        losses = [p.loss for p in self.history if p.loss is not None]
        metrics: dict[str, float] = {"steps": self._step}
        if losses:
            metrics["train_loss"] = statistics.fmean(losses[-max(1, len(losses) // 10) :])
        for name in ("eval_loss", "reward_accuracy", "reward_margin"):
            values = [v for p in self.history if (v := getattr(p, name)) is not None]
            if values:
                metrics[name] = values[-1]
        return metrics

    def _log(self, report: dict[str, Any]) -> None:
        self._step = report["step"]
        point = HistoryPoint(
            step=self._step, **{ours: report[n] for n, ours in _NAMES.items() if n in report}
        )
        if point.loss is not None or point.eval_loss is not None:
            self.history.append(point)
