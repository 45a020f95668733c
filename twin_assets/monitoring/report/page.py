"""The monitoring report of a persona: one HTML page of what the Monitoring tab shows, with its plots, to keep or to send.

Holds no texts of requests.
"""

from collections.abc import Sequence
from datetime import datetime

from twin_assets.core.templates import render
from twin_assets.monitoring.alerts.lifecycle import Batch
from twin_assets.monitoring.drift.plots import drift_plot, has_plot
from twin_assets.monitoring.drift.report import FAMILIES, Signal
from twin_assets.monitoring.report.overview import Overview, VersionUsage
from twin_assets.monitoring.report.plots import cost_plot, quality_plot, traffic_plot
from twin_assets.monitoring.scores.cost_report import CostReport
from twin_assets.monitoring.scores.live_quality import Quality
from twin_assets.monitoring.scores.records import ModelVoice

TITLES = {"persona": "The persona's writing", "traffic": "What is asked", "quality": "How it is answered", "cost": "A day's money"}  # fmt: skip
# Looks that changed an alert.
SHOWN_BATCHES = 30
# Characters of a version's hash: three columns fit a phone.
SHORT_TAG = 8
UNKNOWN = "–"


def report_key(persona: str) -> str:
    """Where in the lake the page is; each run writes it anew."""
    return f"monitoring/{persona}/report.html"


def render_monitoring(
    persona: str,
    overview: Overview,
    costs: CostReport | None,
    told: Sequence[Batch],
    production: str | None,
    now: datetime,
) -> str:
    """The page. `costs` are those of the mart, `told` all looks that changed an alert, oldest first."""
    quality = overview.quality
    heads, rows = _versions(overview, production)
    return render(
        "monitoring/report/monitoring.html",
        persona=persona,
        found=overview,
        total=overview.total,
        production=production,
        now=now,
        version_head=heads,
        version_rows=rows,
        drift=_drift(overview),
        alerted=_alerted(told),
        traffic_plot=traffic_plot(overview.days) if overview.total else None,
        quality_plot=quality_plot(quality.days, quality.day_voices) if quality.days else None,
        cost_plot=cost_plot(costs) if costs and costs.requests else None,
        share=_share,
        ms=_ms,
        dollars=_dollars,
    )


def _versions(overview: Overview, production: str | None) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table with a column for each version, so that two or three of them fit a phone."""
    quality = {one.group: one for one in overview.quality.versions}
    voices = {one.model: one for one in overview.quality.voices}
    columns = [
        {"serves": "yes" if one.group == production else "no"}
        | _use(one)
        | _scores(quality.get(one.group), voices.get(one.group))
        for one in overview.versions
    ]
    heads = [one.group.split(":", 1)[-1][:SHORT_TAG] for one in overview.versions]
    names = list(columns[0]) if columns else []
    return ["", *heads], [[name, *(column[name] for column in columns)] for name in names]


def _use(one: VersionUsage) -> dict[str, str]:
    return {
        "requests": f"{one.requests:,}", "failed": f"{one.failed:,}", "declined": _share(one.refused / one.requests),
        "median time": _ms(one.latency_p50), "95%": _ms(one.latency_p95), "cost": _dollars(one.cost),
        "good / bad": f"{one.up} / {one.down}",
    }  # fmt: skip


def _scores(scored: Quality | None, voice: ModelVoice | None) -> dict[str, str]:
    names = ("supported", "supported, 95%", "reads as language", "voice", "voice, 95%", "leaks", "abuse")
    cells = dict.fromkeys(names, UNKNOWN)
    if scored:
        cells |= {
            "supported": _share(scored.grounded),
            "supported, 95%": f"{_share(scored.grounded_low)} to {_share(scored.grounded_high)}",
            "reads as language": _share(scored.reads),
            "leaks": str(scored.leaks),
            "abuse": str(scored.toxic),
        }
    if scored and scored.noise:
        cells["voice"] = "noise has none"
    elif voice:
        cells |= {
            "voice": _figure(voice.figure)
            if voice.figure is not None
            else _margin(voice.margin, " (old measure)"),
            "voice, 95%": (
                f"{_figure(voice.figure_low)} to {_figure(voice.figure_high)}"
                if voice.figure is not None
                else f"{_margin(voice.margin_low)} to {_margin(voice.margin_high)}"
            ),
        }
    return cells


def _drift(overview: Overview) -> list[tuple[str, str, list[Signal], bytes | None]]:
    """Families that have signals: name, title, signals and, where there is one, the plot."""
    families = ((family, [s for s in overview.signals if s.family == family]) for family in FAMILIES)
    return [
        (family, TITLES[family], signals, drift_plot(signals, family) if has_plot(signals, family) else None)
        for family, signals in families
        if signals
    ]


def _alerted(told: Sequence[Batch]) -> list[str]:
    return [
        f"{look.at:%d %b %H:%M}, {how}: {alert.what}"
        for look in list(told)[::-1][:SHOWN_BATCHES]
        for how, alerts in (("began", look.opened), ("ended", look.closed))
        for alert in alerts
    ]


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0%}"


def _figure(value: float | None) -> str:
    """From 0, as other people write, to 1, as the author does; without a sign, which margins have."""
    return UNKNOWN if value is None else f"{value:.2f}"


def _margin(value: float | None, measure: str = "") -> str:
    """By the measure of before, which is never to be read as a figure."""
    return UNKNOWN if value is None else f"{value:+.2f}{measure}"


def _ms(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def _dollars(value: float | None) -> str:
    return UNKNOWN if value is None else f"${value:,.2f}" if value >= 1 else f"${value:.2g}"
