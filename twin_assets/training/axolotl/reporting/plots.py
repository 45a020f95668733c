"""Pictures of a training run."""

import io
from collections.abc import Sequence
from typing import Any

from twin_assets.training.configs.job import HistoryPoint


def training_plot(history: Sequence[HistoryPoint]) -> bytes:
    """Losses, learning rate and speed over steps, and of GRPO the reward and its terms, one below the other, as a PNG; says so when nothing
    was logged."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6.5), layout="constrained")
    rewarded = any(point.reward is not None for point in history)
    losses, rate, speed, *more = figure.subplots(
        3 + rewarded, sharex=True, height_ratios=[3, 1, 1, 3][: 3 + rewarded]
    )
    _draw(losses, history, "loss", color="0.6", linewidth=1, label="training")
    _draw(losses, history, "eval_loss", color="C0", marker="o", label="held out")
    _draw(rate, history, "learning_rate", color="C1")
    _draw(speed, history, "tokens_per_second", color="C2", linewidth=1)
    if losses.has_data():
        losses.legend(frameon=False)
    else:
        losses.text(0.5, 0.5, "nothing logged", ha="center", transform=losses.transAxes)
    losses.set(ylabel="loss (nats a token)")
    rate.set(ylabel="learning rate")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    speed.set(ylabel="tokens/s", xlabel="step", ylim=(0, None))
    for rewards in more:
        _draw(rewards, history, "reward", color="0.2", linewidth=2, label="reward")
        for term in ("voice", "copied", "unsupported", "unreadable"):
            _draw(rewards, history, f"reward_{term}", linewidth=1, label=term)
        rewards.set(ylabel="reward", xlabel="step")
        rewards.legend(frameon=False, ncols=5, fontsize="small")
    for axes in (losses, rate, speed, *more):
        axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def png(figure: Any, **options: Any) -> bytes:
    """A matplotlib figure as a PNG; `options` are those of its `savefig`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, **options)
    return buffer.getvalue()


def _draw(axes: Any, history: Sequence[HistoryPoint], name: str, **style: Any) -> None:
    points = [(p.step, value) for p in history if (value := getattr(p, name)) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), **style)
