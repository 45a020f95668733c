"""The voice table of a report: a line for each system, between other authors and the author's own unseen text."""

from twin_assets.core.records import Record
from twin_assets.evaluation.results import EvaluationReport
from twin_assets.evaluation.voice.copying import CopyReport
from twin_assets.evaluation.voice.instrument import VoiceFigure
from twin_assets.evaluation.voice.meter import VoiceScore


class Line(Record):
    name: str
    score: VoiceScore
    copying: CopyReport | None = None
    own: VoiceScore | None = None
    unseen: float | None = None


def lines(report: EvaluationReport) -> list[Line]:
    return [
        Line(
            name="the author, held out",
            score=report.upper_bound,
            copying=report.upper_bound_copying,
            unseen=report.upper_bound_unseen_words,
        ),
        *(
            Line(
                name=role,
                score=result.voice,
                copying=result.copying,
                own=result.own_voice,
                unseen=result.unseen_words,
            )
            for role, result in report.systems.items()
        ),
        Line(name="other authors", score=report.lower_bound),
    ]


HEAD = [
    "",
    "voice, 0 to 1",
    "95% interval",
    "voice margin",
    "margin, 95%",
    "verifier",
    "windows",
    "copied",
    "longest run",
    "without copies",
    "unseen words",
]


def cells(line: Line) -> list[str]:
    score, copying = line.score, line.copying
    copies = [f"{copying.copied_share:.0%}", str(copying.longest_words)] if copying else ["", ""]
    own = "" if line.own is None else signed(line.own.margin)
    interval = "" if score.margin is None else f"{score.margin_low:+.3f} to {score.margin_high:+.3f}"
    verifier = "" if score.verifier is None else f"{score.verifier:.2f}"
    unseen = "" if line.unseen is None else f"{line.unseen:.0%}"
    return [
        line.name, *_figure(score.figure), signed(score.margin), interval, verifier, str(score.windows), *copies, own, unseen,
    ]  # fmt: skip


def _figure(figure: VoiceFigure | None) -> list[str]:
    """The calibrated figure and its interval; `!` marks what is more typical than the author."""
    if figure is None or figure.value is None or figure.low is None or figure.high is None:
        return ["", ""]
    return [
        f"{figure.value:.2f}{' !' if figure.typical else ''}",
        f"{figure.low:.2f} to {figure.high:.2f}",
    ]


def signed(value: float | None) -> str:
    return "too little text" if value is None else f"{value:+.3f}"
