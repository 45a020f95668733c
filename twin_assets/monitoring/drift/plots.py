"""Plots of drift, one for each family, narrow enough for a phone, as PNG."""

from collections.abc import Sequence
from typing import Any

from twin_assets.evaluation.report.plots import png
from twin_assets.monitoring.drift.report import Family, Signal

LEAST_SPAN = 0.2
PANEL = 1.75  # inches
CALM, DRIFTED, LEVEL = "#456990", "#b05a2c", "#7c8794"


def drift_plot(signals: Sequence[Signal], family: Family) -> bytes:
    """A panel for each signal: its weeks (days, for cost) and the level they are held against; for the persona,
    how far new writing is from the old, beside what chance alone gives."""
    from matplotlib.figure import Figure

    signals = _plotted(signals, family)
    panels_high = max(len(signals), 1)
    high = PANEL * panels_high + 0.1
    figure = Figure(figsize=(5, high))
    # Laid out by hand, since every panel is the same: to find room for labels takes matplotlib half of its time.
    room = {"left": 0.11, "right": 0.98, "bottom": 0.5 / high, "top": 1 - 0.32 / high, "hspace": 0.75}
    panels = figure.subplots(panels_high, 1, squeeze=False, gridspec_kw=room)[:, 0]
    if not signals:
        panels[0].axis("off")
        panels[0].text(0.5, 0.5, "too little to compare yet", ha="center", va="center")
    for axes, signal in zip(panels, signals, strict=False):
        (_against_chance if family == "persona" else _over_time)(axes, signal)
        axes.set_title(
            f"{signal.name}: {'drifted' if signal.drifted else 'as before'}", loc="left", fontsize=9
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return png(figure)


def has_plot(signals: Sequence[Signal], family: Family) -> bool:
    """Whether any signal of the family has something to draw."""
    return bool(_plotted(signals, family))


def _plotted(signals: Sequence[Signal], family: Family) -> list[Signal]:
    return [s for s in signals if s.family == family and (s.points or s.after is not None)]


def _over_time(axes: Any, signal: Signal) -> None:
    colour = DRIFTED if signal.drifted else CALM
    at = range(len(signal.points))
    axes.plot(at, [p.value for p in signal.points], "o-", color=colour, lw=1.5, ms=5)
    if signal.before is not None:
        axes.axhline(signal.before, color=LEVEL, lw=1, ls="--")
        axes.annotate(
            "level",
            (1, signal.before),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=7,
            color=LEVEL,
        )
    every = max(len(signal.points) // 5, 1)
    axes.set_xticks(list(at)[::every], [f"{p.label}\n{p.n}" for p in signal.points[::every]])
    axes.margins(x=0.06, y=0.25)
    low, high = axes.get_ylim()
    if signal.name != "cost" and high - low < LEAST_SPAN:  # or chance would look like a change
        axes.set_ylim((low + high - LEAST_SPAN) / 2, (low + high + LEAST_SPAN) / 2)
    if signal.name == "cost":
        axes.yaxis.set_major_formatter(lambda v, _: f"${v:g}")


def _against_chance(axes: Any, signal: Signal) -> None:
    axes.barh(0, signal.after or 0.0, color=DRIFTED if signal.drifted else CALM, height=0.5)
    if signal.before is not None:
        axes.axvline(signal.before, color=LEVEL, ls="--", lw=1)
        axes.annotate(
            "chance",
            (signal.before, 0.5),
            fontsize=7,
            color=LEVEL,
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
        )
    axes.axvline(0, color="#888", lw=0.8)
    axes.set_ylim(-0.6, 0.8)
    axes.set_yticks([])
    axes.set_xlabel("distance of new writing beyond chance", fontsize=8)
