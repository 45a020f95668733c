"""What a comparison found, as Markdown."""

from benchmarks.people.compare import Found
from twin_assets.core.text.words import first_words
from twin_assets.evaluation.grounding.qa_eval import MADE, Refusals
from twin_assets.evaluation.results import CANDIDATE, SystemResult

NAMES = {CANDIDATE: "SFT"}
SAMPLE_WORDS = 45
MEASURES = ("voice", "sense", "support", "refusals")


def result_table(found: Found) -> str:
    """A line for each system, between other writers and the author's own unseen text."""
    report = found.report
    head = "| | voice, 0 to 1 (95%) | reads as the author's | copied | claims supported (95%) | unanswerable answered, as served | answerable declined, as served | by itself: answered, declined |"
    lines = [head, "|" + "---|" * 8]
    upper, sense = report.upper_bound.figure, report.upper_bound_sense
    reads = "" if sense is None or sense.share is None else f"{sense.share:.0%} of {sense.passages}"
    lines.append(f"| the author, held out | {_figure(upper)} | {reads} | | | | | |")
    lines += [_line(NAMES.get(role, role), result) for role, result in report.systems.items()]
    return "\n".join(lines)


def _line(name: str, result: SystemResult) -> str:
    sense, qa = result.sense, result.qa_eval
    reads = "" if sense is None or sense.share is None else f"{sense.share:.0%} of {sense.passages}"
    cells = [name, _figure(result.voice.figure), reads, f"{result.copying.copied_share:.0%}"]
    if qa is None:
        return "| " + " | ".join([*cells, "", "", "", ""]) + " |"
    held = qa.grounding
    told = (
        f"{held.supported:.0%} of {held.claims} ({held.low:.0%} to {held.high:.0%})"
        if held.supported is not None and held.low is not None and held.high is not None
        else "no claim"
    )
    served, own = qa.served_by_set.get(MADE), qa.refusals_by_set.get(MADE)
    return (
        "| "
        + " | ".join([*cells, told, *_errors(served), ", ".join(part for part in _errors(own) if part)])
        + " |"
    )


def _errors(found: Refusals | None) -> list[str]:
    if found is None:
        return ["", ""]
    pairs = (
        (found.answered_wrongly, found.unanswerable),
        (found.declined_wrongly, found.answerable),
    )
    return ["" if share is None else f"{round(share * of)} of {of}" for share, of in pairs]


def _figure(figure: object) -> str:
    value, low, high = (getattr(figure, name, None) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return f"none: {getattr(figure, 'note', None) or 'not measured'}"
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def gains_table(found: Found) -> str:
    """Differences on the same tasks."""
    lines = [
        "| | " + " | ".join(f"{m}, more (95%)" for m in MEASURES) + " |",
        "|" + "---|" * (len(MEASURES) + 1),
    ]
    for pair in found.gains:
        by_measure = {gain.measure: gain for gain in pair.gains}
        cells = [
            f"{g.gain:+.2f} ({g.low:+.2f} to {g.high:+.2f}; {g.pairs})"
            if (g := by_measure.get(m))
            else "too few"
            for m in MEASURES
        ]
        ours, theirs = (NAMES.get(role, role) for role in (pair.ours, pair.theirs))
        lines.append(f"| {ours} against {theirs} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def samples(found: Found, most: int) -> str:
    """The first texts of each system, unpicked, cut to SAMPLE_WORDS words."""
    parts = []
    for role, texts in found.texts.items():
        parts.append(f"**{NAMES.get(role, role)}**\n")
        parts += [
            f"{number}. *{topic}*: {first_words(' '.join(text.split()), SAMPLE_WORDS, ' …')}"
            for number, (topic, text) in enumerate(zip(found.topics, texts, strict=False), start=1)
            if number <= most
        ]
        parts.append("")
    return "\n".join(parts)
