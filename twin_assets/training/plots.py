"""Pictures of a training run."""

import io
from collections.abc import Sequence
from typing import Any

from twin_assets.training.records import HistoryPoint


def loss_plot(history: Sequence[HistoryPoint]) -> bytes:
    """Training and evaluation loss over steps as a PNG; says so when nothing was logged."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    trained = [(p.step, p.loss) for p in history if p.loss is not None]
    evaluated = [(p.step, p.eval_loss) for p in history if p.eval_loss is not None]
    if trained:
        axes.plot(*zip(*trained, strict=True), color="0.6", linewidth=1, label="training")
    if evaluated:
        axes.plot(*zip(*evaluated, strict=True), "o-", color="C0", label="held out")
    if trained or evaluated:
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing logged", ha="center", transform=axes.transAxes)
    axes.set(xlabel="step", ylabel="loss (nats a token)")
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def png(figure: Any) -> bytes:
    """A matplotlib figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
