"""Was the fine-tune worth its training, and what would help? In words for whoever has to decide."""

from twin_assets.evaluation.comparison import Advice, Comparison
from twin_assets.evaluation.gate import MEMORISED, GateResult
from twin_assets.evaluation.results import BASELINE, CANDIDATE, EvaluationReport

# What brings a measure that falls short further, by the name of its gate.
HELPS = {
    "reads_as_language": "a larger base model, or one that was trained on more text: this one writes no sentences that hold together",
    "voice_beats_baseline": "collect more of the author's own writing, or start from a larger base model, which picks up a voice from fewer texts",
    "not_copied": "train for fewer epochs, or on more writing: a small corpus that is seen often is recited",
    "refuses": "give the persona more `questions:` that its writing can't answer, and find the threshold again with `twin calibrate`",
    "grounded": "a larger base model: small ones write past the passages that they are shown",
    "declines_by_itself": "more refusals among the preference pairs (`max_kind_shares` of the profile)",
    "declines_as_served": "`answers:` with `strict` and `check` in the persona's file, or more writing on what people ask",
    "no_private_data": "a stricter `privacy:` in the persona's file, and then new datasets",
    "ability_kept": "LoRA in place of full training, a lower learning rate or fewer epochs",
    "fast_enough": "a smaller base model, or an engine on a GPU",
}


def advise(report: EvaluationReport, gates: list[GateResult], comparison: Comparison) -> Advice:
    """Worth it is a fine-tune that is surely nearer to the voice than its own base with prompt and retrieval, also where
    that clears the bar: the bar is the least that is asked, not the author. Without a sure gain it was not worth it where
    something cheaper is enough; else it can't be said where the gain could be either, or was not measured."""
    worth = _worth(report, comparison)
    short = [gate for gate in gates if not gate.passed and gate.name in HELPS]
    helps = [HELPS[gate.name] for gate in short]
    if worth is not True and HELPS["voice_beats_baseline"] not in helps:
        helps.insert(0, HELPS["voice_beats_baseline"])
    if report.systems[CANDIDATE].copying.copied_share > MEMORISED and HELPS["not_copied"] not in helps:
        helps.append(HELPS["not_copied"])
    return Advice(worth=worth, verdict=_verdict(report, comparison, worth), helps=helps)


def _worth(report: EvaluationReport, comparison: Comparison) -> bool | None:
    if report.gain_note:
        return False
    if report.gain_low is not None and report.gain_low > 0:
        return True
    if _cheaper(comparison) or (report.gain_high is not None and report.gain_high <= 0):
        return False
    return None


def _cheaper(comparison: Comparison) -> str | None:
    """What clears the bar without any training, if anything does."""
    return None if comparison.cheapest == CANDIDATE else comparison.cheapest


def _verdict(report: EvaluationReport, comparison: Comparison, worth: bool | None) -> str:
    if report.gain_note:
        return f"Fine-tuning was not worth it: {report.gain_note}."
    if report.gain is None or report.gain_low is None or report.gain_high is None:
        gain = "how much nearer it comes to the voice was not measured"
    else:
        gain = (
            f"its voice is {abs(report.gain):.3f} {'nearer to' if report.gain >= 0 else 'further from'} the author than "
            f"{BASELINE}'s (95% interval {report.gain_low:+.3f} to {report.gain_high:+.3f})"
        )
    cheaper = _cheaper(comparison)
    if worth is None:
        return f"Whether fine-tuning was worth it can't be said yet: {gain}."
    if worth:
        without = (
            f"{cheaper} clears the bar without any training too"
            if cheaper
            else "nothing cheaper clears the bar"
        )
        return f"Fine-tuning was worth it for the voice: {gain}, and {without}."
    if cheaper:
        return f"Fine-tuning was not worth it: {cheaper} clears the bar without any training; {gain}."
    return f"Fine-tuning was not worth it: {gain}."
