"""Bets keep their word: how often they are wrong when one looks after every outcome, and how soon they are right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln

from twin_assets.core.betting import share_interval, two_sided_e_value

ERROR = 0.05


@given(st.integers(0, 60), st.integers(0, 60))
def test_bets_on_more_and_on_less_are_together_the_uniform_mixture(right: int, wrong: int) -> None:
    """Robbins' mixture of all shares, which has a closed form at one half."""
    n = right + wrong
    closed = np.exp(betaln(right + 1, wrong + 1) + n * np.log(2))
    assert two_sided_e_value(right, n, 0.5) == pytest.approx(closed, rel=2e-2)
    assert two_sided_e_value(right, n, 0.5) == pytest.approx(two_sided_e_value(wrong, n, 0.5))


def test_a_bet_is_fair_for_whoever_guesses() -> None:
    """What it is worth after one more guess is, on average, what it was before."""
    for n in range(1, 25):
        for right in range(n):
            before = two_sided_e_value(right, n - 1, 0.5)
            after = (two_sided_e_value(right, n, 0.5) + two_sided_e_value(right + 1, n, 0.5)) / 2
            assert after == pytest.approx(before)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_stopping_when_it_suits_deceives_in_at_most_one_of_twenty(share: float) -> None:
    """200 answers, looked at after each: how often the true share is ever excluded."""
    random = np.random.default_rng(11)
    runs, most = 1000, 200
    right = (random.random((runs, most)) < share).cumsum(axis=1)
    worth = {
        (n, k): two_sided_e_value(k, n, share)
        for n in range(1, most + 1)
        for k in set(right[:, n - 1].tolist())
    }
    excluded = sum(any(worth[n, int(k)] >= 1 / ERROR for n, k in enumerate(row, 1)) for row in right)
    assert excluded / runs <= ERROR, "Ville's inequality, and no more than it"
    assert excluded > 0, "a bound that never errs would be too wide to say anything"


def test_an_interval_ends_where_a_share_is_excluded_and_narrows() -> None:
    assert share_interval(0, 0, ERROR) == (0.0, 1.0)
    for right, n in ((0, 9), (9, 9), (6, 12), (20, 24), (150, 300)):
        low, high = share_interval(right, n, ERROR)
        assert 0 <= low <= right / n <= high <= 1
        for end in (low, high):
            if 0 < end < 1:
                assert two_sided_e_value(right, n, end) == pytest.approx(1 / ERROR, rel=1e-3)
    widths = [np.subtract(*share_interval(n // 2, n, ERROR)[::-1]) for n in (8, 24, 72, 216)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.25
