"""What was found of people, as Markdown: a section for each, and the page of all."""

from pathlib import Path
from string import Template

from benchmarks.people.compare import Found
from twin_assets.core.records import Record
from twin_assets.core.text.words import first_words
from twin_assets.evaluation.grounding.qa_eval import MADE, Refusals
from twin_assets.evaluation.results import CANDIDATE, SystemResult
from twin_assets.evaluation.voice.instrument import VoiceFigure

NAMES = {CANDIDATE: "SFT"}
SAMPLE_WORDS, SAMPLES = 45, 10
MEASURES = ("voice", "sense", "support", "refusals")
SHORTEST = 2.0  # seconds of a stage that are told by themselves
PAGE = Template(Path(__file__).with_name("page.md").read_text(encoding="utf-8"))


class Walk(Record):
    """Through the product's own pipeline: what its gate said, and seconds by asset."""

    released: bool
    candidate: str
    gates: str
    summary: str
    worth_it: str
    seconds: dict[str, float]


class Result(Record):
    """One person, and the machine: `load` is the mean of five minutes before and after, `code` the commit."""

    name: str
    full_name: str
    license: str
    profile: str
    walk: Walk
    found: Found
    compared_in: float
    load: tuple[float, float]
    cores: int
    bfloat16: bool
    code: str | None


def page(results: list[Result]) -> str:
    """All of them, with what was done and how."""
    return PAGE.substitute(sections="\n\n".join(section(result) for result in results)) + "\n"


def section(result: Result) -> str:
    """One person."""
    walk, found = result.walk, result.found
    told = {
        name: took for name, took in walk.seconds.items() if took >= SHORTEST and not name.startswith("raw_")
    }
    stages = ", ".join(f"`{name}` {took:.0f}" for name, took in told.items())
    wrote = ", ".join(f"{NAMES.get(role, role)} {took:.0f}" for role, took in found.seconds.items())
    kind = "with bfloat16" if result.bfloat16 else "without bfloat16"
    return "\n".join(
        [
            f"## {result.full_name}",
            "",
            f"Writing under {result.license}. {result.cores} cores {kind}, load {result.load[0]:.1f} before and {result.load[1]:.1f} after. "
            f"{found.report.prompts} texts of each system, told from {found.report.told_from} other writers; commit {result.code}.",
            "",
            result_table(found),
            "",
            "On the same tasks, ours more than theirs, with the number of pairs:",
            "",
            gains_table(found),
            "",
            f"**{'Released' if walk.released else 'Not released'}** by its own gate (candidate {walk.candidate}):",
            "",
            walk.gates,
            "",
            walk.worth_it,
            "",
            f"Seconds: {stages}; the comparison {result.compared_in:.0f}, of which writing texts and answers {wrote}. "
            f"The peers' recipe made {found.peer_rows} training rows.",
            "",
            f"### What each writes for the first {min(SAMPLES, len(found.topics))} topics",
            "",
            samples(found),
        ]
    )


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


def _figure(figure: VoiceFigure | None) -> str:
    if figure is None or figure.value is None:
        return f"none: {figure.note if figure else 'not measured'}"
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


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


def samples(found: Found) -> str:
    """The first texts of each system, unpicked, cut to SAMPLE_WORDS words."""
    parts = []
    for number, topic in enumerate(found.topics[:SAMPLES]):
        parts.append(f"**{number + 1}. {topic}**\n")
        parts += [
            f"- {NAMES.get(role, role)}: {_short(texts[number])}"
            for role, texts in found.texts.items()
            if number < len(texts)
        ]
        parts.append("")
    return "\n".join(parts).rstrip()


def _short(text: str) -> str:
    """On one line, and no markup of its own."""
    plain = " ".join(text.split()).replace("`", "'").replace("*", "").replace("|", "/").replace("<", "&lt;")
    return first_words(plain, SAMPLE_WORDS, " …")
