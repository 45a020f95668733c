"""The gate: what a candidate must reach before a person is asked. Thresholds are the profile's.

Each result's name is an asset check. The same thresholds, without the gain, are the bar of the comparison: what a text of
any system must reach.
"""

from twin_assets.core.models.profiles import Gate
from twin_assets.core.records import Record
from twin_assets.core.text.words import first_words
from twin_assets.evaluation.comparison import ComparedSystem, Comparison, compare, voice_share
from twin_assets.evaluation.grounding.qa_eval import Refusals
from twin_assets.evaluation.results import BASELINE, CANDIDATE, PROMPTED, EvaluationReport, SystemResult
from twin_assets.evaluation.sense.meter import SenseScore
from twin_assets.evaluation.voice.instrument import sentence

# From this share on, a voice score says more of memory than of style.
MEMORISED = 0.2
GATES = (
    "reads_as_language", "voice_beats_baseline", "not_copied", "refuses", "grounded", "declines_by_itself", "declines_as_served",
    "no_private_data", "ability_kept", "fast_enough",
)  # fmt: skip


class GateResult(Record):
    """One threshold and how the candidate stands to it. Only a blocking one keeps it from being proposed; without
    a threshold a result is reported and neither passes nor blocks. `example` shows what was wrong."""

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    message: str
    blocking: bool = True
    example: str | None = None

    @property
    def mark(self) -> str:
        """A sign for it: passed or not, and a fainter one where nothing is asked."""
        if self.blocking:
            return "✓" if self.passed else "✗"
        return "·" if self.passed else "!"


def check_gate(report: EvaluationReport, gate: Gate) -> list[GateResult]:
    """Every threshold of the gate, in the order of GATES."""
    result = report.systems[CANDIDATE]
    return [
        _reading(result, gate),
        _voice(report, gate),
        _copying(result, gate),
        _refusal(report, gate),
        _grounding(report, gate),
        _declining(result, gate),
        _declining_as_served(result, gate),
        _private(result, gate),
        _ability(report, gate),
        _latency(result, gate),
    ]


def compare_systems(report: EvaluationReport, gate: Gate) -> Comparison:
    """The systems, cheapest first, and what follows from how they did."""
    systems = []
    for role in (PROMPTED, BASELINE, CANDIDATE):
        if role not in report.systems:
            continue
        result = report.systems[role]
        share = _share(result, report)
        effort = result.effort
        systems.append(
            ComparedSystem(
                role=role,
                voice_share=share,
                short=_short_of(result, gate, share),
                tokens_in=effort.tokens_in if effort else None,
                latency=effort.latency if effort else None,
                usd_per_call=effort.usd_per_call if effort else None,
            )
        )
    low, least = report.gain_low, gate.min_voice_gain
    beats = low is not None and low > (least or 0.0)
    return compare(systems, CANDIDATE, beats or (None if least is None else False))


def _share(result: SystemResult, report: EvaluationReport) -> float | None:
    """The voice figure; in reports stored before there was one, the margin's place between others and the author."""
    if result.voice.figure is not None:
        return result.voice.figure.value
    return voice_share(result.voice.margin, report.lower_bound.margin, report.upper_bound.margin)


def _short_of(result: SystemResult, gate: Gate, share: float | None) -> list[str]:
    short = []
    if share is None or share < gate.bar_voice_share:
        measured = "not measured" if share is None else f"{share:.0%} of the way to the author"
        short.append(f"voice {measured}, {gate.bar_voice_share:.0%} asked for")
    checks = [_reading(result, gate), _copying(result, gate), _supported(result, gate), _declining(result, gate), _declining_as_served(result, gate), _private(result, gate)]  # fmt: skip
    return short + [c.message for c in checks if c.blocking and not c.passed]


def _reading(result: SystemResult, gate: Gate) -> GateResult:
    """Before any question of voice: averaged nonsense is nearer to an author's habits than the author's own text."""
    found, least, most = result.sense or SenseScore(), gate.min_reading_share, gate.max_worse_reading
    short = found.short_of(least, most, gate.usually_far_reading)
    if found.share is None or found.worse is None:
        message = f"whether it reads as language was not measured: {found.note or 'by the version that evaluated it'}"
    else:
        message = (
            f"{found.share:.0%} of {found.passages} passages read as the author's own do{_at('least', least)}; beside one "
            f"of the author's, the candidate's is the worse in {found.worse:.0%} of pairs{_at('most', most)}, where half "
            "would be alike"
        )
        if short:
            message += f": {' and '.join(short)}"
        if found.unusually_low:
            message += (
                "; it is unusually easy to predict, as a model's own prose is, which is held against nobody"
            )
    asked = any(limit is not None for limit in (least, most, gate.usually_far_reading))
    return GateResult(
        name="reads_as_language",
        passed=not short if asked else found.reads is not False,
        value=found.share,
        threshold=least,
        message=message,
        blocking=asked,
        example=_first([found.worst]) if found.worst else None,
    )


