"""Makes the thresholds of another embedder: the cosines that mean what offline-minilm's mean.

    twin calibrate FOLDER

Both embedders see the same pairs of texts, from the same passage less a word to passages that have nothing in common.
A threshold of the one becomes the cosine of the other that as many pairs stay under (equipercentile equating: Kolen and
Brennan, "Test Equating, Scaling, and Linking", 2014), for short texts against passages and for passages against passages
apart. FOLDER holds Markdown of the kind that is collected, of anybody: at least PASSAGES passages of 40 words.
"""

import random
from pathlib import Path

import numpy as np

from twin_assets.core.embedding.embedder import Embedder, load_embedder
from twin_assets.core.embedding.thresholds import (
    CALIBRATION,
    OFFLINE_MINILM,
    TYPICAL_COSINE,
    Calibration,
    Thresholds,
    calibration_key,
    supported_at,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.persona.retrieval_options import RetrievalOptions
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.text.content_words import content_words
from twin_assets.core.text.words import count_words, sentences
from twin_assets.settings import Settings

REFERENCE = "offline-minilm"
PASSAGES, MOST_PASSAGES, MIN_WORDS = 100, 200, 40
LEFT_OUT = (0.02, 0.05, 0.1, 0.2, 0.4)  # shares of its words by which a passage is made another
QUERY_WORDS = 6

Pairs = list[tuple[str, str]]


def calibrate(embedder: Embedder, passages: list[str], seed: int = 17) -> Calibration:
    """The thresholds of `embedder`, by passages in the order of their texts. Raises TwinError for too few of them."""
    if len(passages) < PASSAGES:
        raise TwinError(
            f"There are {len(passages)} passages of {MIN_WORDS} words or more; {PASSAGES} are needed.",
            "name a folder with more writing.",
        )
    reference, measured = load_embedder(REFERENCE), OFFLINE_MINILM
    short, whole = _pairs(passages, random.Random(seed))
    of_short, of_whole = ((_cosines(reference, pairs), _cosines(embedder, pairs)) for pairs in (short, whole))
    alpha = RetrievalOptions().alpha
    thresholds = Thresholds(
        answerable=equated(measured.answerable, *of_short),
        # Of these two only a part is a cosine.
        supported=supported_at(equated(TYPICAL_COSINE, *of_short)),
        weak=measured.weak + (equated(measured.weak, *of_short) - measured.weak) * alpha,
        contaminated=equated(measured.contaminated, *of_whole),
        duplicate=equated(measured.duplicate, *of_whole),
        same_subject=equated(measured.same_subject, *of_whole),
        says_the_rest=equated(measured.says_the_rest, *of_whole),
        agreeing_draft=equated(measured.agreeing_draft, *of_whole),
        agreeing_request=equated(measured.agreeing_request, *of_short),
    )
    rounded = Thresholds(**{name: round(value, 3) for name, value in thresholds})
    return Calibration(
        embedder=embedder.name,
        fingerprint=embedder.fingerprint,
        pairs=len(short) + len(whole),
        thresholds=rounded,
        version=CALIBRATION,
    )


def equated(threshold: float, reference: np.ndarray, other: np.ndarray) -> float:
    """The value of `other` that as large a share stays under as of `reference` under `threshold`; both shape (n,)."""
    return float(np.quantile(other, float((reference < threshold).mean())))


def read_passages(folder: Path) -> list[str]:
    """Paragraphs of a folder's Markdown that are long enough, which front matter seldom is, in the order of its files."""
    passages = []
    for path in sorted(folder.rglob("*.md")):
        text = path.read_text(encoding="utf-8", errors="replace")
        passages += [part.strip() for part in text.split("\n\n") if count_words(part) >= MIN_WORDS]
    return passages


def _pairs(passages: list[str], chance: random.Random) -> tuple[Pairs, Pairs]:
    """Short texts with passages, and passages with passages, from nearly the same to nothing in common."""
    short: Pairs = []
    whole: Pairs = []
    for at, passage in enumerate(passages):
        near, far = passages[(at + 1) % len(passages)], chance.choice(passages)
        spans = sentences(passage)
        start, end = spans[len(spans) // 2]
        words = content_words(passage)
        query = " ".join(sorted(chance.sample(words, min(QUERY_WORDS, len(words))), key=words.index))
        short += [(text, other) for text in (query, passage[start:end]) for other in (passage, near, far)]
        half = passage[: spans[(len(spans) - 1) // 2][1]]
        whole += [(other, passage) for other in (near, far, half)]
        whole += [(_without(passage, share, chance), passage) for share in LEFT_OUT]
    return short, whole


def _without(text: str, share: float, chance: random.Random) -> str:
    """The text without so large a share of its words, at least one."""
    words = text.split()
    gone = set(chance.sample(range(len(words)), max(1, round(share * len(words)))))
    return " ".join(word for n, word in enumerate(words) if n not in gone)


def _cosines(embedder: Embedder, pairs: Pairs) -> np.ndarray:
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    vectors = dict(zip(texts, embedder.embed(texts), strict=True))
    return np.array([vectors[a] @ vectors[b] for a, b in pairs])


def calibrate_folder(settings: Settings, folder: Path) -> Calibration:
    """Calibrate the embedder of the settings on a folder of Markdown, and keep what was found in the lake."""
    passages = read_passages(folder)
    passages = random.Random(settings.seed).sample(passages, min(MOST_PASSAGES, len(passages)))
    calibration = calibrate(load_embedder(settings.embedder), passages, settings.seed)
    open_lake(settings).write(
        calibration_key(calibration.fingerprint), calibration.model_dump_json(indent=1).encode()
    )
    return calibration
