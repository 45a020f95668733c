"""Texts as words alone, so that case, punctuation and spacing make no difference between duplicates."""

import unicodedata

import numpy as np

from twin_assets.core.text.words import terms

_SPACE, _END = 32, 10
# For ASCII texts laid end to end: byte 255, which they cannot contain, becomes the end of a text.
_TABLE = bytes(
    _END if c == 255 else ord(chr(c).lower()) if c < 128 and (chr(c).isalnum() or chr(c) == "_") else _SPACE
    for c in range(256)
)
_TEXTS_AT_ONCE = 256


def normalise(text: str) -> str:
    """Lower-case words with one space between them."""
    if text.isascii():
        return b" ".join(text.encode().translate(_TABLE).split()).decode()
    return " ".join(terms(unicodedata.normalize("NFKC", text)))


def normalise_all(texts: list[str]) -> list[str]:
    """`normalise` of each text, three times as quick where they are ASCII."""
    normalised = [""] * len(texts)
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        ascii_at = []
        for i in range(first, min(first + _TEXTS_AT_ONCE, len(texts))):
            if texts[i].isascii():
                ascii_at.append(i)
            else:
                normalised[i] = normalise(texts[i])
        for i, text in zip(ascii_at, _normalise_ascii([texts[i] for i in ascii_at]), strict=True):
            normalised[i] = text
    return normalised


def _normalise_ascii(texts: list[str]) -> list[str]:
    if not texts:
        return []
    joined = b"".join([text.encode() + b"\xff" for text in texts]).translate(_TABLE)
    letters = np.frombuffer(joined, np.uint8)
    keep = letters != _SPACE
    # Of several spaces the first stays, if it follows a word.
    keep[1:] |= letters[:-1] > _SPACE
    lines = letters[keep].tobytes().decode().split(chr(_END))
    return [line.rstrip() for line in lines[:-1]]
