"""The evaluation as a page a person can decide by: self-contained HTML, a table, a plot."""

import html

from twin_assets.core.models.version import closed_rows
from twin_assets.evaluation.evaluate import CANDIDATE, EvaluationReport
from twin_assets.evaluation.gate import MEMORISED, GateResult
from twin_assets.evaluation.ladder import Ladder
from twin_assets.evaluation.report.html_page import image, page
from twin_assets.evaluation.report.lines import HEAD, cells, lines
from twin_assets.evaluation.report.plots import rungs_plot, voice_plot
from twin_assets.evaluation.report.sections import (
    ability,
    answers,
    judged,
    ladder_table,
    safety,
    samples,
    shares,
    took,
)


def report_key(persona: str, model: str, suffix: str) -> str:
    """Where in the lake the report of a model version is kept: `html` for people, `json` for programs."""
    return f"reports/{persona}/{model.replace(':', '-')}.{suffix}"


def summary_table(report: EvaluationReport) -> str:
    """The contestants as a Markdown table, columns aligned for a terminal too."""
    rows = [HEAD, *(cells(line) for line in lines(report))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    table = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    table.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join([*table, "", *facts(report)])


def facts(report: EvaluationReport) -> list[str]:
    """Retrieval, refusals and effort in sentences."""

    def share(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.0%}"

    mrr = "not measured" if report.mrr is None else f"{report.mrr:.2f}"
    found = "not measured" if report.heldout_mrr is None else f"{report.heldout_mrr:.2f}"
    seconds = sum(c.seconds for c in report.contestants.values())
    words = sum(c.words for c in report.contestants.values())
    return [
        f"Retrieval: hit rate at 3 {share(report.hit_rate)}, MRR {mrr} ({report.questions} questions).",
        f"Retrieval of held-out documents by questions about their topics: hit rate at 3 {share(report.heldout_hit_rate)}, "
        f"MRR {found} ({report.heldout_questions} questions).",
        f"Before any model is asked, unanswerable questions declined: {share(report.refusal_rate)}; "
        f"answerable ones declined: {share(report.false_refusal_rate)}.",
        f"{report.prompts} texts each; {words} words in {seconds:.0f} s; seed {report.seed}.",
    ]


def render_html(report: EvaluationReport, gates: list[GateResult], ladder: Ladder | None = None) -> str:
    """The whole report as one page without scripts or outside assets."""
    passed = all(g.passed for g in gates if g.blocking)
    verdict = (
        "The candidate passed its gate and waits for a person." if passed else "The candidate did not pass."
    )
    return page(f"Evaluation of {report.candidate}", f"Persona {report.persona}, profile {report.profile}", [
        f"<div class='verdict {'yes' if passed else 'no'}'><strong>{verdict}</strong><ul>",
        *(_gate_item(g) for g in gates),
        f"</ul></div>{_warning(report)}",
        ladder_table(ladder) if ladder else "",
        f"<h2>Voice</h2><p>{html.escape(_gain(report))}</p>",
        image(voice_plot(report), "voice margins of all contestants"),
        f"<div class=wide>{_table(report)}</div>",
        f"<p class=muted>Ceiling: writing of the author that nothing here was trained on. Floor: {html.escape(report.floor_is)}. "
        "Without copies: the margin of what is left when runs of eight or more words from training text are cut out. "
        "Unseen words: the share that stands in no training text and no other author's.</p>",
        "<h2>Facts, citations and refusals</h2>",
        image(rungs_plot(report), "shares of all contestants", "narrow"),
        shares(report),
        "<h2>Retrieval and the gate in front of the model</h2>",
        "<ul>",
        *(f"<li>{html.escape(fact)}</li>" for fact in facts(report)),
        "</ul>",
        judged(report),
        ability(report),
        safety(report),
        took(report),
        _copying(report),
        samples(report),
        answers(report),
        "<h2>The author's own words, held out</h2>",
        f"<blockquote>{html.escape(report.real_sample)}</blockquote>",
    ])  # fmt: skip


def _gate_item(gate: GateResult) -> str:
    mark = ("✓" if gate.passed else "✗") if gate.blocking else "·" if gate.passed else "!"
    example = ""
    if gate.example and not gate.passed:
        example = f"<br><span class=muted>For example: {html.escape(gate.example)}</span>"
    return f"<li>{mark}&nbsp; {html.escape(gate.message)}{example}</li>"


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
    if closed := closed_rows(report.learnt_from, "public"):
        warnings.append(
            f"<strong>It learnt from {html.escape(closed)}.</strong> It may repeat them to whoever it serves; "
            "passages are kept from those who may not see them, what a model has learnt is not."
        )
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
    head = "".join(f"<th>{c}</th>" for c in HEAD)
    rows = "".join(
        f"<tr{' class=mine' if line.name == CANDIDATE else ''}>"
        + "".join(f"<td>{html.escape(c)}</td>" for c in cells(line))
        + "</tr>"
        for line in lines(report)
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
