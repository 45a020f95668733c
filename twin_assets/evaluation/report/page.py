"""The evaluation as a page a person can decide by: self-contained HTML, a table, a plot."""

from typing import Any

from twin_assets.core.blind_readings import Reading, findings
from twin_assets.core.blind_readings import sentence as finding_sentence
from twin_assets.core.models.version import closed_rows
from twin_assets.core.templates import render
from twin_assets.core.text.words import word_spans
from twin_assets.evaluation.comparison import Comparison
from twin_assets.evaluation.gate import MEMORISED, GateResult
from twin_assets.evaluation.grounding.qa_eval import QaEval
from twin_assets.evaluation.report.lines import HEAD, cells, lines
from twin_assets.evaluation.report.plots import systems_plot, voice_plot
from twin_assets.evaluation.results import CANDIDATE, EvaluationReport
from twin_assets.evaluation.stages import StageGains
from twin_assets.evaluation.voice.instrument import sentence

SAMPLE_WORDS = 150
SHOWN_ANSWERS = 3
# People read after the page was written: what they found takes this one's place when it is shown.
_BLIND_MARK = "<!-- blind readings -->"


def report_key(persona: str, model: str, suffix: str) -> str:
    """Where in the lake the report of a model version is kept: `html` for people, `json` for programs."""
    return f"reports/{persona}/{model.replace(':', '-')}.{suffix}"


def summary_table(report: EvaluationReport) -> str:
    """The systems as a Markdown table, columns aligned for a terminal too."""
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
    seconds = sum(c.seconds for c in report.systems.values())
    words = sum(c.words for c in report.systems.values())
    return [
        f"Retrieval: hit rate at 3 {share(report.hit_rate)}, MRR {mrr} ({report.questions} questions).",
        f"Retrieval of held-out documents by questions about their topics: hit rate at 3 {share(report.heldout_hit_rate)}, "
        f"MRR {found} ({report.heldout_questions} questions).",
        f"Before any model is asked, unanswerable questions declined: {share(report.refusal_rate)}; "
        f"answerable ones declined: {share(report.false_refusal_rate)}.",
        f"Candidate and baseline wrote {report.prompts} texts each; {words} words in {seconds:.0f} s; seed {report.seed}.",
        *([f"{report.stages.verdict} {_gains(report.stages)}"] if report.stages else []),
    ]


def _gains(stages: StageGains) -> str:
    told = "; ".join(
        f"{one.measure} {one.gain:+.2f} ({one.low:+.2f} to {one.high:+.2f}, {one.pairs} pairs)"
        for one in stages.gains
    )
    return f"{stages.method} minus SFT, with 95% intervals: {told or 'too little was written to compare'}."


def stages_table(stages: StageGains | None) -> str:
    """The second stage beside SFT as Markdown; a sentence where they were not compared."""
    if stages is None:
        return "not compared"
    method = stages.method
    head = (
        f"| measure | pairs | SFT | {method} | {method} minus SFT | 95% interval |\n|---|---|---|---|---|---|"
    )
    rows = [
        f"| {one.measure} | {one.pairs} | {_number(one.sft)} | {_number(one.dpo)} | {one.gain:+.3f} "
        f"| {one.low:+.3f} to {one.high:+.3f} |"
        for one in stages.gains
    ]
    return "\n".join([stages.verdict, "", head, *rows])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def render_html(
    report: EvaluationReport, gates: list[GateResult], comparison: Comparison | None = None
) -> str:
    """The whole report as one page without scripts or outside assets."""

    def measured(part: str) -> dict[str, Any]:
        return {role: found for role, c in report.systems.items() if (found := getattr(c, part))}

    qa_evals: dict[str, QaEval] = measured("qa_eval")
    return render(
        "evaluation/report/report.html",
        report=report,
        gates=gates,
        comparison=comparison,
        passed=all(g.passed for g in gates if g.blocking),
        candidate=report.systems[CANDIDATE],
        candidate_role=CANDIDATE,
        memorised=MEMORISED,
        closed=closed_rows(report.learnt_from, "public"),
        voice_head=HEAD,
        voice_lines=lines(report),
        sentence=sentence,
        cells=cells,
        facts=facts(report),
        voice_plot=voice_plot(report),
        systems_plot=systems_plot(report),
        qa_evals=qa_evals,
        question_sets_of_models=[
            (role, name, refusals)
            for role, qa_eval in qa_evals.items()
            for name, refusals in qa_eval.refusals_by_set.items()
        ],
        safeties=measured("safety"),
        efforts=measured("effort"),
        senses={"the author, held out": report.upper_bound_sense} | measured("sense")
        if report.upper_bound_sense
        else {},
        shown_answers=_telling(qa_evals[CANDIDATE]) if CANDIDATE in qa_evals else [],
        excerpt=_excerpt,
        blind_mark=_BLIND_MARK,
    )


def with_blind_readings(page: bytes, some: list[Reading], model: str) -> bytes:
    """A stored report with what blind readers of the version have found until now; as it is where nobody has read, or the
    page is older than blind reading."""
    readers = len({r.reader for r in some if r.model == model and r.right is not None})
    if not readers:
        return page
    part = render(
        "evaluation/report/blind.html",
        found=[
            (one, finding_sentence(one, f"{readers} readers" if readers > 1 else "those who read"))
            for one in findings(some, model).values()
            if one.answers
        ],
    )
    return page.replace(_BLIND_MARK.encode(), part.encode(), 1)


def _telling(qa_eval: QaEval) -> list[int]:
    """Places of one answer of each kind, then of more."""
    first: dict[str, int] = {}
    for place, answer in enumerate(qa_eval.answers):
        first.setdefault(answer.kind, place)
    return list(dict.fromkeys([*first.values(), *range(len(qa_eval.answers))]))[:SHOWN_ANSWERS]


def _excerpt(text: str) -> str:
    spans = word_spans(text.strip())
    return text.strip()[: spans[SAMPLE_WORDS - 1][1]] + " …" if len(spans) > SAMPLE_WORDS else text.strip()
