"""The parts of the report page below the verdict: each a piece of HTML made of one part of the report."""

import html

from twin_assets.core.text.words import word_spans
from twin_assets.evaluation.evaluate import CANDIDATE, EvaluationReport
from twin_assets.evaluation.grounding.qa_eval import Answered, Exam
from twin_assets.evaluation.ladder import Ladder

SAMPLE_WORDS = 150
SHOWN_ANSWERS = 3
NOT_MEASURED = "not measured"


def ladder_table(ladder: Ladder) -> str:
    """Which rung is enough, and what each falls short of."""
    rows = [
        [r.role, percent(r.voice_share), "yes" if r.clears else "no",
         number(r.tokens_in, ".0f"), number(r.latency, ".2f"), money(r.usd_per_call)]
        for r in ladder.rungs
    ]  # fmt: skip
    head = ["", "voice, others to author", "clears the bar", "tokens read", "seconds a call", "$ a call"]
    short = "".join(
        f"<li>{html.escape(r.role)} falls short: {html.escape('; '.join(r.short))}</li>"
        for r in ladder.rungs
        if r.short
    )
    return (
        f"<h2>The ladder</h2><p>{html.escape(ladder.verdict)}</p>{table(head, rows)}"
        + (f"<ul class=muted>{short}</ul>" if short else "")
    )  # fmt: skip


def shares(report: EvaluationReport) -> str:
    """Support, citations and refusals by contestant, with sentences that nothing supports."""
    rows, wrong = [], []
    for role, contest in report.contestants.items():
        if contest.exam is None:
            continue
        g, r = contest.exam.grounding, contest.exam.refusals
        interval = "" if g.low is None or g.high is None else f" ({g.low:.0%} to {g.high:.0%})"
        rows.append([
            role, percent(g.supported) + interval, str(g.claims), percent(g.precision), percent(g.recall),
            percent(r.answered_wrongly), percent(r.declined_wrongly),
        ])  # fmt: skip
        wrong += [(role, sentence) for sentence in g.unsupported[:1]]
    if not rows:
        return f"<p>{NOT_MEASURED.capitalize()}: there were no questions.</p>"
    head = [
        "",
        "claims supported",
        "claims",
        "citations right",
        "claims cited",
        "answered wrongly",
        "declined wrongly",
    ]
    quotes = "".join(
        f"<blockquote class=out>{html.escape(f'{role}: {text}')}</blockquote>" for role, text in wrong
    )
    return (
        table(head, rows)
        + "<p class=muted>Claims supported: sentences of answers to answerable questions that the passages found for "
        "them hold, with the 95% interval over answers. Citations right: cited spans that hold a claim of the answer; "
        "claims cited: claims that a cited span holds. Refusals are the model's own here, without the gate in front: "
        "answered wrongly are unanswerable questions that it did not decline.</p>"
        + (f"<p>The least supported sentence of each:</p>{quotes}" if quotes else "")
    )  # fmt: skip


def judged(report: EvaluationReport) -> str:
    """The judge's verdicts beside the metrics, never among them."""
    if not report.verdicts:
        return ""
    head = [
        "candidate against",
        "pairs",
        "won",
        "lost",
        "tied",
        "contradicted itself",
        "unreadable",
        "unanswered",
        "for the first text",
    ]
    rows = [
        [v.rival, *(str(n) for n in (v.pairs, v.wins, v.losses, v.ties, v.contradicted, v.unreadable, v.unanswered)), percent(v.first_share)]
        for v in report.verdicts
    ]  # fmt: skip
    notes = "".join(f"<p class=warn>{html.escape(v.note)}</p>" for v in report.verdicts if v.note)
    cost = sum(v.cost for v in report.verdicts)
    return (
        f"<h2>A judge's opinion</h2>{table(head, rows)}{notes}<p class=muted>{html.escape(report.verdicts[0].judge)} "
        f"saw each pair in both orders (${cost:.4f}); only verdicts that agree count. Half of the verdicts go to the "
        "first text when it has no preference for a place. No threshold hangs on it.</p>"
    )  # fmt: skip


def ability(report: EvaluationReport) -> str:
    """What the model still knows."""
    found = report.ability
    if found is None:
        return ""
    rows = [[s, f"{a:.0%}", f"{b:.0%}"] for s, (a, b) in found.by_subject.items()]
    rows.append(["all", f"{found.candidate:.0%}", f"{found.base:.0%}"])
    said = (
        f"Difference {found.difference:+.0%}, 95% interval {found.low:+.0%} to {found.high:+.0%}; "
        f"guessing gives {found.chance:.0%}."
    )
    if found.at_chance:
        said += " The base model itself is near chance: this can't show whether anything was lost."
    return f"<h2>General ability</h2>{table(['subject', 'candidate', 'base model'], rows)}<p>{said}</p>"


