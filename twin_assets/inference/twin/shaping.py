"""What leaves the model is shaped on its way, piece by piece: no images, X's length, no link out of nowhere.

Every function takes and gives an iterator of pieces, so that a streamed answer and a whole one are the same.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twin_assets.core.text.words import word_spans

X_LIMIT = 280
X_URL = 23
ELLIPSIS = "…"
# What weighs one; everything else, CJK and emoji among it, weighs two (twitter-text, configuration v3).
_LIGHT = [(0, 4351), (8192, 8205), (8208, 8223), (8242, 8247)]
_URL = re.compile(r"https?://[^\s<>\"'`)\]}]+")
# Everything that a reader of Markdown fetches without a click; scripts and style sheets, which readers drop, are code to show.
_TAG = r"<\s*+(?:img|image|svg|iframe|object|embed|picture|source|video|audio|input)\b"
# An image with its address in round or in square brackets, and a tag. What is never closed is taken to its end, and stays:
# no search begins in it again, and there can be none of that kind after it.
_IMAGES = (
    re.compile(r"!\[([^\]]*+)(?:\](?:\s*+\([^)]*+(?:(\))|\Z))?+|\Z)"),
    re.compile(r"!\[([^\]]*+)(?:\](?:\s*+\[[^\]]*+(?:(\])|\Z))?+|\Z)"),
    re.compile(_TAG + r"[^>]*+()(>|\Z)", re.IGNORECASE),
)
# What may be the beginning of an image is held back until it is one, or has grown too long for one.
_OPEN = re.compile(r"[!<](?=[^\s>]|\Z)")
_HALF = re.compile(r"!\[[^\]]*+(?:\]\s*+([(\[])?+)?+")
HELD_BACK = 4_000
_OPENING = re.compile(rf"!(?=\[)|{_TAG}", re.IGNORECASE)

Shape = Callable[[Iterable[str]], Iterator[str]]


def without_images(pieces: Iterable[str]) -> Iterator[str]:
    """The text with images reduced to their descriptions: a reader that renders Markdown fetches nothing.

    An image's address can carry what the model was shown to whoever serves it.
    """
    held = ""
    for piece in pieces:
        held += piece
        for image in _IMAGES:
            held = image.sub(lambda m: m[1] if m[2] else m[0], held)
        begun = _begun(held)
        if len(held) - begun > HELD_BACK:
            held = held[:begun] + _never_begun(held[begun:])
            begun = len(held)
        keep = begun
        if keep:
            yield held[:keep]
        held = held[keep:]
    if held:
        yield _never_begun(held)


def json_without_images(pieces: Iterable[str]) -> Iterator[str]:
    """The same of the texts in a JSON answer, which is one piece: its escapes and marks are not Markdown's.

    An answer that was cut off is no JSON, and is taken for text.
    """
    whole = "".join(pieces)
    try:
        said = json.loads(whole)
    except (ValueError, RecursionError):
        yield from without_images([whole])
        return
    shown = _each_text(said)
    yield whole if shown == said else json.dumps(shown, ensure_ascii=False)


def _each_text(value: Any) -> Any:
    if isinstance(value, str):
        return "".join(without_images([value]))
    if isinstance(value, list):
        return [_each_text(one) for one in value]
    if isinstance(value, dict):
        return {_each_text(name): _each_text(one) for name, one in value.items()}
    return value


def _never_begun(text: str) -> str:
    """The text without what begins an image: cut off in the middle, it must not be completed by what comes after it."""
    return _OPENING.sub("", text)


def _begun(text: str) -> int:
    """Where what may be an image begins that is not closed yet; the end of the text when there is none."""
    opened = _OPEN.search(text, text.rfind(">") + 1)
    closed = {"(": text.rfind(")"), "[": text.rfind("]"), None: len(text) - 1}
    half = next(
        (m.start() for m in _HALF.finditer(text) if m.end() == len(text) or m.end() > closed[m[1]]), len(text)
    )
    return min(half, opened.start() if opened else len(text))


def x_weight(text: str) -> int:
    """Length of a text as X counts it: 280 is the most a post may have."""
    addresses = _URL.findall(text)
    rest = _URL.sub("", text)
    light = sum(any(low <= ord(c) <= high for low, high in _LIGHT) for c in rest)
    return X_URL * len(addresses) + 2 * len(rest) - light


def within_x_limit(pieces: Iterable[str]) -> Iterator[str]:
    """At most 280, whole words; what had to be left off shows as an ellipsis, and the model is not heard on."""
    said = held = ""
    for piece in pieces:
        held += piece
        whole = held[: max(_last_space(held), 0)]
        for word in _words(whole):
            if x_weight(said + word) + x_weight(ELLIPSIS) > X_LIMIT:
                yield _ending(said, word)
                return
            said, held = said + word, held[len(word) :]
            yield word
        if len(held) > X_LIMIT and not _URL.match(held.lstrip()):
            break  # one endless word: nothing more of it can fit
    for word in _words(held.rstrip()):
        if x_weight(said + held.rstrip()) > X_LIMIT and x_weight(said + word) + x_weight(ELLIPSIS) > X_LIMIT:
            yield _ending(said, word)
            return
        said, held = said + word, held[len(word) :]
        yield word


def _words(text: str) -> list[str]:
    """The text in pieces of a word, each with the white space before it."""
    ends = [end for _, end in word_spans(text)][:-1]
    return [text[start:end] for start, end in itertools.pairwise([0, *ends, len(text)])] if text else []


def _last_space(text: str) -> int:
    return max(text.rfind(space) for space in " \n\t\r")


def _ending(said: str, word: str) -> str:
    """An ellipsis, after the beginning of a word that alone is too long."""
    return ELLIPSIS if said else word[: X_LIMIT // 2 - 1] + ELLIPSIS


def unsupported_links(text: str, shown_texts: Iterable[str]) -> list[str]:
    """Addresses in a text that stand in nothing that the model was shown: invented, or planted."""
    shown = {url for text in shown_texts for url in _urls(text)}
    return [url for url in dict.fromkeys(_urls(text)) if url not in shown]


def _urls(text: str) -> list[str]:
    return [url.rstrip(".,;:!?…") for url in _URL.findall(text)]
