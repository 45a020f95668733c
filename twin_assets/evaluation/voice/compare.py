"""Is one system nearer to the author's voice than another? Paired by what they were asked to write."""

import numpy as np

from twin_assets.core.records import Record
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.evaluation.voice.stylometry import WINDOW, windows, word_count

# An interval from fewer pairs says little.
MIN_PAIRS = 4


class Gain(Record):
    """Mean difference of margins with its 95% interval; None where there is too little text."""

    mean: float | None
    low: float | None
    high: float | None
    pairs: int


def paired_gain(meter: VoiceMeter, ours: list[str], theirs: list[str], seed: int) -> Gain:
    """Margin of `ours` minus margin of `theirs`, where text n of both answers the same prompt.

    One text is too short to measure, so consecutive prompts are pooled into blocks that hold a window of
    250 words or more of both; the bootstrap draws blocks, each with both its sides.
    """
    blocks = _blocks(ours, theirs)
    if len(blocks) < MIN_PAIRS:
        return Gain(mean=None, low=None, high=None, pairs=len(blocks))
    differences = np.array([_mean(meter, ours[a:b]) - _mean(meter, theirs[a:b]) for a, b in blocks])
    low, high = bootstrap(differences, seed)
    return Gain(mean=float(differences.mean()), low=low, high=high, pairs=len(blocks))


def _mean(meter: VoiceMeter, texts: list[str]) -> float:
    return float(meter.margins(windows(texts)).mean())


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
