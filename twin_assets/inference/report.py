"""The evaluation as a page a person can decide by: self-contained HTML, a table, a plot."""

import base64
import html
import io

from twin_assets.core.records import Record
from twin_assets.inference.evaluate import Contest, EvaluationReport
from twin_assets.inference.gate import GateResult
from twin_assets.inference.voice import VoiceScore

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
.verdict{padding:1rem;border-radius:.5rem}.yes{background:#e3f4e8}.no{background:#fbe6e4}
.wide{overflow-x:auto}table{border-collapse:collapse;min-width:34rem;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d8dee6}
img{max-width:100%}blockquote{margin:.5rem 0;padding:.5rem 1rem;background:#f4f6f8;white-space:pre-wrap}
small{color:#5b6675}
"""


class _Line(Record):
    name: str
    score: VoiceScore
    copied: str
    longest: str


def _lines(report: EvaluationReport) -> list[_Line]:
    return [
        _Line(name="ceiling: the author, held out", score=report.ceiling, copied="", longest=""),
        *(_contest_line(role, contest) for role, contest in report.contestants.items()),
        _Line(name="floor: other authors", score=report.floor, copied="", longest=""),
    ]


def _contest_line(role: str, contest: Contest) -> _Line:
    copying = contest.copying
    return _Line(
        name=role,
        score=contest.voice,
        copied=f"{copying.copied_share:.0%}",
        longest=str(copying.longest_words),
    )


def _cells(line: _Line) -> list[str]:
    score = line.score
    if score.margin is None:
        return [line.name, "–", "–", "–", line.copied, line.longest]
    interval = f"{score.margin_low:+.3f} to {score.margin_high:+.3f}"
    return [line.name, f"{score.margin:+.3f}", interval, f"{score.verifier:.2f}", line.copied, line.longest]


_HEAD = ["", "voice margin", "95% interval", "verifier", "copied", "longest run"]


def summary_table(report: EvaluationReport) -> str:
    """The contestants as a Markdown table, columns aligned for a terminal too."""
    rows = [_HEAD, *(_cells(line) for line in _lines(report))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join([*lines, "", _facts(report)])


def _facts(report: EvaluationReport) -> str:
    def share(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.0%}"

    mrr = "not measured" if report.mrr is None else f"{report.mrr:.2f}"
    return (
        f"Retrieval: hit rate at 3 {share(report.hit_rate)}, MRR {mrr}. Unanswerable questions declined: "
        f"{share(report.refusal_rate)}; answerable ones declined: {share(report.false_refusal_rate)}. "
        f"{report.prompts} texts each."
    )


def voice_plot(report: EvaluationReport) -> bytes:
    """Margins with their intervals, from the floor of other authors to the author's own ceiling, as PNG."""
    from matplotlib.figure import Figure

    lines = [line for line in _lines(report) if line.score.margin is not None][::-1]
    figure = Figure(figsize=(7, 0.5 * len(lines) + 1), layout="constrained")
    axes = figure.subplots()
    for at, line in enumerate(lines):
        score = line.score
        colour = "#b05a2c" if line.name == "candidate" else "#456990"
        axes.plot([score.margin_low, score.margin_high], [at, at], color=colour, lw=3, solid_capstyle="round")
        axes.plot([score.margin], [at], "o", color=colour)
    axes.axvline(0, color="#888", lw=1, ls=":")
    axes.set_yticks(range(len(lines)), [line.name for line in lines])
    axes.set_xlabel("voice margin (above 0: nearer to the author than to any impostor)")
    axes.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def render_html(report: EvaluationReport, gates: list[GateResult]) -> str:
    """The whole report as one page without scripts or outside assets."""
    passed = all(g.passed for g in gates if g.blocking)
    verdict = (
        "The candidate passed its gate and waits for a person." if passed else "The candidate did not pass."
    )
    plot = base64.b64encode(voice_plot(report)).decode()
    return "".join([
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{html.escape(report.candidate)}</title><style>{_STYLE}</style>",
        f"<h1>Evaluation of {html.escape(report.candidate)}</h1>",
        f"<p>Persona {html.escape(report.persona)}, profile {html.escape(report.profile)}</p>",
        f"<div class='verdict {'yes' if passed else 'no'}'><strong>{verdict}</strong><ul>",
        *(f"<li>{'✓' if g.passed else '✗'} {html.escape(g.message)}</li>" for g in gates),
        "</ul></div><h2>Voice</h2>",
        f"<p><img alt='voice margins' src='data:image/png;base64,{plot}'></p><div class=wide>{_table(report)}</div>",
        f"<p><small>{html.escape(_facts(report))}</small></p>",
        _copying(report),
        "<h2>Side by side</h2>",
        *_samples(report),
        f"<h2>The author's own words, held out</h2><blockquote>{html.escape(report.real_sample)}</blockquote></html>",
    ])  # fmt: skip


def _table(report: EvaluationReport) -> str:
    head = "".join(f"<th>{c}</th>" for c in _HEAD)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in _cells(line)) + "</tr>"
        for line in _lines(report)
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _copying(report: EvaluationReport) -> str:
    copying = report.contestants["candidate"].copying
    text = (
        f"<h2>Copying</h2><p>{copying.copied_share:.0%} of the candidate's words lie in runs of eight or more words "
        f"that stand in its training text; the longest run has {copying.longest_words} words.</p>"
    )
    return text + (f"<blockquote>{html.escape(copying.longest)}</blockquote>" if copying.longest else "")


def _samples(report: EvaluationReport) -> list[str]:
    parts = []
    for number, sample in enumerate(report.contestants["candidate"].samples):
        parts.append(f"<h3>{html.escape(sample.prompt)}</h3>")
        for role, contest in report.contestants.items():
            parts.append(f"<small>{html.escape(role)}</small>")
            parts.append(f"<blockquote>{html.escape(contest.samples[number].text)}</blockquote>")
    return parts
