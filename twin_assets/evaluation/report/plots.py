"""Plots of an evaluation, as PNG."""

import io
from typing import Any

from twin_assets.evaluation.report.lines import lines
from twin_assets.evaluation.results import BASELINE, CANDIDATE, EvaluationReport

COLOURS = {CANDIDATE: "#b05a2c", BASELINE: "#456990"}
OTHER = "#7c8794"


def voice_plot(report: EvaluationReport) -> bytes:
    """Voice figures with their intervals, from other people (0) to the author's own unseen text (1), as PNG.

    Of reports from before there were figures, margins.
    """
    if any(line.score.figure and line.score.figure.value is not None for line in lines(report)):
        return _figures_plot(report)
    from matplotlib.figure import Figure

    shown = [line for line in lines(report) if line.score.margin is not None][::-1]
    figure = Figure(figsize=(7, 0.5 * len(shown) + 1.1), layout="constrained")
    axes = figure.subplots()
    for at, line in enumerate(shown):
        score = line.score
        colour = COLOURS.get(line.name, OTHER)
        axes.plot(
            [score.margin_low or 0.0, score.margin_high or 0.0],
            [at, at],
            color=colour,
            lw=4,
            solid_capstyle="round",
        )
        axes.plot([score.margin or 0.0], [at], "o", color=colour, ms=8)
        axes.annotate(
            f"{score.margin:+.2f}",
            (score.margin, at),
            (0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    if report.upper_bound.margin_low is not None and report.upper_bound.margin_high is not None:
        axes.axvspan(
            report.upper_bound.margin_low, report.upper_bound.margin_high, color="#3a7d5c", alpha=0.12, lw=0
        )
    if not shown:
        axes.text(0.5, 0.5, "no voice is measured", ha="center", transform=axes.transAxes)
    axes.axvline(0, color="#888", lw=1, ls=":")
    axes.set_ylim(-0.6, max(len(shown), 1) - 0.3)
    axes.set_yticks(range(len(shown)), [line.name for line in shown])
    axes.set_xlabel("voice margin (above 0: nearer to the author than to any impostor)")
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def _figures_plot(report: EvaluationReport) -> bytes:
    from matplotlib.figure import Figure

    shown = [
        (x.name, x.score.figure) for x in lines(report) if x.score.figure and x.score.figure.value is not None
    ]
    figure = Figure(figsize=(7, 0.5 * len(shown) + 1.1), layout="constrained")
    axes = figure.subplots()
    for at, (name, voice) in enumerate(shown[::-1]):
        value, low, high = voice.value or 0.0, voice.low or 0.0, voice.high or 0.0
        colour = COLOURS.get(name, OTHER)
        axes.plot([low, high], [at, at], color=colour, lw=4, solid_capstyle="round")
        # A hollow point is no praise: nearer to the author's average than the author is.
        axes.plot([value], [at], "o", color=colour, ms=8, mfc="white" if voice.typical else colour)
        label = f"{value:.2f}" + (" too typical" if voice.typical else "")
        axes.annotate(label, (value, at), (0, 8), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xlim(-0.08, 1.12)
    axes.set_ylim(-0.6, max(len(shown), 1) - 0.3)
    axes.set_yticks(range(len(shown)), [name for name, _ in shown[::-1]])
    axes.set_xticks([0, 0.5, 1], ["0\nother people", "0.5", "1\nthe author"])
    axes.set_xlabel("voice: whose writing this is like")
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def systems_plot(report: EvaluationReport) -> bytes:
    """Shares of each system side by side: supported claims (more is better), copied words and refusal errors."""
    from matplotlib.figure import Figure

    roles = list(report.systems)
    panels: list[tuple[str, bool, list[float | None]]] = [
        ("claims supported", True, [_of(report, r, "supported") for r in roles]),
        ("copied words", False, [report.systems[r].copying.copied_share for r in roles]),
        ("answered, should decline", False, [_of(report, r, "answered_wrongly") for r in roles]),
        ("declined, should answer", False, [_of(report, r, "declined_wrongly") for r in roles]),
    ]
    figure = Figure(figsize=(5, 4 * (0.3 * len(roles) + 0.5)), layout="constrained")
    for axes, (title, more_is_better, values) in zip(figure.subplots(4, 1), panels, strict=True):
        for at, (role, value) in enumerate(zip(roles[::-1], values[::-1], strict=True)):
            axes.barh(at, value or 0.0, color=COLOURS.get(role, OTHER), height=0.62)
            label = "not measured" if value is None else f"{value:.0%}"
            axes.annotate(
                label, (value or 0.0, at), (4, 0), textcoords="offset points", va="center", fontsize=8
            )
        axes.set_yticks(range(len(roles)), roles[::-1], fontsize=8)
        axes.set_xlim(0, 1.22)
        axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=8)
        axes.set_title(f"{title} ({'more' if more_is_better else 'less'} is better)", fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def _of(report: EvaluationReport, role: str, name: str) -> float | None:
    qa_eval = report.systems[role].qa_eval
    if qa_eval is None:
        return None
    return qa_eval.grounding.supported if name == "supported" else getattr(qa_eval.refusals, name)


def png(figure: Any) -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130)
    return png.getvalue()
