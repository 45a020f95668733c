"""Whether a fine-tune was worth it, said plainly."""

from typing import Any

import pytest

from tests.evaluation.evaluation_factories import reciting_report
from twin_assets.core.models.profiles import Gate
from twin_assets.evaluation.advice import HELPS, advise
from twin_assets.evaluation.comparison import Advice, Comparison
from twin_assets.evaluation.gate import GATES, check_gate, compare_systems

LOOSE = Gate(min_voice_gain=0.0, max_copied_share=1.0, max_copied_words=10_000, min_refusal_rate=0.0)
NOBODY = Comparison(systems=[], cheapest=None, propose=True, verdict="")


def advice(comparison: Comparison = NOBODY, gate: Gate = LOOSE, **changes: Any) -> Advice:
    report = reciting_report().model_copy(update=changes)
    return advise(report, check_gate(report, gate), comparison)


@pytest.mark.parametrize(
    ("gain", "low", "high", "worth"),
    [
        (0.2, 0.1, 0.3, True),
        (-0.2, -0.3, -0.1, False),
        (0.0, -0.1, 0.1, None),
        (None, None, None, None),
    ],
)
def test_a_gain_is_worth_it_when_its_interval_says_so(
    gain: float | None, low: float | None, high: float | None, worth: bool | None
) -> None:
    found = advice(gain=gain, gain_low=low, gain_high=high)
    assert found.worth is worth
    assert ("not worth it" in found.verdict) == (worth is False)
    assert ("can't be said" in found.verdict) == (worth is None)
    assert (HELPS["voice_beats_baseline"] in found.helps) == (worth is not True)


@pytest.mark.parametrize(
    ("low", "high", "worth", "said"),
    [
        (0.1, 0.3, True, "Fine-tuning was worth it for the voice: "),
        (-0.1, 0.5, False, "Fine-tuning was not worth it: base+prompt clears the bar without any training; "),
    ],
)
def test_where_something_cheaper_is_enough_only_a_sure_gain_was_worth_it(
    low: float, high: float, worth: bool, said: str
) -> None:
    cheaper = NOBODY.model_copy(update={"cheapest": "base+prompt"})
    found = advice(cheaper, gain=0.2, gain_low=low, gain_high=high)
    assert found.worth is worth
    assert found.verdict.startswith(said)
    assert "base+prompt clears the bar without any training" in found.verdict


def test_each_gate_that_falls_short_brings_its_help() -> None:
    report = reciting_report()
    gate = LOOSE.model_copy(update={"max_copied_share": 0.1, "min_supported": 1.0})
    gates = check_gate(report, gate)
    found = advise(report, gates, compare_systems(report, gate))
    assert {HELPS[g.name] for g in gates if not g.passed} <= set(found.helps)
    assert HELPS["not_copied"] in found.helps
    assert set(HELPS) == set(GATES)
