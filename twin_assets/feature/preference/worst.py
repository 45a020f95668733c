"""Which of several texts for one prompt is the worst, by measures that have nothing to do with each other.

No measure is held to be worth so much of another: each orders the texts, and the places are added (Borda's count).
"""

import numpy as np


def worst_of(measures: np.ndarray) -> int:
    """The place of the worst text; the first of several that are as bad.

    `measures` has shape (texts, measures), and more is worse. A measure that is nan for a text says nothing of any.
    """
    from scipy.stats import rankdata  # half a second, which every start of Dagster would pay

    known = measures[:, ~np.isnan(measures).any(axis=0)]
    # Rounded, since the last bits differ from one CPU to another.
    return int(rankdata(np.round(known, 4), axis=0).sum(axis=1).argmax()) if known.size else 0
