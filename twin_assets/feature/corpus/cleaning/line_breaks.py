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
_MIN_BREAKS = 12
# In a text with fewer breaks, so many in the middle of a sentence, and this share of all, are the editor's.
_FEW_BREAKS, _OFTEN = 3, 1 / 3
_ENDS, _OPENS = ".!?:;…", "\"'“‘`([_@"
_WIDTHS = range(50, 131)
_FULL_SHARE = 0.8


def breaks_of(tokens: Iterable[Token]) -> Breaks:
    """What to mend in a text: all breaks where its lines are filled to one width, as an editor does; those
    in the middle of a sentence where there are many, or in a short text a third; else none."""
    pairs = [
        pair
        for token in tokens
        if token.type == "inline"
        for pair in itertools.pairwise(token.content.split("\n"))
        if not pair[0].endswith(("  ", "\\")) and pair[1].strip()
    ]
    inside = sum(_is_mid_sentence(line, following) for line, following in pairs)
    if len(pairs) < _MIN_BREAKS:
        return "mid_sentence" if inside >= max(_FEW_BREAKS, _OFTEN * len(pairs)) else "kept"
    # A long address sticks out of the width, so the widest tenth doesn't count.
    width = sorted(len(line) for line, _ in pairs)[int(0.9 * (len(pairs) - 1))]
    full = sum(len(line) + 1 + len(following.split(maxsplit=1)[0]) > width for line, following in pairs)
    if width in _WIDTHS and full >= _FULL_SHARE * len(pairs):
        return "all"
    return "mid_sentence" if inside >= min(_MIN_BREAKS, max(_FEW_BREAKS, _OFTEN * len(pairs))) else "kept"


def _is_mid_sentence(line: str, following: str) -> bool:
    return len(line) >= _LONG and line[-1] not in _ENDS and following[0].islower()


def mended(text: str) -> str:
    """The text with its signs turned into spaces or breaks; between letters of a script without spaces, into nothing."""
    first, *others = text.split(SOFT)
    # Where every line is short it may be verse. One that a long address left short has a long one beside it.
    wide = any(len(line) >= _LONG for part in (first, *others) for line in part.split("\n"))
    mended_text = before = first
    for part in others:
        goes_on = wide and _goes_on(before.rpartition("\n")[2].rstrip(), part.lstrip(" \t"))
        mended_text, before = mended_text + (JOIN if goes_on else "\n") + part, part
    return _BETWEEN_SPACELESS.sub("", mended_text).replace(JOIN, " ")


def _goes_on(line: str, following: str) -> bool:
    """Whether a sentence does over a break: its next word is small, or the last one before a name, a number, code or a quotation."""
    if not line or not following or line[-1] in _ENDS:
        return False
    if following[0].islower():
        return True
    *before, last = line.split()
    begun = bool(before) and before[-1][-1] in _ENDS  # one word of a sentence is none
    unfinished = begun or last.endswith(",") or last.lstrip(_OPENS)[:1].islower()
    return unfinished and (following[0].isalnum() or following[0] in _OPENS)
