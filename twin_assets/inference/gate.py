"""The gate: what a candidate must reach before a person is asked. Thresholds are the profile's."""

from twin_assets.core.profiles import Gate
from twin_assets.core.records import Record
from twin_assets.inference.evaluate import EvaluationReport


class GateResult(Record):
    """One threshold and how the candidate stands to it."""

    name: str
    passed: bool
    value: float | None
    threshold: float
    message: str
    blocking: bool = True


def check_gate(report: EvaluationReport, gate: Gate) -> list[GateResult]:
    """Every threshold of the gate, in the order of the report."""
    candidate = report.contestants["candidate"]
    return [
        _voice(report, gate),
        *_copying(candidate.copying.copied_share, candidate.copying.longest_words, gate),
        _refusal(report, gate),
    ]


def _voice(report: EvaluationReport, gate: Gate) -> GateResult:
    low, least = report.gain_low, gate.min_margin_gain
    if low is None:
        message = "voice gain over base+prompt+retrieval could not be measured: too little text was written"
    else:
        message = (
            f"voice gain over base+prompt+retrieval is {report.gain:+.3f} (95% interval from {low:+.3f}); "
            f"its lower end must be above {least:+.3f}: {'above' if low > least else 'short'} by {abs(low - least):.3f}"
        )
    return GateResult(
        name="voice_beats_baseline",
        passed=low is not None and low > least,
        value=low,
        threshold=least,
        message=message,
    )


def _copying(share: float, longest: int, gate: Gate) -> list[GateResult]:
    passed = share <= gate.max_copied_share and longest <= gate.max_copied_words
    message = (
        f"{share:.0%} of the candidate's words are copied from training text (limit {gate.max_copied_share:.0%}), "
        f"the longest run is {longest} words (limit {gate.max_copied_words})"
    )
    return [
        GateResult(
            name="not_copied", passed=passed, value=share, threshold=gate.max_copied_share, message=message
        )
    ]


def _refusal(report: EvaluationReport, gate: Gate) -> GateResult:
    rate, least = report.refusal_rate, gate.min_refusal_rate
    message = (
        "refusals were not measured: the persona names no unanswerable questions"
        if rate is None
        else f"{rate:.0%} of unanswerable questions are declined (at least {least:.0%})"
    )
    return GateResult(
        name="refuses", passed=rate is None or rate >= least, value=rate, threshold=least, message=message
    )
