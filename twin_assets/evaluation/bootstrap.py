"""The 95% interval of a mean, by the percentile bootstrap (Efron 1979)."""

import numpy as np

DRAWS = 1000


def bootstrap(
    values: np.ndarray, seed: int, weights: np.ndarray | None = None, draws: int = DRAWS
) -> tuple[float, float]:
    """Lower and upper bound of the mean of `values`, shape (n,), over resamples of its items, each with its weight.

    Of differences of pairs it is the paired bootstrap. The same seed gives the same interval.
    """
    drawn = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    means = np.average(values[drawn], axis=1, weights=None if weights is None else weights[drawn])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
