"""Which one-byte encoding a text is in, by its letters: the language that its ASCII words speak must have them.

Czech in Windows-1250 is also a text of Windows-1252, of letters all, but ř comes out as ø, which Czech has not. The
frequencies are those of langdetect's profiles: of three letters for the language, of single ones for the encoding.
"""

import math
import re
import unicodedata
from functools import cache
from typing import Any

import numpy as np

# The commoner first: where two give the same letters, it is taken.
_ENCODINGS = (
    "cp1252", "cp1250", "cp1251", "koi8_r", "koi8_u", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "iso8859_2",
    "iso8859_5", "iso8859_6", "cp866", "cp874", "mac_roman", "cp850",
)  # fmt: skip
_MAX_SPOTS, _MAX_BYTES, _MAX_WORDS, _MANY_TRIGRAMS = 2_000, 60_000, 800, 20
_UNHEARD, _ODD_SIGN, _MARK, _RAISED = math.log(1e-7), -16.0, -5.0, 4.0
_UNHEARD_THREE = math.log(1e-6)
# How much the language that the ASCII words speak counts beside the letters beyond ASCII.
_WEIGHT, _LEAST = 3.0, -6.0
_PUNCTUATION = frozenset("’‘“”–—…«»„‚¿¡·•°€£№§")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_ASCII_WORD = re.compile(rb"(?<![\x80-\xff])\b[A-Za-z]{2,}\b(?![\x80-\xff])")

Scores = Any  # one a language, as numpy has them


def one_byte_encoding(data: bytes) -> str | None:
    """The name of the encoding, or None for bytes that none of them can have."""
    data = data[:_MAX_BYTES]
    spots = [place for place, byte in enumerate(data) if byte > 0x7F][:_MAX_SPOTS]
    if not spots:
        return "cp1252"
    spoken = _spoken(data)
    best: tuple[float, str] | None = None
    for name in _ENCODINGS:
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        score = float((_letters(text, spots) + spoken).max())
        if best is None or score > best[0] + 1e-9:
            best = score, name
    return best[1] if best else None


def _letters(text: str, spots: list[int]) -> Scores:
    """How well each language knows the letters at these places, as a mean."""
    single, _ = _profiles()
    unheard = np.full_like(single["a"], _UNHEARD)
    total = np.zeros_like(unheard)
    for place in spots:
        sign = text[place]
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        letter = sign.isalpha() or unicodedata.category(sign) in ("Mn", "Mc")
        if letter and sign > "\u024f" and _LATIN.search(before + after):
            total = total + _ODD_SIGN  # no word mixes scripts
        elif letter:
            total = total + single.get(_normal(sign), unheard)
            if sign.isupper() and before.islower():  # no word has a capital inside
                total = total - _RAISED
        elif sign in "’·\xa0" or (sign in _PUNCTUATION and not (before.isalpha() and after.isalpha())):
            total = total + _MARK
        else:
            total = total + _ODD_SIGN
    return total / len(spots)


def _spoken(data: bytes) -> Scores:
    """How likely each language is by the words in ASCII alone."""
    single, threes = _profiles()
    total = np.zeros_like(single["a"])
    count = 0
    for word in _ASCII_WORD.findall(data)[:_MAX_WORDS]:
        padded = f" {word.decode().lower()} "
        for start in range(len(padded) - 2):
            total = total + threes.get(padded[start : start + 3], _UNHEARD_THREE)
            count += 1
    # A few words prove little.
    return np.clip(_WEIGHT * (total - total.max()) / max(count, _MANY_TRIGRAMS), _LEAST, 0)


@cache
def _normal(sign: str) -> str:
    from langdetect.utils.ngram import NGram

    return str(NGram.normalize(sign))


@cache
def _profiles() -> tuple[dict[str, Scores], dict[str, Scores]]:
    """Logarithms of how often each language has a letter, and three in a row."""
    from langdetect import DetectorFactory
    from langdetect.detector_factory import PROFILES_DIRECTORY

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    single, threes = {}, {}
    for gram, often in factory.word_lang_prob_map.items():
        if len(gram) == 1 and gram != " ":
            single[gram] = np.log(np.maximum(often, math.exp(_UNHEARD)))
        elif len(gram) == 3:
            threes[gram] = np.log(np.maximum(often, math.exp(_UNHEARD_THREE)))
    return single, threes
