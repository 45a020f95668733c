"""Plots of production, as PNG: one panel below the other, so that they read on a phone."""

from collections.abc import Sequence
from typing import Any

from twin_assets.evaluation.report.plots import OTHER, png
from twin_assets.monitoring.scores.cost_report import CostReport, Dimension
from twin_assets.monitoring.scores.live_quality import Quality
from twin_assets.monitoring.scores.live_voice import DayVoice
from twin_assets.monitoring.scores.usage import Usage

ACCENT, SECOND, BAD = "#b05a2c", "#456990", "#a33b3b"
MOST_DAYS, MOST_BARS = 28, 6


def cost_plot(report: CostReport) -> bytes:
    """Money (tokens, where there is no price) by day, by version, by kind and by who asked; time by step."""
    from matplotlib.figure import Figure

    priced = report.cost_usd is not None
    dims: list[tuple[Dimension, str]] = [("model", "version"), ("kind", "kind"), ("asked_by", "who asked")]
    bars = [sum(g.by == by for g in report.groups) for by, _ in dims]
    heights = [2.0, *(0.4 + 0.34 * max(min(n, MOST_BARS), 1) for n in bars), 0.6 + 0.42 * len(report.steps)]
    figure = Figure(figsize=(5, sum(heights) + 0.45 * len(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, height_ratios=heights)
    days = sorted((g for g in report.groups if g.by == "day"), key=lambda g: g.group)[-MOST_DAYS:]
    unit = "US dollars" if priced else "tokens (no price is set)"
    panels[0].bar(range(len(days)), [_amount(g, priced) for g in days], color=ACCENT, width=0.7)
    _days(panels[0], [g.group for g in days])
    panels[0].set_title(f"{unit} a day", loc="left", fontsize=10)
    for axes, (by, title) in zip(panels[1:-1], dims, strict=True):
        groups = sorted((g for g in report.groups if g.by == by), key=lambda g: -_amount(g, priced))
        shown = groups[:MOST_BARS][::-1]
        _bars(axes, [_short(g.group) for g in shown], [_amount(g, priced) for g in shown], priced)
        axes.set_title(f"{unit} by {title}", loc="left", fontsize=10)
    _steps(panels[-1], report)
    return png(figure)


def traffic_plot(days: Sequence[Usage]) -> bytes:
    """By day: requests by how they ended, and the time that they took."""
    from matplotlib.figure import Figure

    shown = list(days)[-MOST_DAYS:]
    names, at = [one.group for one in shown], range(len(shown))
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    requests, latency = figure.subplots(2, 1)
    below = [0] * len(shown)
    for label, colour in (("answered", SECOND), ("refused", OTHER), ("failed", BAD)):
        counts = [getattr(one, label) for one in shown]
        requests.bar(
            at,
            counts,
            bottom=below,
            color=colour,
            width=0.7,
            label="declined" if label == "refused" else label,
        )
        below = [low + count for low, count in zip(below, counts, strict=True)]
    _line(latency, [one.latency_p50 for one in shown], ACCENT, "median")
    _line(latency, [one.latency_p95 for one in shown], OTHER, "95th percentile")
    latency.yaxis.set_major_formatter(lambda ms, _: _time(ms))
    for axes, title in ((requests, "requests a day"), (latency, "time of a request")):
        axes.set_title(title, loc="left", fontsize=10)
        _days(axes, names)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.2)  # room for the legend
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    return png(figure)


def quality_plot(days: Sequence[Quality], voices: Sequence[DayVoice]) -> bytes:
    """By day: claims that passages support with their interval, declined questions, the best passage's score, passages that
    read as language, and the voice of texts by version. Days that have the measure of before are a panel of their own."""
    from matplotlib.figure import Figure

    shown = list(days)[-MOST_DAYS:]
    names = [one.group for one in shown]
    before = any(v.margin is not None and v.kind == "write" and v.day in names for v in voices)
    panels = 6 if before else 5
    figure = Figure(figsize=(5, 2.25 * panels), layout="constrained")
    grounded, declined, scores, reads, *voice = figure.subplots(panels, 1)
    _line(grounded, [one.grounded for one in shown], ACCENT)
    for at, one in enumerate(shown):
        if one.grounded_low is not None and one.grounded_high is not None:
            grounded.plot([at, at], [one.grounded_low, one.grounded_high], color=ACCENT, lw=3, alpha=0.35)
    _line(declined, [one.declined for one in shown], SECOND)
    _line(reads, [one.reads for one in shown], ACCENT, "in the author's range")
    _line(reads, [one.far for one in shown], OTHER, "worse than nearly all of the author's")
    _line(scores, [one.top_score_p50 for one in shown], SECOND, "median")
    _line(scores, [one.top_score_p10 for one in shown], OTHER, "lowest tenth")
    for axes, title in (
        (grounded, "claims supported"),
        (declined, "questions declined"),
        (scores, "best passage's score"),
        (reads, "passages that read as language"),
    ):
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(title, loc="left", fontsize=10)
        _days(axes, names)
    for axes in filter(lambda one: one.lines, (scores, reads)):
        axes.legend(frameon=False, fontsize=8, loc="lower left")
    figures = [(v.day, v.model, v.figure) for v in voices if v.kind == "write"]
    _voices(voice[0], "voice of texts (0: other people, 1: the author)", figures, names)
    voice[0].set_ylim(-0.03, 1.03)
    if before:
        margins = [(v.day, v.model, v.margin) for v in voices if v.kind == "write"]
        _voices(voice[1], "old measure: voice margin, which noise raises", margins, names)
    return png(figure)


def _voices(axes: Any, title: str, values: Sequence[tuple[str, str, float | None]], names: list[str]) -> None:
    """A line for each version: `values` are (day, version, value)."""
    told = [(day, model, value) for day, model, value in values if value is not None and day in names]
    for model, colour in zip(
        sorted({model for _, model, _ in told}), (ACCENT, SECOND, OTHER, BAD), strict=False
    ):
        points = [(names.index(day), value) for day, of, value in told if of == model]
        axes.plot(*zip(*points, strict=True), "o-", ms=4, color=colour, label=_short(model))
    axes.set_title(title, loc="left", fontsize=10)
    if told:
        axes.legend(frameon=False, fontsize=8)
        _days(axes, names)
    else:
        axes.text(
            0.5,
            0.5,
            "no day has 500 words of a version that read as language",
            ha="center",
            transform=axes.transAxes,
        )
        axes.set_axis_off()


def _line(axes: Any, values: Sequence[float | None], colour: str, label: str | None = None) -> None:
    points = [(at, value) for at, value in enumerate(values) if value is not None]
    if points:
        axes.plot(*zip(*points, strict=True), "o-", ms=4, color=colour, label=label)
    elif label is None:
        axes.text(0.5, 0.5, "nothing measured yet", ha="center", transform=axes.transAxes)


def _steps(axes: Any, report: CostReport) -> None:
    for at, step in enumerate(report.steps[::-1]):
        axes.plot([step.p50, step.p95], [at, at], color=SECOND, lw=4, solid_capstyle="round")
        axes.plot([step.p50], [at], "o", color=ACCENT, ms=7)
        text = f"{_time(step.p50)} / {_time(step.p95)}"
        axes.annotate(text, (step.p95, at), (7, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(report.steps)), [step.step for step in report.steps[::-1]], fontsize=9)
    axes.set_title("time by step: median to 95th percentile", loc="left", fontsize=10)
    axes.set_ylim(-0.6, max(len(report.steps), 1) - 0.4)
    if report.steps:
        axes.set_xscale("log")
        longest = max(step.p95 for step in report.steps)
        axes.set_xlim(max(min(step.p50 for step in report.steps), 0.05) / 2, longest * 8)
    axes.set_xlabel("milliseconds", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: Any, names: list[str], values: list[float], priced: bool) -> None:
    axes.barh(range(len(names)), values, color=SECOND, height=0.62)
    for at, value in enumerate(values):
        text = f"${value:,.2f}" if priced and value >= 1 else f"${value:.2g}" if priced else f"{value:,.0f}"
        axes.annotate(text, (value, at), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_xlim(0, max([*values, 1e-9]) * 1.3)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _days(axes: Any, names: list[str]) -> None:
    every = max(1, -(-len(names) // 5))
    axes.set_xticks(range(0, len(names), every), [name[5:] for name in names[::every]], fontsize=9)
    axes.set_xlim(-0.6, max(len(names), 1) - 0.4)
    axes.spines[["top", "right"]].set_visible(False)


def _amount(group: Any, priced: bool) -> float:
    return (group.cost_usd or 0.0) if priced else float(group.tokens_in + group.tokens_out)


def _short(name: str) -> str:
    return name if len(name) <= 18 else "…" + name[-17:]


def _time(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
