"""Follows a training by the lines that the reporter plugin prints; knows loss, speed, rows and time left."""

import json
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from twin_assets.training.axolotl.reporting.phases import FIRST_STEP, LOADING, SAVING, WRITING, training_after
from twin_assets.training.configs.job import HistoryPoint

# The plugin's prefix, repeated here: importing it would load Axolotl into this small process.
PREFIX = "TWIN-REPORT "
_NAMES = {
    "loss": "loss", "eval_loss": "eval_loss", "learning_rate": "learning_rate", "grad_norm": "grad_norm",
    "tokens_per_second": "tokens_per_second", "memory_gb": "memory_gb",
    "rewards/accuracies": "reward_accuracy", "rewards/margins": "reward_margin",
    "reward": "reward", "rewards/voice/mean": "reward_voice", "rewards/copied/mean": "reward_copied",
    "rewards/unsupported/mean": "reward_unsupported", "rewards/unreadable/mean": "reward_unreadable",
}  # fmt: skip


class Progress:
    """The state of one run. Feed it lines; ask for metrics when it has ended.

    Every point of `history` is appended to `history_file` as it comes, so that a run that is killed
    leaves what it did. `earlier` are the points that a resumed run goes on from. `phase` says what the run does.
    """

    def __init__(self, stage: str, history_file: Path, earlier: Iterable[HistoryPoint] = ()) -> None:
        self.stage = stage
        self.history = list(earlier)
        self.rows_trained = self.tokens = 0
        self.broken: tuple[str, int] | None = None
        self._file = history_file
        self._file.write_text("".join(_line(point) for point in self.history))
        self._earlier = self.history[-1].seconds if self.history else 0.0
        self._steps = self._step = self._first_step = 0
        self.phase = LOADING
        self._begun = time.monotonic()
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """Time spent in training, all attempts together."""
        return self._earlier + (self._ended or time.monotonic()) - self._begun

    @property
    def finished(self) -> bool:
        return self._ended is not None

    def read(self, line: str) -> tuple[bool, str | None]:
        """Take in a line of output; whether it was a report, and what a person should hear of it at once."""
        _, prefix, text = line.partition(PREFIX)
        if not prefix:
            return False, None
        report = json.loads(text)
        match report["event"]:
            case "begin":
                self._steps, self._begun = report["steps"], time.monotonic()
                self._step = self._first_step = report["step"]
                self.phase = FIRST_STEP
            case "log":
                self._log(report)
                self.phase = training_after(self._step)
                if "eval_loss" in report:
                    return True, f"{self.stage}: step {self._step} · held-out loss {report['eval_loss']:.3f}"
            case "saving":
                self.phase = SAVING
            case "saved":
                self.phase = training_after(report["step"])
                return True, f"{self.stage}: step {report['step']} · checkpoint saved"
            case "broken":
                self.broken = (report["what"], report["step"])
            case "end":
                self.rows_trained, self.tokens = report["rows_trained"], report["tokens"]
                self._ended = time.monotonic()
                self.phase = WRITING
        return True, None

    def line(self) -> str:
        """One line for a person: step, loss, speed, memory and time left."""
        steps = self._step - self._first_step
        pace = (time.monotonic() - self._begun) / steps if steps else 0.0
        parts = [f"{self.stage}: step {self._step} of {self._steps}"]
        parts += [f"loss {loss:.3f}"] if (loss := self._last("loss")) is not None else ["no loss yet"]
        parts += [f"{speed:,.0f} tokens/s"] if (speed := self._last("tokens_per_second")) else []
        parts += [f"{memory:.1f} GB"] if (memory := self._last("memory_gb")) else []
        parts += [f"{(self._steps - self._step) * pace:.0f} s left" if pace else "starting"]
        return " · ".join(parts)

    def metrics(self) -> dict[str, float]:
        """As TrainingResult says; the speed is all tokens over all seconds, of evaluating and saving too."""
        metrics = point_metrics(self.history)
        metrics |= {"steps": float(self._step), "seconds": round(self.seconds, 1)}
        if self.tokens:
            metrics["tokens_per_second"] = round(self.tokens / self.seconds, 1)
        return metrics

    def _last(self, name: str) -> float | None:
        return next(reversed(_values(self.history, name)), None)

    def _log(self, report: dict[str, Any]) -> None:
        self._step = report["step"]
        values = {ours: report[n] for n, ours in _NAMES.items() if n in report}
        point = HistoryPoint(step=self._step, seconds=round(self.seconds, 2), **values)
        if point.loss is not None or point.eval_loss is not None:
            self.history.append(point)
            with self._file.open("a") as file:
                file.write(_line(point))


def point_metrics(history: Sequence[HistoryPoint]) -> dict[str, float]:
    """What can be said from the points alone, of a run that didn't finish too; see TrainingResult."""
    metrics: dict[str, float] = {"steps": float(history[-1].step)} if history else {}
    if losses := _values(history, "loss"):
        metrics["train_loss"] = statistics.fmean(losses[-max(1, len(losses) // 10) :])
    if memory := _values(history, "memory_gb"):
        metrics["peak_memory_gb"] = max(memory)
    if held_out := _values(history, "eval_loss"):
        metrics["eval_loss"] = held_out[-1]
    for name in (n for n in _NAMES.values() if n.startswith("reward")):
        if rewards := _values(history, name):  # a step judges a few pairs: one alone says nothing
            metrics[name] = statistics.fmean(rewards[len(rewards) // 2 :])
    return metrics


def read_points(history_file: Path) -> list[HistoryPoint]:
    """The points of a history file, without a last line that was cut; empty when there is no file."""
    if not history_file.is_file():
        return []
    lines = history_file.read_text().splitlines(keepends=True)
    return [HistoryPoint.model_validate_json(line) for line in lines if line.endswith("\n")]


def _values(history: Sequence[HistoryPoint], name: str) -> list[float]:
    return [value for p in history if (value := getattr(p, name)) is not None]


def _line(point: HistoryPoint) -> str:
    return point.model_dump_json(exclude_none=True) + "\n"
