"""Is one system nearer to the author's voice than another? Paired by what they were asked to write."""

import math
from collections.abc import Callable

import numpy as np

from twin_assets.core.records import Record
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.voice.stylometry import WINDOW, windows, word_count

# An interval from fewer pairs says little.
MIN_PAIRS = 4
SIGMAS = 1.96  # of a mean, on each side of a 95% interval


class Gain(Record):
    """Mean difference with its 95% interval, and the standard deviation of a pair's; None where there is too little text."""

    mean: float | None
    low: float | None
    high: float | None
    pairs: int
    spread: float | None = None

    def pairs_needed(self, within: float) -> int | None:
        """How many pairs give an interval that reaches so far on each side, by the spread of these; None where there is none.

        The spread alone decides, never the gain: that would be to ask until the answer pleases, while an internal pilot of
        this kind leaves the error of a test nearly as it was (Wittes and Brittain 1990).
        """
        return None if self.spread is None else math.ceil((SIGMAS * self.spread / within) ** 2)


def paired_gain(score: Callable[[list[str]], float], ours: list[str], theirs: list[str], seed: int) -> Gain:
    """Score of `ours` minus score of `theirs`, where text n of both answers the same prompt. `score` is of windows.

    One text is too short to measure, so consecutive prompts are pooled into blocks that hold a window of
    250 words or more of both; the bootstrap draws blocks, each with both its sides.
    """
    blocks = _blocks(ours, theirs)
    if len(blocks) < MIN_PAIRS:
        return Gain(mean=None, low=None, high=None, pairs=len(blocks))
    differences = np.array([score(windows(ours[a:b])) - score(windows(theirs[a:b])) for a, b in blocks])
    low, high = bootstrap(differences, seed)
    return Gain(
        mean=float(differences.mean()),
        low=low,
        high=high,
        pairs=len(blocks),
        spread=float(differences.std(ddof=1)),
    )


def _blocks(ours: list[str], theirs: list[str]) -> list[tuple[int, int]]:
    """Spans of prompts; what is left at the end goes to the last block."""
    blocks: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(ours) + 1):
        if min(word_count(ours[start:end]), word_count(theirs[start:end])) >= WINDOW:
            blocks.append((start, end))
            start = end
    if blocks and start < len(ours):
        blocks[-1] = (blocks[-1][0], len(ours))
    return blocks
