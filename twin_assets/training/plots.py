"""Plots of training runs, as PNG bytes."""

import io
from typing import Any


def loss_plot(history: list[dict[str, Any]]) -> bytes:
    """Training loss and, where measured, evaluation loss by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    for field, style in (("loss", "-"), ("eval_loss", "o--")):
        points = [(row["step"], row[field]) for row in history if field in row]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=field.replace("_", " "))
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(frameon=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90)
    return png.getvalue()
