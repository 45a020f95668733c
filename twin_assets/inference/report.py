"""The evaluation as a page a person can decide by: self-contained HTML, a table, a plot."""

import base64
import html
import io

from twin_assets.core.records import Record
from twin_assets.inference.copying import CopyReport
from twin_assets.inference.evaluate import BASELINE, CANDIDATE, EvaluationReport
from twin_assets.inference.gate import MEMORISED, GateResult
from twin_assets.inference.voice import VoiceScore

SAMPLE_WORDS = 150

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:66rem;margin:1.5rem auto;padding:0 1rem;color:#1c2430;
overflow-wrap:anywhere}
h1{font-size:1.4rem;margin-bottom:0}h2{font-size:1.15rem;margin-top:2.2rem}h3{font-size:1rem}
.verdict{padding:.8rem 1rem;border-radius:.5rem;margin-top:1rem}.verdict ul{list-style:none;padding:0;margin:.5rem 0 0}
.verdict li{padding-left:1.5em;text-indent:-1.5em;margin:.3rem 0}
.yes{background:#e3f4e8}.no{background:#fbe6e4}.warn{background:#fdf3d7;padding:.8rem 1rem;border-radius:.5rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.94rem;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.35rem .4rem;border-bottom:1px solid #d8dee6;overflow-wrap:normal}
td{white-space:nowrap}th{vertical-align:bottom}
th:first-child,td:first-child{text-align:left;white-space:normal;min-width:8rem}.mine td{font-weight:600}
img{width:100%;max-width:46rem;height:auto}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:0 1rem}
blockquote{margin:.2rem 0 1rem;padding:.6rem 1rem;background:#f4f6f8;white-space:pre-wrap;border-radius:.3rem}
.muted{color:#5b6675;font-size:.9rem}
"""


class _Line(Record):
    name: str
    score: VoiceScore
    copying: CopyReport | None = None
    own: VoiceScore | None = None
    unseen: float | None = None


def _lines(report: EvaluationReport) -> list[_Line]:
    return [
        _Line(
            name="ceiling: the author, held out",
            score=report.ceiling,
            copying=report.ceiling_copying,
            unseen=report.ceiling_unseen_words,
        ),
        *(
            _Line(
                name=role,
                score=contest.voice,
                copying=contest.copying,
                own=contest.own_voice,
                unseen=contest.unseen_words,
            )
            for role, contest in report.contestants.items()
        ),
        _Line(name="floor: other authors", score=report.floor),
    ]


_HEAD = [
    "",
    "voice margin",
    "95% interval",
    "verifier",
    "windows",
    "copied",
    "longest run",
    "without copies",
    "unseen words",
]


def _cells(line: _Line) -> list[str]:
    score, copying = line.score, line.copying
    copies = [f"{copying.copied_share:.0%}", str(copying.longest_words)] if copying else ["", ""]
    own = "" if line.own is None else _signed(line.own.margin)
    interval = "" if score.margin is None else f"{score.margin_low:+.3f} to {score.margin_high:+.3f}"
    verifier = "" if score.verifier is None else f"{score.verifier:.2f}"
    unseen = "" if line.unseen is None else f"{line.unseen:.0%}"
    return [line.name, _signed(score.margin), interval, verifier, str(score.windows), *copies, own, unseen]


def _signed(value: float | None) -> str:
    return "too little text" if value is None else f"{value:+.3f}"


def report_key(persona: str, model: str, suffix: str) -> str:
    """Where in the lake the report of a model version is kept: `html` for people, `json` for programs."""
    return f"reports/{persona}/{model.replace(':', '-')}.{suffix}"


def summary_table(report: EvaluationReport) -> str:
    """The contestants as a Markdown table, columns aligned for a terminal too."""
    rows = [_HEAD, *(_cells(line) for line in _lines(report))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join([*lines, "", *_facts(report)])


def _facts(report: EvaluationReport) -> list[str]:
    """Retrieval, refusals and effort in sentences."""

    def share(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.0%}"

    mrr = "not measured" if report.mrr is None else f"{report.mrr:.2f}"
    seconds = sum(c.seconds for c in report.contestants.values())
    words = sum(c.words for c in report.contestants.values())
    return [
        f"Retrieval: hit rate at 3 {share(report.hit_rate)}, MRR {mrr} ({report.questions} questions).",
        f"Unanswerable questions declined: {share(report.refusal_rate)}; "
        f"answerable ones declined: {share(report.false_refusal_rate)}.",
        f"{report.prompts} texts each; {words} words in {seconds:.0f} s; seed {report.seed}.",
    ]


def voice_plot(report: EvaluationReport) -> bytes:
    """Margins with their intervals, from the floor of other authors to the author's own ceiling, as PNG."""
    from matplotlib.figure import Figure

    lines = [line for line in _lines(report) if line.score.margin is not None][::-1]
    figure = Figure(figsize=(7, 0.5 * len(lines) + 1.1), layout="constrained")
    axes = figure.subplots()
    for at, line in enumerate(lines):
        score = line.score
        colour = {CANDIDATE: "#b05a2c", BASELINE: "#456990"}.get(line.name, "#7c8794")
        axes.plot(
            [score.margin_low or 0.0, score.margin_high or 0.0],
            [at, at],
            color=colour,
            lw=4,
            solid_capstyle="round",
        )
        axes.plot([score.margin or 0.0], [at], "o", color=colour, ms=8)
        axes.annotate(f"{score.margin:+.2f}", (score.margin, at), (0, 8), textcoords="offset points", ha="center", fontsize=9)  # fmt: skip
    if report.ceiling.margin_low is not None and report.ceiling.margin_high is not None:
        axes.axvspan(report.ceiling.margin_low, report.ceiling.margin_high, color="#3a7d5c", alpha=0.12, lw=0)
    axes.axvline(0, color="#888", lw=1, ls=":")
    axes.set_ylim(-0.6, max(len(lines), 1) - 0.3)
    axes.set_yticks(range(len(lines)), [line.name for line in lines])
    axes.set_xlabel("voice margin (above 0: nearer to the author than to any impostor)")
    axes.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130)
    return png.getvalue()


def render_html(report: EvaluationReport, gates: list[GateResult]) -> str:
    """The whole report as one page without scripts or outside assets."""
    passed = all(g.passed for g in gates if g.blocking)
    verdict = (
        "The candidate passed its gate and waits for a person." if passed else "The candidate did not pass."
    )
    plot = base64.b64encode(voice_plot(report)).decode()
    return "".join([
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Evaluation of {html.escape(report.candidate)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Evaluation of {html.escape(report.candidate)}</h1>",
        f"<p class=muted>Persona {html.escape(report.persona)}, profile {html.escape(report.profile)}</p>",
        f"<div class='verdict {'yes' if passed else 'no'}'><strong>{verdict}</strong><ul>",
        *(_gate_item(g) for g in gates),
        f"</ul></div>{_warning(report)}<h2>Voice</h2><p>{html.escape(_gain(report))}</p>",
        f"<p><img alt='voice margins of all contestants' src='data:image/png;base64,{plot}'></p>",
        f"<div class=wide>{_table(report)}</div>",
        f"<p class=muted>Ceiling: writing of the author that nothing here was trained on. Floor: {html.escape(report.floor_is)}. "
        "Without copies: the margin of what is left when runs of eight or more words from training text are cut out. "
        "Unseen words: the share that stands in no training text and no other author's.</p>",
        "<h2>Retrieval and refusals</h2>",
        "<ul>",
        *(f"<li>{html.escape(fact)}</li>" for fact in _facts(report)),
        "</ul>",
        _copying(report),
        *_samples(report),
        "<h2>The author's own words, held out</h2>",
        f"<blockquote>{html.escape(report.real_sample)}</blockquote></body></html>",
    ])  # fmt: skip


def _gate_item(gate: GateResult) -> str:
    mark = "✓" if gate.passed else "✗" if gate.blocking else "!"
    return f"<li>{mark}&nbsp; {html.escape(gate.message)}</li>"


def _gain(report: EvaluationReport) -> str:
    if report.gain is None:
        return "The gain over base+prompt+retrieval was not measured: too little text was written."
    return (
        f"The candidate is {report.gain:+.3f} nearer to the author than its own base model with a good prompt and "
        f"retrieval (95% interval {report.gain_low:+.3f} to {report.gain_high:+.3f}, {report.gain_pairs} pairs of texts)."
    )


def _warning(report: EvaluationReport) -> str:
    """Said above the voice figures, because it decides what they mean."""
    candidate, ceiling = report.contestants[CANDIDATE], report.ceiling
    warnings = []
    if candidate.copying.copied_share > MEMORISED:
        own = candidate.own_voice
        rest = (
            "too little is left without the copied runs to measure"
            if own is None or own.margin is None
            else f"what is left without the copied runs has a margin of {own.margin:+.3f}"
        )
        warnings.append(
            f"<strong>This model recites.</strong> {candidate.copying.copied_share:.0%} of what it wrote stands word "
            f"for word in its training text, so its voice score shows memory more than style; {rest}."
        )
    if None not in (candidate.voice.margin, ceiling.margin) and candidate.voice.margin > ceiling.margin:  # type: ignore[operator]
        warnings.append(
            "<strong>More like the author than the author.</strong> The candidate scores above the author's own unseen "
            "writing. That is memory, or the author's commonest words overdone, and not a better voice: even nonsense can have it. "
            f"{_unseen(report)} Read the samples below."
        )
    return "".join(f"<p class=warn>{w}</p>" for w in warnings)


def _unseen(report: EvaluationReport) -> str:
    mine, real = report.contestants[CANDIDATE].unseen_words, report.ceiling_unseen_words
    if mine is None or real is None or mine <= real:
        return ""
    return (
        f"{mine:.0%} of its words stand in no text known here, against {real:.0%} of the author's; "
        "some may be made up."
    )


def _table(report: EvaluationReport) -> str:
    head = "".join(f"<th>{c}</th>" for c in _HEAD)
    rows = "".join(
        f"<tr{' class=mine' if line.name == CANDIDATE else ''}>"
        + "".join(f"<td>{html.escape(c)}</td>" for c in _cells(line))
        + "</tr>"
        for line in _lines(report)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _copying(report: EvaluationReport) -> str:
    copying = report.contestants[CANDIDATE].copying
    examples = "".join(f"<blockquote>{html.escape(e)}</blockquote>" for e in copying.examples)
    return (
        f"<h2>Copying</h2><p>{copying.copied_share:.0%} of the candidate's words lie in runs of eight or more words "
        f"that stand in its training text; the longest run has {copying.longest_words} words."
        f"{' The longest runs begin:' if examples else ''}</p>{examples}"
    )


def _samples(report: EvaluationReport) -> list[str]:
    samples = report.contestants[CANDIDATE].samples
    parts = ["<h2>Side by side</h2>"] if samples else []
    for number, sample in enumerate(samples):
        parts.append(f"<h3>{html.escape(sample.prompt)}</h3><div class=pair>")
        for role, contest in report.contestants.items():
            words = contest.samples[number].text.strip().split(" ")
            shown = " ".join(words[:SAMPLE_WORDS]) + (" …" if len(words) > SAMPLE_WORDS else "")
            text = html.escape(shown)
            parts.append(
                f"<div><span class=muted>{html.escape(role)}</span><blockquote>{text}</blockquote></div>"
            )
        parts.append("</div>")
    return parts