def safety(report: EvaluationReport) -> str:
    """Personal data and secrets in the texts, masked."""
    rows = [
        [role, str(s.texts), str(s.found - s.secrets), str(s.secrets), str(s.learnt), "; ".join(s.samples)]
        for role, contest in report.contestants.items()
        if (s := contest.safety)
    ]
    head = ["", "texts", "personal data", "secrets", "from training text", "masked samples"]
    return f"<h2>Personal data and secrets</h2>{table(head, rows)}" if rows else ""


def took(report: EvaluationReport) -> str:
    """Tokens, time and money."""
    rows = [
        [role, str(e.calls), f"{e.tokens_in:.0f}", f"{e.tokens_out:.0f}", f"{e.tokens_per_second:.0f}",
         number(e.latency, ".2f"), money(e.usd_per_call)]
        for role, contest in report.contestants.items() if (e := contest.effort)
    ]  # fmt: skip
    head = ["", "calls", "tokens read", "tokens written", "tokens a second", "seconds, one call", "$ a call"]
    note = "Tokens are means over calls, tokens a second in batches; without TWIN_HARDWARE_USD_PER_HOUR there is no cost."
    return f"<h2>Time and cost</h2>{table(head, rows)}<p class=muted>{note}</p>" if rows else ""


def samples(report: EvaluationReport) -> str:
    """Texts side by side: every contestant's, and what the author wrote on the topic."""
    shown = report.contestants[CANDIDATE].samples
    parts = ["<h2>Side by side</h2>"] if shown else []
    for place, sample in enumerate(shown):
        parts.append(f"<h3>{html.escape(sample.prompt)}</h3>{_passages(sample.passages)}<div class=pair>")
        parts += [
            _said(role, c.samples[place].text)
            for role, c in report.contestants.items()
            if place < len(c.samples)
        ]
        if sample.real:
            parts.append(_said("the author", sample.real))
        parts.append("</div>")
    return "".join(parts)


def answers(report: EvaluationReport) -> str:
    """Answers side by side, each sentence coloured by whether the passages support it."""
    exams = {role: c.exam for role, c in report.contestants.items() if c.exam}
    if CANDIDATE not in exams:
        return ""
    parts = ["<h2>Questions</h2>"]
    for place in _telling(exams[CANDIDATE]):
        first = exams[CANDIDATE].answers[place]
        kind = "should be declined" if first.kind == "unanswerable" else "should be answered"
        parts.append(f"<h3>{html.escape(first.question)} <span class=muted>({kind})</span></h3>")
        parts.append(_passages(first.passages) + "<div class=pair>")
        parts += [_answer(role, exam.answers[place]) for role, exam in exams.items()]
        parts.append("</div>")
    return "".join(parts)


def _telling(exam: Exam) -> list[int]:
    """One answer of each kind, then more."""
    first: dict[str, int] = {}
    for place, answer in enumerate(exam.answers):
        first.setdefault(answer.kind, place)
    return list(dict.fromkeys([*first.values(), *range(len(exam.answers))]))[:SHOWN_ANSWERS]


def _answer(role: str, answer: Answered) -> str:
    if answer.declined or not answer.claims:
        return _said(role + (" (declines)" if answer.declined else ""), answer.text)
    claims = "".join(
        f"<p class={'in' if c.supported else 'out'}>{html.escape(c.text)} <span class=muted>{c.support:.2f}</span></p>"
        for c in answer.claims
    )
    return f"<div><span class=muted>{html.escape(role)}</span><blockquote>{claims}</blockquote></div>"


def _passages(passages: list[str]) -> str:
    if not passages:
        return ""
    items = "".join(
        f"<blockquote>[{n}] {html.escape(p)}</blockquote>" for n, p in enumerate(passages, start=1)
    )
    return f"<details><summary class=muted>{len(passages)} passages were found for this</summary>{items}</details>"


def _said(role: str, text: str) -> str:
    spans = word_spans(text.strip())
    shown = text.strip()[: spans[SAMPLE_WORDS - 1][1]] + " …" if len(spans) > SAMPLE_WORDS else text.strip()
    return f"<div><span class=muted>{html.escape(role)}</span><blockquote>{html.escape(shown)}</blockquote></div>"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table that scrolls sideways by itself on a narrow screen; cells are escaped, long ones wrap."""
    top = "".join(f"<th>{html.escape(c)}</th>" for c in head)
    body = "".join(
        "<tr>" + "".join(f"<td{' style=white-space:normal' if len(c) > 40 else ''}>{html.escape(c)}</td>" for c in row) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def percent(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.0%}"


def number(value: float | None, how: str) -> str:
    return NOT_MEASURED if value is None else format(value, how)


def money(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
