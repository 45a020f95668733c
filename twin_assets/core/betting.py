"""Testing by betting: how strongly yes-or-no outcomes speak against a share, looked at after every one of them.

An e-value is the capital of a gambler who began with 1 and bets fairly under the claim. If the claim is true, it exceeds
x in at most one of x sequences, whenever one stops (Ville's inequality). See Waudby-Smith and Ramdas, "Estimating means
of bounded random variables by betting", JRSS B 86 (2024), and Ramdas et al., "Game-theoretic statistics and safe
anytime-valid inference", Statistical Science 38 (2023).
"""

import numpy as np

# Where other shares are looked at, between the claimed one (0) and all (1).
_GRID = (np.arange(256) + 0.5) / 256
_HALVINGS = 24


def e_value(bad: float, n: int, allowed: float) -> float:
    """How strongly `bad` of `n` outcomes speak against a share of at most `allowed`, in [0, 1]: an e-value.

    The likelihood of greater shares, a grid of them averaged, over that of `allowed`: one bet for each share.
    """
    if allowed > 0.999:
        return 1.0  # nothing speaks against a limit that allows everything
    allowed = max(allowed, 1e-3)
    greater = allowed + (1 - allowed) * _GRID
    ratios = bad * np.log(greater / allowed) + (n - bad) * (np.log1p(-greater) - np.log1p(-allowed))
    return float(np.exp(min(np.logaddexp.reduce(ratios) - np.log(len(_GRID)), 700.0)))


def two_sided_e_value(right: float, n: int, share: float) -> float:
    """How strongly `right` of `n` outcomes speak against exactly `share`: half of the capital bets on more, half on
    less."""
    return (e_value(right, n, share) + e_value(n - right, n, 1 - share)) / 2


def share_interval(right: float, n: int, error: float) -> tuple[float, float]:
    """The shares that `right` of `n` outcomes do not speak against with 1/`error` or more.

    A confidence sequence: the true share is in all of these intervals, from the first outcome to whichever last, with
    probability 1 - `error` or more. Its ends are shares in [0, 1]; before the first outcome it is all of that. The
    e-value is convex in the share, so what is not excluded is an interval.
    """
    if not n:
        return 0.0, 1.0

    def end(inside: float, outside: float) -> float:
        if two_sided_e_value(right, n, outside) < 1 / error:
            return outside
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if two_sided_e_value(right, n, middle) < 1 / error:
                inside = middle
            else:
                outside = middle
        return outside

    return end(right / n, 0.0), end(right / n, 1.0)
