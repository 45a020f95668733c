"""The monitoring report of a persona: one HTML page of what the Monitoring tab shows, with its plots, to keep or to send.

What stands comes first, then figures, then plots and tables. Holds no texts of requests.
"""

import html
from collections.abc import Sequence
from datetime import datetime

from twin_assets.evaluation.report.html_page import bullets, image, page, table
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
    persona: str, found: Overview, costs: CostReport | None, told: Sequence[Batch], production: str | None, now: datetime
) -> str:  # fmt: skip
    """The page. `costs` are those of the mart, `told` all looks that changed an alert, oldest first."""
    about = f"{found.since:%d %b} to {now:%d %b %Y, %H:%M} UTC. In production: {production or 'nothing'}."
    if found.total is None:
        return page(f"Production of {persona}", about, ["<p>Nobody has asked anything in these days.</p>"])
    return page(f"Production of {persona}", about, [
        _standing(found),
        _tiles(found),
        "<h2>By version</h2>", _versions(found, production),
        "<h2>Use and time</h2>", image(traffic_plot(found.days), "requests and latency by day", "narrow"),
        table(["step", "median", "95%"], [[step, _ms(ms), _ms(found.total.steps_p95[step])] for step, ms in found.total.steps_p50.items()]),
        "<h2>Quality</h2>",
        image(quality_plot(found.quality.days, found.quality.day_voices), "quality by day", "narrow") if found.quality.days else "<p>Nothing is scored yet.</p>",
        "<h2>Money</h2>", image(cost_plot(costs), "cost by day, version, kind and key", "narrow") if costs and costs.requests else "",
        _money(found),
        *_drift(found),
        "<h2>What was alerted</h2>", _alerted(told),
    ])  # fmt: skip


def _standing(found: Overview) -> str:
    if not found.alerts:
        return "<div class='verdict yes'><strong>No alert stands.</strong></div>"
    items = "".join(
        f"<li>!&nbsp; {html.escape(one.alert.what)}<br><span class=muted>Since {one.alert.since:%d %b %H:%M}. "
        f"{html.escape(one.alert.how_bad)}. {html.escape(one.alert.advice)}</span></li>"
        for one in found.alerts
    )
    stand = "1 alert stands" if len(found.alerts) == 1 else f"{len(found.alerts)} alerts stand"
    return f"<div class='verdict no'><strong>{stand}</strong><ul>{items}</ul></div>"


def _tiles(found: Overview) -> str:
    total = found.total
    assert total is not None
    tiles = {
        "requests": (f"{total.requests:,}", f"{total.failed:,} failed"),
        "declined": (_share(total.refused / total.requests), ""),
        "median time": (_ms(total.latency_p50), f"95% within {_ms(total.latency_p95)}"),
        "cost": (
            _dollars(total.cost),
            f"{_dollars(found.accepted.cost)} for each of {found.accepted.count} accepted"
            if found.accepted.count
            else "none accepted yet",
        ),
        "good / bad": (f"{found.feedback.up} / {found.feedback.down}", f"{found.feedback.edited} corrected"),
        "training": (
            _dollars(found.training.cost),
            f"{found.training.runs} runs, {found.training.hours:.1f} hours",
        ),
    }
    return (
        "<div class=tiles>"
        + "".join(
            f"<div><span class=muted>{label}</span><strong>{value}</strong><span class=muted>{note}</span></div>"
            for label, (value, note) in tiles.items()
        )
        + "</div>"
    )


def _versions(found: Overview, production: str | None) -> str:
    """A column for each version, so that two or three of them fit a phone."""
    quality = {one.group: one for one in found.quality.versions}
    voices = {one.model: one for one in found.quality.voices}
    columns = [
        {"serves": "yes" if one.group == production else "no"}
        | _use(one)
        | _scores(quality.get(one.group), voices.get(one.group))
        for one in found.versions
    ]
    heads = [one.group.split(":", 1)[-1][:SHORT_TAG] for one in found.versions]
    return table(["", *heads], [[name, *(column[name] for column in columns)] for name in columns[0]])


def _use(one: VersionUsage) -> dict[str, str]:
    return {
        "requests": f"{one.requests:,}", "failed": f"{one.failed:,}", "declined": _share(one.refused / one.requests),
        "median time": _ms(one.latency_p50), "95%": _ms(one.latency_p95), "cost": _dollars(one.cost),
        "good / bad": f"{one.up} / {one.down}",
    }  # fmt: skip


def _scores(scored: Quality | None, voice: ModelVoice | None) -> dict[str, str]:
    found = dict.fromkeys(("supported", "supported, 95%", "voice", "voice, 95%", "leaks", "abuse"), UNKNOWN)
    if scored:
        found |= {
            "supported": _share(scored.grounded),
            "supported, 95%": f"{_share(scored.grounded_low)} to {_share(scored.grounded_high)}",
            "leaks": str(scored.leaks), "abuse": str(scored.toxic),
        }  # fmt: skip
    if voice:
        found |= {
            "voice": _margin(voice.margin),
            "voice, 95%": f"{_margin(voice.margin_low)} to {_margin(voice.margin_high)}",
        }
    return found


def _money(found: Overview) -> str:
    rows = [
        [by, one.group.replace("_", " "), f"{one.requests:,}", f"{one.tokens_in + one.tokens_out:,}", _dollars(one.cost)]
        for by, groups in (("kind", found.kinds), ("who", found.keys)) for one in groups
    ]  # fmt: skip
    return table(["by", "", "requests", "tokens", "cost"], rows)


def _drift(found: Overview) -> list[str]:
    parts = [
        f"<h2>What has changed since the release</h2><p class=muted>Compared {found.drift_at:%d %b %H:%M} UTC.</p>"
        if found.drift_at
        else "<h2>What has changed since the release</h2><p>Nothing is compared yet.</p>"
    ]
    for family in FAMILIES:
        signals = [s for s in found.signals if s.family == family]
        if not signals:
            continue
        parts += [f"<h3>{TITLES[family]}</h3>", bullets([_told(s) for s in signals])]
        if has_plot(signals, family):
            parts.append(image(drift_plot(signals, family), f"signals: {family}", "narrow"))
    return parts


def _told(signal: Signal) -> str:
    mark = "Drifted: " if signal.drifted else ""
    return f"{mark}{signal.sentence}{f'; {signal.evidence}' if signal.evidence else ''}."


def _alerted(told: Sequence[Batch]) -> str:
    looks = list(told)[::-1][:SHOWN_BATCHES]
    lines = [
        f"{look.at:%d %b %H:%M}, {how}: {alert.what}"
        for look in looks
        for how, alerts in (("began", look.opened), ("ended", look.closed))
        for alert in alerts
    ]
    return bullets(lines) if lines else "<p>Nothing yet.</p>"


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0%}"


def _margin(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:+.2f}"


def _ms(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def _dollars(value: float | None) -> str:
    return UNKNOWN if value is None else f"${value:,.2f}" if value >= 1 else f"${value:.2g}"
