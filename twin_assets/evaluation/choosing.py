"""Chooses the best of several texts for one request, by the instruments that judge a model.

Each gives a figure from 0 to 1 (`CandidateScore`), and the mean of those that could be asked is what counts; support counts twice
where facts were asked for. A text that an instrument can't say anything of gets the mean of the others there.

What it can't do: an instrument that chooses is no judge of what it chose. `benchmarks/best_of.py` therefore judges by a
voice that was fitted on other documents of the author and other strangers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.stylometry import prose, windows
from twin_assets.inference.grounding.claims import Measure, claim_support, claims_of
from twin_assets.inference.grounding.quotations import without_quotations
from twin_assets.inference.twin.candidates import CandidateScore, Choice

# Windows of the voice that chooses: single texts are shorter than those that a model is judged by.
WORDS = 60
PARTS = ("sense", "voice", "support", "own")
# Beyond the author's end a text gains nothing, and how far a stranger is from the author says little.
FURTHEST, NEAREST = -1.0, 1.0


@dataclass(frozen=True)
class Chooser:
    """Any instrument may be missing; `left_out` says why, by the names of PARTS."""

    sense: SenseMeter | None = None
    voice: VoiceInstrument | None = None
    copying: CopyCheck | None = None
    measure: Measure | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def __call__(self, texts: list[str], passages: list[str], facts: bool) -> Choice:
        """The best of at least one text. `passages` are what the texts were written from, `facts` says that they answer a question."""
        written = [without_quotations(text) for text in texts]
        asked: dict[str, Callable[[], Sequence[float | None]]] = {}
        if self.sense:
            asked["sense"] = lambda: self.sense.standing(written)  # type: ignore[union-attr]
        if self.voice:
            asked["voice"] = lambda: [self._voice(text) for text in written]
        if self.measure and passages:
            asked["support"] = lambda: [self._support(text, passages) for text in texts]
        if self.copying:
            asked["own"] = lambda: [self._own(text) for text in written]
        found = {part: list(ask()) for part, ask in asked.items()}
        left_out = self.left_out | {
            part: "these texts are too short, or state nothing"
            for part, values in found.items()
            if all(value is None for value in values)
        }
        if self.measure and not passages:
            left_out |= {"support": "there are no passages"}
        totals = _totals(found, facts, len(texts))
        totals = np.where([bool(text.strip()) for text in texts], totals, -np.inf)
        return Choice(
            chosen=int(np.argmax(totals)),
            scores=[
                CandidateScore(
                    **{part: values[at] for part, values in found.items()}, total=max(float(totals[at]), -1.0)
                )
                for at in range(len(texts))
            ],
            left_out=left_out,
        )

    def _voice(self, text: str) -> float | None:
        assert self.voice is not None
        cut = windows([text], self.voice.words)
        return float(np.clip(self.voice.positions(cut).mean(), FURTHEST, NEAREST)) if cut else None

    def _support(self, text: str, passages: list[str]) -> float | None:
        assert self.measure is not None
        claims = claims_of(prose(text))
        return float(claim_support(claims, passages, self.measure).mean()) if claims else None

    def _own(self, text: str) -> float | None:
        assert self.copying is not None
        return 1.0 - self.copying.report([text]).copied_share if text.strip() else None


def _totals(found: dict[str, list[float | None]], facts: bool, count: int) -> np.ndarray:
    """Weighted means over what is known, shape (count,)."""
    total, weights = np.zeros(count), 0.0
    for part, values in found.items():
        known = [value for value in values if value is not None]
        if not known:
            continue
        weight = 2.0 if part == "support" and facts else 1.0
        middle = float(np.mean(known))
        total += weight * np.array([middle if value is None else value for value in values])
        weights += weight
    return total / max(weights, 1.0)
