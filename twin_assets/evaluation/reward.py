"""What a text is worth while a model learns by GRPO (Shao et al. 2024): its voice, minus what is copied, unsupported or unreadable.

Axolotl loads the four functions at the end by name (`training_configs/base.yaml`), and TRL logs the mean and the spread of each, so that
a person sees which one is being gamed. Voice as a reward is that of arXiv 2512.05747, which has no term for copying or support.

What can't be measured is as bad as can be: no text gains by being too short. What is copied has no voice, and nor has what does not read as
language, whatever the voice instrument says of it. The voice is told by every second document of the author and by writers who never judge
(`Background.rewarding`). The author's sense and copying have no second instrument.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record, SplitDocument
from twin_assets.core.text.words import word_spans
from twin_assets.evaluation.choosing import FURTHEST, NEAREST, WORDS
from twin_assets.evaluation.sense.meter import MOST_REPEATED, SenseMeter, repeated
from twin_assets.evaluation.sense.passages import LEAST_WORDS, WINDOW
from twin_assets.evaluation.sense.persona_sense import fitted_sense
from twin_assets.evaluation.voice.background import Background
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.persona_meter import training_documents
from twin_assets.evaluation.voice.stylometry import prose, windows
from twin_assets.inference.grounding.claims import Measure, by_mix, claim_support, claims_of
from twin_assets.settings import Settings, load_settings

MOST_READINGS = 16  # of a text, by the reference model: what a training step costs is bounded


class RewardTexts(Record):
    """All that a reward is made of: the same texts and names give the same reward, in whatever process.

    `prose` is the author's training text by document, `others` the writing of people that the reward tells the author from, by name.
    """

    prose: dict[str, str]
    others: dict[str, list[str]]
    reference_model: str
    embedder: str

    @classmethod
    def of(cls, corpus: Sequence[SplitDocument], background: Background, settings: Settings) -> "RewardTexts":
        """Of what may be learnt from. Raises TwinError when nothing could say of a text whether it reads as language."""
        if settings.reference_model == "none":
            raise TwinError(
                "GRPO rewards only what reads as language, and TWIN_REFERENCE_MODEL is none.",
                "name a reference model, or set TWIN_PREFERENCE_METHOD=dpo.",
            )
        return cls(
            prose={d.doc_id: d.voice_text for d in training_documents(corpus)},
            others=background.rewarding(),
            reference_model=settings.reference_model,
            embedder=settings.embedder,
        )


class Terms(NamedTuple):
    """Of one text: `voice` in [-1, 1], 0 as strangers on average and 1 as the author; the others in [0, 1], more is worse. `unsupported` is None without
    passages to hold it against."""

    voice: float
    copied: float
    unsupported: float | None
    unreadable: float


@dataclass(frozen=True)
class Reward:
    """The instruments, opened."""

    voice: VoiceInstrument
    copying: CopyCheck
    measure: Measure
    sense: SenseMeter

    @classmethod
    def of(cls, texts: RewardTexts, cache_dir: Path) -> "Reward":
        """Fitted on the texts; figures of the author's are kept below `cache_dir`. Raises TwinError where they are too few to tell
        anything by, or the reference can't tell the author's language from noise."""
        author, embedder = list(texts.prose.values()), load_embedder(texts.embedder)
        sense = fitted_sense(texts.reference_model, texts.embedder, cache_dir, tuple(author))
        if not sense.tells_words:
            raise TwinError(
                f"GRPO rewards only what reads as language, and {texts.reference_model} can't tell this author's from noise.",
                "set TWIN_REFERENCE_MODEL to a model that knows the language, or TWIN_PREFERENCE_METHOD=dpo.",
            )
        voice = VoiceInstrument.fit(author[::2], texts.others, WORDS)
        return cls(voice, CopyCheck(author), by_mix(embedder.embed_kept), sense)

    def terms(self, texts: Sequence[str], passages: Sequence[Sequence[str]]) -> list[Terms]:
        """Of each text, written from its `passages`. Raises TwinError when the reference model can't be loaded."""
        unreadable = self._unreadable(texts)
        return [
            Terms(
                voice=self._voice(text, bad),
                copied=self.copying.report([text]).copied_share if text.strip() else 1.0,
                unsupported=self._unsupported(text, list(given)) if given else None,
                unreadable=bad,
            )
            for text, given, bad in zip(texts, passages, unreadable, strict=True)
        ]

    def _voice(self, text: str, unreadable: float) -> float:
        own = windows([self.copying.without_copies(text)], WORDS)
        if not own or unreadable == 1:
            return FURTHEST
        return float(np.clip(self.voice.positions(own).mean(), FURTHEST, NEAREST))

    def _unsupported(self, text: str, passages: list[str]) -> float:
        claims = claims_of(prose(text))
        return 1.0 - float(claim_support(claims, passages, self.measure).mean()) if claims else 1.0

    def _unreadable(self, texts: Sequence[str]) -> list[float]:
        """A text is as strange as its worst part: noise after a good beginning would else cost little. What the author writes costs nothing,
        so that voice alone is learnt from texts that are readable."""
        parts = [_readings(text) for text in texts]
        found = [1.0 if f is None else f for f in self.sense.strangeness([p for some in parts for p in some])]
        each = iter(found)
        worst = [max((next(each) for _ in some), default=1.0) for some in parts]
        return [
            max(w, min(repeated(text) / MOST_REPEATED, 1.0)) for w, text in zip(worst, texts, strict=True)
        ]


def _readings(text: str) -> list[str]:
    """The prose of a text in passages of WINDOW words, the last of them up to its end: nothing is left unread."""
    text = prose(text).strip()
    spans = word_spans(text)
    if len(spans) < LEAST_WORDS:
        return []
    last = max(len(spans) - WINDOW, 0)
    starts = [*range(0, last, WINDOW), last][:MOST_READINGS]
    return [text[spans[at][0] : spans[min(at + WINDOW, len(spans)) - 1][1]] for at in starts]


Completions = list[list[dict[str, str]]]  # one message each


def voice(completions: Completions, **row: Any) -> list[float]:
    """As TRL asks: of each completion, with the columns of its row that `training/method_rows.py` writes."""
    return [terms.voice for terms in _asked(completions, row)]


def copied(completions: Completions, **row: Any) -> list[float]:
    """The same of copying."""
    return [terms.copied for terms in _asked(completions, row)]


def unsupported(completions: Completions, **row: Any) -> list[float | None]:
    """The same of claims that the row's passages don't hold; None leaves the term out where there are none."""
    return [terms.unsupported for terms in _asked(completions, row)]


def unreadable(completions: Completions, **row: Any) -> list[float]:
    """The same of noise and repetition."""
    return [terms.unreadable for terms in _asked(completions, row)]


def _asked(completions: Completions, row: dict[str, Any]) -> list[Terms]:
    texts = tuple(message["content"] for [message] in completions)
    return _measured(row["reward_file"][0], texts, tuple(map(tuple, row["passages"])))


@lru_cache(maxsize=1)  # the four terms are asked of the same texts, one after the other
def _measured(file: str, texts: tuple[str, ...], passages: tuple[tuple[str, ...], ...]) -> list[Terms]:
    return _opened(file).terms(texts, passages)


@lru_cache(maxsize=1)
def _opened(file: str) -> Reward:
    texts = RewardTexts.model_validate_json(Path(file).read_text(encoding="utf-8"))
    return Reward.of(texts, load_settings().cache_dir)