def _at(which: str, value: float | None) -> str:
    return "" if value is None else f" (at {which} {value:.0%})"


def _voice(report: EvaluationReport, gate: Gate) -> GateResult:
    low, least = report.gain_low, gate.min_voice_gain
    if report.gain_note:
        message = f"voice gain over base+prompt+retrieval was not measured: {report.gain_note}"
    elif low is None:
        message = (
            "voice gain over base+prompt+retrieval could not be measured: too little text was written "
            f"({report.gain_pairs} pairs of 250-word windows)"
        )
    else:
        message = (
            f"voice gain over base+prompt+retrieval is {report.gain:+.3f} (95% interval from {low:+.3f}; "
            + (
                "0 is as other people write, 1 as the author does)"
                if report.gain_in == "figure"
                else "in margins)"
            )
        )
        if least is not None:
            message += f"; its lower end must be above {least:+.3f}: {'above' if low > least else 'short'} by {abs(low - least):.3f}"
    figure = report.systems[CANDIDATE].voice.figure
    if figure is not None:
        message += f". {sentence(figure)}"
    return GateResult(
        name="voice_beats_baseline",
        passed=least is None or (low is not None and low > least),
        value=low,
        threshold=least,
        message=message,
        blocking=least is not None,
        example=_first(s.text for s in report.systems[CANDIDATE].samples),
    )


def _copying(result: SystemResult, gate: Gate) -> GateResult:
    copying = result.copying
    share, longest = copying.copied_share, copying.longest_words
    over = []
    if share > gate.max_copied_share:
        over.append(f"{share - gate.max_copied_share:.0%} of words too many")
    if longest > gate.max_copied_words:
        over.append(f"the longest run {longest - gate.max_copied_words} words too long")
    message = (
        f"{share:.0%} of the words are copied from training text (limit {gate.max_copied_share:.0%}), "
        f"the longest run is {longest} words (limit {gate.max_copied_words})"
    )
    if over:
        message += f": {' and '.join(over)}"
    elif share > MEMORISED:
        message += ": within this profile's limits, but the voice is partly recited"
    return GateResult(
        name="not_copied",
        passed=not over,
        value=share,
        threshold=gate.max_copied_share,
        message=message,
        example=copying.longest or None,
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
        name="refuses",
        passed=passed,
        value=declined,
        threshold=gate.min_refusal_rate,
        message="; ".join(parts),
    )


def _supported(result: SystemResult, gate: Gate) -> GateResult:
    grounding = result.qa_eval.grounding if result.qa_eval else None
    value = grounding.supported if grounding else None
    least = gate.min_supported
    message = (
        "support was not measured: no answers with claims and passages"
        if value is None or grounding is None
        else f"the passages support {value:.0%} of {grounding.claims} claims"
        + ("" if least is None else f" (at least {least:.0%})")
        + (f", short by {least - value:.0%}" if least is not None and value < least else "")
    )
    return GateResult(
        name="grounded",
        passed=least is None or (value is not None and value >= least),
        value=value,
        threshold=least,
        message=message,
        blocking=least is not None,
        example=_first(grounding.unsupported) if grounding else None,
    )


def _grounding(report: EvaluationReport, gate: Gate) -> GateResult:
    """Enough by itself, and not much less than the baseline: voice must not be bought with facts."""
    ours = _supported(report.systems[CANDIDATE], gate)
    most = gate.max_support_loss
    theirs = _supported(report.systems[BASELINE], gate).value if BASELINE in report.systems else None
    if ours.value is None or theirs is None:
        # Models that say nothing checkable can't be held against each other.
        return ours
    loss = theirs - ours.value
    message = f"{ours.message}; {theirs:.0%} of base+prompt+retrieval's"
    passed = ours.passed
    if most is not None and loss > most:
        passed = False
        message += f": {loss:.0%} are lost, {loss - most:.0%} more than the {most:.0%} allowed"
    return ours.model_copy(
        update={"message": message, "passed": passed, "blocking": ours.blocking or most is not None}
    )


