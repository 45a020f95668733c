"""The gate: what a candidate must reach before a person is asked. Thresholds are the profile's.

Three results, whose names are the asset checks: `voice_beats_baseline`, `not_copied`, `refuses`.
"""

from twin_assets.core.profiles import Gate
from twin_assets.core.records import Record
from twin_assets.inference.evaluate import CANDIDATE, EvaluationReport

# From this share on, a voice score says more of memory than of style.
MEMORISED = 0.2


class GateResult(Record):
    """One threshold and how the candidate stands to it. Only a blocking one keeps it from being proposed."""

    name: str
    passed: bool
    value: float | None
    threshold: float
    message: str
    blocking: bool = True


def check_gate(report: EvaluationReport, gate: Gate) -> list[GateResult]:
    """Every threshold of the gate, in the order of the report."""
    return [_voice(report, gate), _copying(report, gate), _refusal(report, gate)]


def _voice(report: EvaluationReport, gate: Gate) -> GateResult:
    low, least = report.gain_low, gate.min_margin_gain
    if low is None:
        message = (
            "voice gain over base+prompt+retrieval could not be measured: too little text was written "
            f"({report.gain_pairs} pairs of 250-word windows)"
        )
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


def _copying(report: EvaluationReport, gate: Gate) -> GateResult:
    copying = report.contestants[CANDIDATE].copying
    share, longest = copying.copied_share, copying.longest_words
    over = []
    if share > gate.max_copied_share:
        over.append(f"{share - gate.max_copied_share:.0%} of words too many")
    if longest > gate.max_copied_words:
        over.append(f"the longest run {longest - gate.max_copied_words} words too long")
    message = (
        f"{share:.0%} of the candidate's words are copied from training text (limit {gate.max_copied_share:.0%}), "
        f"the longest run is {longest} words (limit {gate.max_copied_words})"
    )
    if over:
        message += f": {' and '.join(over)}"
    elif share > MEMORISED:
        message += ": within this profile's limits, but its voice is partly recited"
    return GateResult(
        name="not_copied", passed=not over, value=share, threshold=gate.max_copied_share, message=message
    )


def _refusal(report: EvaluationReport, gate: Gate) -> GateResult:
    """Both ways of being wrong: answering what the corpus can't support, and declining what it can."""
    declined, wrongly = report.refusal_rate, report.false_refusal_rate
    parts, passed = [], True
    if declined is None:
        parts.append("refusals were not measured: the persona names no unanswerable questions")
    else:
        parts.append(
            f"{declined:.0%} of unanswerable questions are declined (at least {gate.min_refusal_rate:.0%})"
        )
        if declined < gate.min_refusal_rate:
            passed = False
            parts[-1] += f", short by {gate.min_refusal_rate - declined:.0%}"
    if wrongly is not None:
        most = gate.max_false_refusal_rate
        parts.append(f"{wrongly:.0%} of answerable ones are declined (at most {most:.0%})")
        if wrongly > most:
            passed = False
            parts[-1] += f", {wrongly - most:.0%} too many"
    return GateResult(
        name="refuses", passed=passed, value=declined, threshold=gate.min_refusal_rate, message="; ".join(parts)
    )  # fmt: skip
