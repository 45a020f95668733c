import numpy as np
import pytest

from twin_assets.evaluation.bootstrap import bootstrap


@pytest.mark.parametrize("n", [2, 7, 300])
def test_an_interval_is_that_of_the_reports_before(n: int) -> None:
    values, weights = np.random.default_rng(n).normal(size=n), np.random.default_rng(1).random(n)
    means = np.random.default_rng(17).choice(values, (1000, n)).mean(axis=1)
    assert bootstrap(values, 17) == (np.percentile(means, 2.5), np.percentile(means, 97.5))
    drawn = np.random.default_rng(17).integers(0, n, (500, n))
    means = (weights[drawn] * values[drawn]).sum(1) / weights[drawn].sum(1)
    assert bootstrap(values, 17, weights, 500) == (np.percentile(means, 2.5), np.percentile(means, 97.5))


def test_an_interval_narrows_with_more_values_and_holds_their_mean() -> None:
    few, many = (np.random.default_rng(3).normal(5, 1, n) for n in (20, 2000))
    (low, high), (lower, higher) = bootstrap(few, 1), bootstrap(many, 1)
    assert low < few.mean() < high
    assert lower < many.mean() < higher
    assert higher - lower < (high - low) / 5
