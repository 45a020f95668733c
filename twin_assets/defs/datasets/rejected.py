"""How bad a text is as the author's, by the judge's own instruments: for choosing what is rejected, and to show that it is
worse than what is chosen."""

from collections.abc import Sequence

import numpy as np

from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import passages_in
from twin_assets.core.records import Record, SplitDocument
from twin_assets.core.text.content_words import grounded_share
from twin_assets.defs.shared.resources import Platform
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.sense.persona_sense import persona_sense
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.persona_meter import persona_instrument, training_prose
from twin_assets.feature.preference.build import Candidate

MEASURES = ("sense", "voice", "copying", "support")


class Told(Record):
    """Mean of a measure on the samples that were near in length, those of them that are rejected, and the chosen texts, with
    the 95% interval of rejected minus chosen by bootstrap over pairs. More is worse. `sense` is the loss under the reference
    model (nats a token, of texts of 50 words and more), `voice` one minus the place between others (0) and the author (1), `copying`
    the share of words that stand in training text (of a chosen text all: it is the author's), `support` one minus the share of content words that the passages hold."""

    measure: str
    pairs: int
    samples: float
    rejected: float
    chosen: float
    low: float
    high: float


class Instruments:
    """Fitted on the training side, as for the evaluation; what can't be fitted measures nothing."""

    def __init__(self, platform: Platform, persona: Persona, corpus: Sequence[SplitDocument]) -> None:
        settings = platform.settings
        train = [d for d in corpus if d.split == "train" and persona.may_learn(d.visibility)]
        self._sense, self.no_sense = persona_sense(settings, platform.profile, train)
        self._voice = persona_instrument(persona, train, platform.lake, settings.impostors_dir)
        self._copies = CopyCheck(list(training_prose(train)))
        self._measured: dict[tuple[str, str], np.ndarray] = {}  # by row and text

    def measure(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Shape (candidates, MEASURES), more is worse; nan where there is nothing to measure. A candidate is measured once,
        however often it is asked for."""
        keys = [(prompt.row.row_id, text) for prompt, text in candidates]
        fresh = {key: c for key, c in zip(keys, candidates, strict=True) if key not in self._measured}
        self._measured.update(zip(fresh, self._measure(list(fresh.values())), strict=True))
        return np.array([self._measured[key] for key in keys]).reshape(-1, len(MEASURES))

    def _measure(self, candidates: list[Candidate]) -> np.ndarray:
        texts = [text for _, text in candidates]
        measured = np.full((len(texts), len(MEASURES)), np.nan)
        if not texts:
            return measured
        if self._sense:
            measured[:, 0] = [one.loss if one else np.nan for one in self._sense.read(texts)]
        if self._voice:
            measured[:, 1] = 1 - self._voice.positions(texts)
        measured[:, 2] = [self._copies.report([text]).copied_share for text in texts]
        for at, (prompt, text) in enumerate(candidates):
            if prompt.kind == "grounding":
                measured[at, 3] = 1 - grounded_share(text, passages_in(prompt.row.messages[-2]))
        return measured


def how_much_worse(samples: np.ndarray, rejected: np.ndarray, chosen: np.ndarray, seed: int) -> list[Told]:
    """One entry for each measure that both sides of two pairs or more have. `rejected` and `chosen` are of the same pairs."""
    told = []
    for at, name in enumerate(MEASURES):
        both = ~np.isnan(rejected[:, at]) & ~np.isnan(chosen[:, at])
        if both.sum() < 2:
            continue
        low, high = bootstrap(rejected[both, at] - chosen[both, at], seed)
        means = (np.nanmean(samples[:, at]), rejected[both, at].mean(), chosen[both, at].mean())
        told.append(
            Told(
                measure=name, pairs=int(both.sum()), low=round(low, 3), high=round(high, 3),
                **dict(zip(("samples", "rejected", "chosen"), (round(float(m), 3) for m in means), strict=True)),
            )
        )  # fmt: skip
    return told
