"""Passages of the training side that say what a held-out passage says: they must not be answers.

Documents are decontaminated as wholes by `split.py`; this looks at passages, by their vectors.
"""

import numpy as np

from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.records import EmbeddedChunk

# Shorter passages are alike without being copies: a greeting, a heading with a line under it.
MIN_TOKENS = 40
_BLOCK = 4_096


def texts_near_heldout(chunks: list[EmbeddedChunk], thresholds: Thresholds = OFFLINE_MINILM) -> list[str]:
    """Texts of prose chunks of the training side that are nearly the same as a held-out one."""
    long = [c for c in chunks if c.tokens >= MIN_TOKENS and c.category != "code"]
    train, heldout = ([c for c in long if c.split == side] for side in ("train", "heldout"))
    if not train or not heldout:
        return []
    held = np.array([c.vector for c in heldout], dtype=np.float32)
    near: list[str] = []
    for at in range(0, len(train), _BLOCK):
        block = train[at : at + _BLOCK]
        cosines = (np.array([c.vector for c in block], dtype=np.float32) @ held.T).max(axis=1)
        # Rounded, since the last bits differ from one CPU to another.
        alike = np.round(cosines, 3) > thresholds.contaminated
        near += [c.text for c, is_near in zip(block, alike, strict=True) if is_near]
    return near


def holds_any(answer: str, texts: list[str]) -> bool:
    """Whether an answer, or a text that is learnt as it is, holds one of the texts, or is part of one."""
    return any(text in answer or answer in text for text in texts)
