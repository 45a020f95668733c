"""Tests for change that keep their word with few samples and many looks. Pure statistics: nothing here knows of twins.

`Evidence` is an e-process: it may be looked at after every sample. `energy_test` is a permutation test: exact at any
size, for one look. `e_benjamini_hochberg` and `benjamini_hochberg` account for several signals at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Values = Sequence[float] | np.ndarray

PERMUTATIONS = 1999
# Of the largest possible bet; small bets notice small changes late, large ones great changes at once.
BETS = np.array([0.05, 0.15, 0.3, 0.5, 0.7, 0.9])
# Half of the capital bets from the first sample on, of the rest one part in LATER begins at each further sample.
AT_ONCE, LATER = 0.5, 50
# How sure the level that one compares with is meant to be: one-sided.
LEVEL_CONFIDENCE = 0.99
MOST = 1e12


class Evidence(NamedTuple):
    """How strongly bounded samples speak for a change: an e-value, its peak so far, and from which sample on."""

    strength: float
    onset: int | None


class Shift(NamedTuple):
    """Outcome of an energy test. `effect` is the energy beyond chance as a share of the mean distance between the
    groups, in [-1, 1]; `limit` the effect that one in twenty permutations exceeds."""

    p: float
    effect: float
    limit: float


def fall_below(values: Values, level: float) -> Evidence:
    """Evidence that samples in [0, 1] have a mean below `level`, however often it is looked at.

    A gambler bets on each next sample lying below `level`; the capital, mixed over several sizes of bet and moments to
    begin, exceeds x in at most one of x sequences whose mean is `level` or more (Ville's inequality). See Waudby-Smith
    and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024); for the moments, Shin,
    Ramdas and Rinaldo, "E-detectors", NEJSDS 2 (2024). `onset` is the first sample of the run that speaks for the
    change; None while nothing does.
    """
    x = np.asarray(values, dtype=float)
    level = float(np.clip(level, 0.0, 0.999))
    if not len(x):
        return Evidence(1.0, None)
    gains = np.log1p((BETS / (1 - level))[:, None] * (level - x)[None, :])
    sums = gains.cumsum(axis=1)
    later = (1 - AT_ONCE) * (1 - 1 / LATER) ** np.arange(len(x))  # what has not begun to bet yet
    starts = np.log(np.concatenate([[AT_ONCE], later[:-1] / LATER]))
    betting = sums + np.logaddexp.accumulate(starts - (sums - gains), axis=1)
    capital = np.logaddexp(np.logaddexp.reduce(betting, axis=0) - np.log(len(BETS)), np.log(later))
    peak = int(np.argmax(capital))
    if capital[peak] <= 1e-9:
        return Evidence(1.0, None)
    run = np.concatenate([[0.0], sums.mean(axis=0)])
    return Evidence(float(np.exp(min(capital[peak], np.log(MOST)))), int(np.argmin(run[: peak + 1])))


def rise_above(values: Values, level: float) -> Evidence:
    """The same for a mean above `level`."""
    return fall_below(1 - np.asarray(values, dtype=float), 1 - level)


def lower_level(values: Values) -> float:
    """What the mean of samples in [0, 1] is at least, at 99%: Clopper and Pearson (1934), exact for yes and no,
    and wider than needed for anything between."""
    from scipy.stats import beta

    n, total = len(values), float(np.sum(values))
    return float(beta.ppf(1 - LEVEL_CONFIDENCE, total, n - total + 1)) if n and total > 0 else 0.0


def upper_level(values: Values) -> float:
    """What the mean of samples in [0, 1] is at most, at 99%."""
    return 1 - lower_level(1 - np.asarray(values, dtype=float))


def e_benjamini_hochberg(strengths: Sequence[float], rate: float) -> list[bool]:
    """Which e-values to act on, so that at most `rate` of those are false on average, whatever depends on what:
    the e-BH procedure of Wang and Ramdas, "False discovery rate control with e-values", JRSS B 84 (2022)."""
    order = np.argsort(strengths)[::-1]
    n = len(strengths)
    count = max((k for k in range(1, n + 1) if strengths[order[k - 1]] >= n / (k * rate)), default=0)
    chosen = {int(i) for i in order[:count]}
    return [i in chosen for i in range(n)]


def benjamini_hochberg(p_values: Values, rate: float) -> list[bool]:
    """Which p-values to act on: Benjamini and Hochberg, JRSS B 57 (1995)."""
    from scipy.stats import false_discovery_control

    return [bool(p <= rate) for p in false_discovery_control(p_values)] if len(p_values) else []


def energy_test(
    old: np.ndarray, new: np.ndarray, strata: Sequence[str], seed: int, permutations: int = PERMUTATIONS
) -> Shift:
    """Do two groups of vectors, shapes (n, d) and (m, d), come from one distribution? `strata` names what each of the
    n + m belongs to (post, article): labels change places only within it, so that another mix is no change.

    The energy statistic (Székely and Rizzo, JSPI 143, 2013) against its permutations, with the observed one among
    them, which keeps the level exact (Phipson and Smyth, SAGMB 9, 2010). Without a stratum that has both, p is 1.
    """
    both, n, m = np.vstack([old, new]), len(old), len(new)
    is_new = np.concatenate([np.zeros(n), np.ones(m)])
    if not any(len(set(is_new[[s == stratum for s in strata]])) == 2 for stratum in set(strata)):
        return Shift(1.0, 0.0, 0.0)
    distances = np.sqrt(np.maximum(_squared(both), 0.0))
    labels = np.vstack([is_new, *_shuffled(is_new, strata, permutations, seed)])
    to_new = labels @ distances
    within_new = (to_new * labels).sum(1)
    between = (to_new * (1 - labels)).sum(1)
    within_old = distances.sum() - within_new - 2 * between
    energy = 2 * between / (n * m) - within_new / m**2 - within_old / n**2
    p = float((energy >= energy[0] - 1e-12).mean())
    scale = 2 * between[0] / (n * m) or 1.0
    expected = float(energy[1:].mean())
    return Shift(
        p, float((energy[0] - expected) / scale), float((np.quantile(energy[1:], 0.95) - expected) / scale)
    )


def _squared(rows: np.ndarray) -> np.ndarray:
    norms = (rows**2).sum(1)
    return norms[:, None] + norms[None, :] - 2 * rows @ rows.T


def _shuffled(labels: np.ndarray, strata: Sequence[str], times: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    places = [np.flatnonzero([s == stratum for s in strata]) for stratum in sorted(set(strata))]
    shuffles = []
    for _ in range(times):
        shuffled = labels.copy()
        for place in places:
            shuffled[place] = random.permutation(labels[place])
        shuffles.append(shuffled)
    return shuffles
