"""Which breaks of lines in the source of a text its reader sees.

A break inside a paragraph of Markdown shows as a space, yet many write verse, addresses and short lists with
nothing else. So a break is taken for the editor's, and mended, only where the whole text shows that it is.
"""

import itertools
import re
from collections.abc import Iterable
from typing import Literal

from markdown_it.token import Token

Breaks = Literal["kept", "mid_sentence", "all"]

# Stand for breaks until the line is whole; no text has these signs.
JOIN, SOFT = "\x00", "\x01"
_SPACELESS = r"[\u0e00-\u0e7f\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]"
_BETWEEN_SPACELESS = re.compile(f"(?<={_SPACELESS}){JOIN}(?={_SPACELESS})")
_LONG = 45  # letters of a line that is no verse
_MID_SENTENCE = re.compile(rf"(?<=[^{JOIN}{SOFT}\n]{{{_LONG}}})(?<![.!?:;…]){SOFT}(?=[^\W\d_])")
_MIN_BREAKS = 12
_WIDTHS = range(50, 131)
_FULL_SHARE = 0.8


def breaks_of(tokens: Iterable[Token]) -> Breaks:
    """What to mend in a text: all breaks where its lines are filled to one width, as an editor does; those
    in the middle of a sentence where there are many; else none."""
    pairs = [
        pair
        for token in tokens
        if token.type == "inline"
        for pair in itertools.pairwise(token.content.split("\n"))
        if not pair[0].endswith(("  ", "\\")) and pair[1].strip()
    ]
    if len(pairs) < _MIN_BREAKS:
        return "kept"
    # A long address sticks out of the width, so the widest tenth doesn't count.
    width = sorted(len(line) for line, _ in pairs)[int(0.9 * (len(pairs) - 1))]
    full = sum(len(line) + 1 + len(following.split(maxsplit=1)[0]) > width for line, following in pairs)
    if width in _WIDTHS and full >= _FULL_SHARE * len(pairs):
        return "all"
    inside = sum(_is_mid_sentence(line, following) for line, following in pairs)
    return "mid_sentence" if inside >= _MIN_BREAKS else "kept"


def _is_mid_sentence(line: str, following: str) -> bool:
    return len(line) >= _LONG and line[-1] not in ".!?:;…" and following[0].islower()


def mended(text: str) -> str:
    """The text with its signs turned into spaces or breaks; between letters of a script without spaces, into nothing."""
    text = _MID_SENTENCE.sub(lambda sign: JOIN if text[sign.end()].islower() else "\n", text)
    return _BETWEEN_SPACELESS.sub("", text.replace(SOFT, "\n")).replace(JOIN, " ")
