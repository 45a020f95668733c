"""Pictures that compare training runs."""

import json
from collections.abc import Sequence
from typing import Any

from twin_assets.training.axolotl.reporting.plots import png
from twin_assets.training.experiments.records import Experiment

MOST_PANELS = 6  # hyperparameters that are shown; those with the most different values come first


def loss_by_run_plot(runs: Sequence[Experiment]) -> bytes:
    """Evaluation loss of each run in the order they ran, a line for each stage; a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    numbers = {run.run_id: number for number, run in enumerate(runs, 1)}
    for stage in sorted({run.stage for run in runs}):
        points = [
            (numbers[r.run_id], r.eval_loss) for r in runs if r.stage == stage and r.eval_loss is not None
        ]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", label=stage)
    _finish(axes, "run", "evaluation loss (nats a token)")
    return png(figure)


def hyperparameters_plot(runs: Sequence[Experiment]) -> bytes:
    """Evaluation loss against each hyperparameter that more than one SFT run varied; a PNG."""
    from matplotlib.figure import Figure

    scored = [
        (json.loads(run.hyperparameters), run.eval_loss)
        for run in runs
        if run.stage == "sft" and run.eval_loss is not None
    ]
    names = varied([values for values, _ in scored])[:MOST_PANELS]
    figure = Figure(figsize=(3.2 * max(len(names), 1), 3), layout="constrained")
    panels = figure.subplots(1, max(len(names), 1), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=False):
        points = [(values[name], loss) for values, loss in scored if name in values]
        axes.plot(*zip(*points, strict=True), "o", alpha=0.7)
        if "learning_rate" in name:
            axes.set_xscale("log")
        _finish(axes, name, "evaluation loss")
    if not names:
        _finish(panels[0], "", "")
    return png(figure)


def varied(configs: Sequence[dict[str, Any]]) -> list[str]:
    """Names of numbers with more than one value, those with the most values first."""
    values: dict[str, set[float]] = {}
    for config in configs:
        for name, value in config.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(name, set()).add(value)
    return sorted((n for n, v in values.items() if len(v) > 1), key=lambda n: (-len(values[n]), n))


def _finish(axes: Any, x: str, y: str) -> None:
    if axes.lines:
        axes.set(xlabel=x, ylabel=y)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing to compare yet", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
    axes.spines[["top", "right"]].set_visible(False)
