"""Is the twin better for its second stage? The model of DPO, or of whatever method, against the SFT model that it began from, on the same tasks.

Whoever gains nothing keeps the model that was trained less: the pipeline then proposes that one.
"""

from collections.abc import Callable, Sequence

import numpy as np

from twin_assets.core.records import Record
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.grounding.qa_eval import UNANSWERABLE, QaEval
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.voice.compare import paired_gain

LEAST_PAIRS = 4  # an interval from fewer says little


class StageGain(Record):
    """Means of both models over `pairs` of tasks, of the second stage by whatever method `dpo`, and of that minus SFT with its 95% interval by paired bootstrap. More is
    better: `voice` is a place between others (0) and the author (1), or a margin; `sense` the share of a text's passages that
    read as the author's do, `support` the share of an answer's claims that its passages hold, `refusals` the share of
    unanswerable questions that the model declines. The means of voice are not of single tasks, and are left out."""

    measure: str
    pairs: int
    sft: float | None
    dpo: float | None
    gain: float
    low: float
    high: float


class StageGains(Record):
    """`keeps_dpo`, the second stage's model by whatever `method`, where some measure is surely better and none surely worse."""

    gains: list[StageGain]
    keeps_dpo: bool
    verdict: str
    method: str = "DPO"


def compare_stages(
    sft: tuple[list[str], QaEval | None],
    dpo: tuple[list[str], QaEval | None],
    voice: Callable[[list[str]], float] | None,
    sense: SenseMeter | None,
    seed: int,
    method: str = "DPO",
) -> StageGains:
    """Texts and answers of both, to the same tasks and questions in the same order. `voice` is a score of windows; what is None
    is left out. `method` is the second stage's name in the verdict."""
    found: list[StageGain | None] = []
    if voice:
        gain = paired_gain(voice, dpo[0], sft[0], seed)
        if gain.mean is not None and gain.low is not None and gain.high is not None:
            found.append(
                StageGain(
                    measure="voice", pairs=gain.pairs, sft=None, dpo=None, gain=gain.mean, low=gain.low, high=gain.high
                )
            )  # fmt: skip
    if sense:
        before, after = (
            [one.share if one else None for one in sense.read(texts)] for texts in (sft[0], dpo[0])
        )
        found.append(_gain("sense", before, after, seed))
    if sft[1] and dpo[1]:
        found.append(_gain("support", _support(sft[1]), _support(dpo[1]), seed))
        found.append(_gain("refusals", _declined(sft[1]), _declined(dpo[1]), seed))
    gains = [one for one in found if one]
    better = [one.measure for one in gains if one.low > 0]
    worse = [one.measure for one in gains if one.high < 0]
    keeps = bool(better) and not worse
    if keeps:
        verdict = f"{method} gained surely in {' and '.join(better)} and lost surely in nothing: its model is the candidate."
    elif better:
        verdict = f"{method} gained in {' and '.join(better)} and lost in {' and '.join(worse)}: the SFT model is the candidate."
    elif worse:
        verdict = (
            f"{method} gained in nothing and lost in {' and '.join(worse)}: the SFT model is the candidate."
        )
    else:
        verdict = f"{method} gained in nothing that this evaluation can tell: the SFT model is the candidate."
    return StageGains(gains=gains, keeps_dpo=keeps, verdict=verdict, method=method)


def _support(answered: QaEval) -> list[float | None]:
    return [
        float(np.mean([claim.supported for claim in one.claims])) if one.claims else None
        for one in answered.answers
    ]


def _declined(answered: QaEval) -> list[float | None]:
    return [float(one.declined) if one.kind in UNANSWERABLE else None for one in answered.answers]


def _gain(
    measure: str, sft: Sequence[float | None], dpo: Sequence[float | None], seed: int
) -> StageGain | None:
    both = np.array([(a, b) for a, b in zip(sft, dpo, strict=True) if a is not None and b is not None])
    if len(both) < LEAST_PAIRS:
        return None
    low, high = bootstrap(both[:, 1] - both[:, 0], seed)
    means = both.mean(axis=0)
    return StageGain(
        measure=measure, pairs=len(both), sft=float(means[0]), dpo=float(means[1]),
        gain=float(means[1] - means[0]), low=low, high=high,
    )  # fmt: skip
