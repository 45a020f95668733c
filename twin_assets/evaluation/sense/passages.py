"""Texts cut into passages, and both measures of each: what they are told by, before anything is held against anybody."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from twin_assets.core.embedding.embedder import Embed
from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.text.words import sentences, word_spans
from twin_assets.evaluation.voice.stylometry import prose

WINDOW, LEAST_WORDS = 100, 50
# What has no blanks is read too: a model that goes astray writes hundreds of letters, and no fifty words.
LEAST_LETTERS = 300
# The mean loss falls with what was read: a short passage is held against as short beginnings of the author's.
LENGTHS = (48, 64, 80, 96, 112, 128)


class Reference(Protocol):
    """A language model; `fingerprint` is the identity of its figures."""

    name: str

    @property
    def fingerprint(self) -> str: ...

    def losses(self, texts: list[str]) -> list[np.ndarray]:
        """Nats of each token of each text, at most so many of its first."""
        ...


@dataclass(frozen=True)
class Measured:
    """A passage: `losses` are means over its first LENGTHS tokens in nats a token, as far as it goes; `coherence` is
    the mean cosine of neighbouring sentences, None for a single one."""

    text: str
    losses: tuple[float, ...]
    coherence: float | None


def passages(text: str) -> list[str]:
    """The prose of a text in passages of WINDOW words; a last one counts from LEAST_WORDS or LEAST_LETTERS on."""
    text = prose(text).strip()
    spans = word_spans(text)
    cut = (spans[at : at + WINDOW] for at in range(0, len(spans), WINDOW))
    found = ((text[part[0][0] : part[-1][1]], len(part)) for part in cut)
    return [piece for piece, words in found if words >= LEAST_WORDS or len(piece) >= LEAST_LETTERS]


def some_passages(texts: Iterable[str], most: int) -> list[str]:
    """At most so many passages, drawn by their content: the same whatever the order of the texts."""
    return sorted((p for text in texts for p in passages(text)), key=text_hash)[:most]


class PassageMeter:
    """Measures passages, each once: figures are kept by content where `kept` is given."""

    def __init__(
        self,
        reference: Reference,
        embed: Embed,
        embedder: str,
        kept: KeptValues[str] | None = None,
    ) -> None:
        """`embedder` is the fingerprint of what `embed` gives."""
        self.reference, self._embed, self._embedder, self._kept = reference, embed, embedder, kept

    def measure(self, texts: list[str], keep: bool = False) -> list[Measured]:
        """Both measures of each passage, in their order; with `keep` they are found again by another process.

        Raises TwinError when the reference model can't be fetched or loaded.
        """
        if not keep or self._kept is None:
            return self._measure(texts)
        keys = [self._key(text) for text in texts]
        known = self._kept.find(keys)
        missing = [text for key, text in dict(zip(keys, texts, strict=True)).items() if key not in known]
        new = {self._key(one.text): json.dumps([one.losses, one.coherence]) for one in self._measure(missing)}
        self._kept.keep(new)
        values = (json.loads((known | new)[key]) for key in keys)
        return [Measured(t, tuple(losses), near) for t, (losses, near) in zip(texts, values, strict=True)]

    def _key(self, text: str) -> str:
        return fingerprint([self.reference.fingerprint, self._embedder, LENGTHS, text], 24)

    def _measure(self, texts: list[str]) -> list[Measured]:
        return [
            Measured(text, _means(losses), near)
            for text, losses, near in zip(
                texts, self.reference.losses(texts), self._coherence(texts), strict=True
            )
        ]

    def _coherence(self, texts: list[str]) -> list[float | None]:
        parts = [[text[a:b] for a, b in sentences(text)] for text in texts]
        flat = [part for cut in parts for part in cut]
        vectors, at, found = self._embed(flat) if flat else np.zeros((0, 1)), 0, list[float | None]()
        for cut in parts:
            near = vectors[at : at + len(cut)]
            at += len(cut)
            found.append(float((near[1:] * near[:-1]).sum(axis=1).mean()) if len(cut) > 1 else None)
        return found


def _means(losses: np.ndarray) -> tuple[float, ...]:
    return tuple(float(losses[:n].mean()) for n in LENGTHS if n <= len(losses))
