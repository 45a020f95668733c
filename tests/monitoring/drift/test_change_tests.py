"""Under no change the rate of false alarms stays at its level, with few samples too; planted changes are found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.monitoring.drift.change_tests import (
    benjamini_hochberg,
    e_benjamini_hochberg,
    energy_test,
    fall_below,
    lower_level,
    rise_above,
    upper_level,
)

TRIALS = 1000


def at_most(found: int, trials: int, rate: float) -> None:
    """The observed share is within three standard errors above the rate that was promised."""
    assert found / trials <= rate + 3 * np.sqrt(rate * (1 - rate) / trials), (found, trials)


@pytest.mark.parametrize("n", [5, 10, 20, 50])
@pytest.mark.parametrize("mean", [0.05, 0.5, 0.9])
def test_looking_after_every_sample_raises_no_more_false_alarms_than_promised(n: int, mean: float) -> None:
    random = np.random.default_rng(n)
    rate = 0.05
    alarms = sum(fall_below(random.random(n) < mean, mean).strength >= 1 / rate for _ in range(TRIALS))
    at_most(alarms, TRIALS, rate)
    alarms = sum(rise_above(random.random(n) < mean, mean).strength >= 1 / rate for _ in range(TRIALS))
    at_most(alarms, TRIALS, rate)


def test_a_fall_is_found_soon_and_its_beginning_too() -> None:
    random = np.random.default_rng(1)
    found = [fall_below(random.random(30) < 0.3, 0.8).strength > 100 for _ in range(100)]
    assert sum(found) >= 95
    onsets = []
    for _ in range(100):
        steady, fallen = random.random(40) < 0.85, random.random(60) < 0.3
        onset = fall_below(np.concatenate([steady, fallen]), 0.8).onset
        assert onset is not None
        onsets.append(onset)
    assert 36 <= np.median(onsets) <= 46


def test_no_samples_and_odd_levels_are_no_evidence() -> None:
    assert fall_below([], 0.5) == (1.0, None)
    assert fall_below([0.0, 0.0], 0.0).strength == 1.0
    assert rise_above([1.0] * 50, 1.0).strength == 1.0
    assert fall_below([0.0] * 2000, 0.9).strength == pytest.approx(1e12)


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_evidence_is_a_number_of_at_least_one_whatever_comes(values: list[float], level: float) -> None:
    for test in (fall_below, rise_above):
        strength, onset = test(values, level)
        assert 1.0 <= strength < 1.001e12
        assert (onset is None) == (strength == 1.0)


def test_a_level_of_few_samples_is_taken_with_its_uncertainty() -> None:
    random = np.random.default_rng(2)
    for n, mean in ((20, 0.5), (50, 0.9), (50, 0.02)):
        wrong = sum(lower_level(random.random(n) < mean) > mean for _ in range(TRIALS))
        at_most(wrong, TRIALS, 0.01)
        wrong = sum(upper_level(random.random(n) < mean) < mean for _ in range(TRIALS))
        at_most(wrong, TRIALS, 0.01)
    assert lower_level([]) == 0.0
    assert upper_level([0.0] * 50) < 0.1


@pytest.mark.parametrize("new", [5, 10, 20, 50])
def test_energy_keeps_its_level_under_no_change_even_when_the_mix_of_kinds_changes(new: int) -> None:
    """Posts and articles differ from each other here, and the new ones are mostly posts: that is no change."""
    random = np.random.default_rng(new)
    trials, rate, alarms = 300, 0.05, 0
    for trial in range(trials):
        kinds = ["post"] * 15 + ["article"] * 15 + ["post"] * (new - 1) + ["article"]
        rows = random.standard_t(3, (len(kinds), 8)) + np.array([[2.0 * (k == "post")] for k in kinds])
        alarms += energy_test(rows[:30], rows[30:], kinds, trial, permutations=199).p <= rate
    at_most(alarms, trials, rate)


def test_energy_finds_a_planted_shift_with_few_samples() -> None:
    random = np.random.default_rng(5)
    found = 0
    for trial in range(40):
        old, new = random.normal(size=(30, 8)), random.normal(1.2, 1, (6, 8))
        found += energy_test(old, new, ["post"] * 36, trial, permutations=499).p <= 0.01
    assert found >= 36


def test_energy_compares_nothing_where_no_kind_is_on_both_sides() -> None:
    rows = np.random.default_rng(0).normal(size=(10, 3))
    assert energy_test(rows[:5], rows[5:] + 9, ["post"] * 5 + ["article"] * 5, 1) == (1.0, 0.0, 0.0)


def test_many_signals_are_held_to_one_rate() -> None:
    random = np.random.default_rng(3)
    uniform = random.random((TRIALS, 6))
    at_most(sum(any(benjamini_hochberg(list(p), 0.05)) for p in uniform), TRIALS, 0.05)
    at_most(sum(any(e_benjamini_hochberg(list(1 / (2 * np.sqrt(p))), 0.05)) for p in uniform), TRIALS, 0.05)
    assert benjamini_hochberg([0.001, 0.9, 0.012], 0.05) == [True, False, True]
    assert e_benjamini_hochberg([1000.0, 1.0, 140.0], 0.01) == [True, False, False]
    assert e_benjamini_hochberg([1000.0, 1.0, 150.0], 0.01) == [True, False, True]
    assert e_benjamini_hochberg([], 0.01) == benjamini_hochberg([], 0.01) == []