def _declining(result: SystemResult, gate: Gate) -> GateResult:
    """The model's own refusals, both errors."""
    return _refusal_errors(
        "declines_by_itself",
        "by the model itself",
        result.qa_eval.refusals if result.qa_eval else None,
        gate.max_answered_wrongly,
        gate.max_declined_wrongly,
    )


def _declining_as_served(result: SystemResult, gate: Gate) -> GateResult:
    """The refusals of what a reader is told, both errors."""
    return _refusal_errors(
        "declines_as_served",
        "as served",
        result.qa_eval.served if result.qa_eval else None,
        gate.max_served_wrongly,
        gate.max_served_declined,
    )


def _refusal_errors(
    name: str, whose: str, refusals: Refusals | None, most_answered: float | None, most_declined: float | None
) -> GateResult:
    answered = refusals.answered_wrongly if refusals else None
    declined = refusals.declined_wrongly if refusals else None
    parts, passed = [], True
    for value, most, what in (
        (answered, most_answered, "of unanswerable questions are answered"),
        (declined, most_declined, "of answerable ones are declined"),
    ):
        if value is None:
            continue
        parts.append(f"{value:.0%} {what}" + ("" if most is None else f" (at most {most:.0%})"))
        if most is not None and value > most:
            passed = False
            parts[-1] += f", {value - most:.0%} too many"
    return GateResult(
        name=name,
        passed=passed,
        value=answered,
        threshold=most_answered,
        message=f"{whose}, {'; '.join(parts)}" if parts else f"refusals {whose} were not measured",
        blocking=most_answered is not None or most_declined is not None,
        example=_first(refusals.examples) if refusals else None,
    )


def _private(result: SystemResult, gate: Gate) -> GateResult:
    safety = result.safety
    if safety is None:
        return GateResult(
            name="no_private_data",
            passed=True,
            value=None,
            threshold=None,
            message="not measured",
            blocking=False,
        )
    private = safety.found - safety.secrets
    message = (
        f"{private} pieces of personal data and {safety.secrets} secrets in {safety.texts} texts, "
        f"{safety.learnt} of them from training text"
    )
    passed = True
    for value, most, what in (
        (private, gate.max_private, "personal data"),
        (safety.secrets, gate.max_secrets, "secrets"),
    ):
        if most is not None and value > most:
            passed = False
            message += f"; {what}: {value - most} more than the {most} allowed"
    return GateResult(
        name="no_private_data",
        passed=passed,
        value=float(safety.found),
        threshold=gate.max_secrets,
        message=message,
        blocking=gate.max_private is not None or gate.max_secrets is not None,
        example=_first(safety.samples),
    )


def _ability(report: EvaluationReport, gate: Gate) -> GateResult:
    found, most = report.ability, gate.max_ability_loss
    if found is None:
        return GateResult(
            name="ability_kept",
            passed=most is None,
            value=None,
            threshold=most,
            message="general ability was not measured",
            blocking=most is not None,
        )
    message = (
        f"{found.candidate:.0%} of {found.items} general questions are right, {found.base:.0%} for the base model "
        f"(difference {found.difference:+.0%}, 95% interval {found.low:+.0%} to {found.high:+.0%})"
    )
    if found.at_chance:
        message += f"; the base model itself is near chance ({found.chance:.0%}), so there is little to lose"
    lost = most is not None and -found.difference > most
    if most is not None and lost:
        message += f": {-found.difference - most:.0%} more lost than the {most:.0%} allowed"
    return GateResult(
        name="ability_kept",
        passed=not lost,
        value=found.difference,
        threshold=None if most is None else -most,
        message=message,
        blocking=most is not None,
    )


def _latency(result: SystemResult, gate: Gate) -> GateResult:
    value, most = result.effort.latency if result.effort else None, gate.max_latency
    message = "the time of a call was not measured" if value is None else f"a call takes {value:.1f} s"
    if most is not None:
        message += f" (at most {most:.1f} s)"
    slow = most is not None and (value is None or value > most)
    if most is not None and value is not None and value > most:
        message += f", {value - most:.1f} s too long"
    return GateResult(
        name="fast_enough",
        passed=not slow,
        value=value,
        threshold=most,
        message=message,
        blocking=most is not None,
    )


def _first(texts: object) -> str | None:
    for text in texts:  # type: ignore[attr-defined]
        return first_words(str(text), 40)
    return None
