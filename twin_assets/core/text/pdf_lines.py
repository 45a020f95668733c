"""From the lines of a PDF's pages to paragraphs: running heads and page numbers gone, words and lines joined."""

import re
from collections import Counter

_EDGE = 3  # lines at the top and the bottom of a page where its furniture stands
_MIN_REPEATS = 3
_REPEATED_SHARE = 0.3
_PAGE_NUMBER = re.compile(
    r"(?:page|seite|p\.|s\.)?\s*+(?:[-–—|]\s*+)?(?:\d{1,4}|[ivxlc]{1,7})\s*+(?:[-–—|]|(?:of|von|/)\s*+\d{1,4})?",
    re.IGNORECASE,
)
_ENDS = re.compile(r"[.!?:…][\"'”’)\]]*$")
_BULLET = re.compile(r"^\s*(?:[•‣▪◦●○–*-]|\d{1,3}[.)]|\(\w\))\s+\S")
_DOT = re.compile(r"^[•‣▪◦●○]\s+")
_LIGATURES = str.maketrans(
    {"ﬁ": "fi", "ﬂ": "fl", "ﬀ": "ff", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ft", "ﬆ": "st", "\u00ad": "-"}
)
_BROKEN = re.compile(r"-([\w-]*\w)")  # of a line read backwards, so that only its end is looked at
_WORD_LETTERS = 100  # of a line's end that may be the beginning of a word
_SHORT = 0.8  # of the usual width: a line that ends so early ends its paragraph, if it also ends a sentence
_SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


def paragraphs_of(pages: list[str]) -> list[str]:
    """Paragraphs of pages as a PDF reader gives them, a line of print a line. One may go on over the page's end."""
    rows = [[line.strip() for line in page.translate(_LIGATURES).split("\n")] for page in pages]
    lines = [line for page in _without_furniture(rows) for line in page]
    said = Counter(re.findall(r"\w+(?:-\w+)*", " ".join(lines)))
    lengths = sorted(len(line) for line in lines if line)
    width = lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0
    paragraphs: list[str] = []
    before = ""
    for line in lines:
        if line and before and not _begins(line, before, width):
            paragraphs[-1] = _joined(paragraphs[-1], line, said)
        elif line:
            paragraphs.append(_DOT.sub("- ", line))
        before = line
    return paragraphs


def _without_furniture(pages: list[list[str]]) -> list[list[str]]:
    """Pages without numbers at their edges and without lines there that come back on page after page."""
    filled = [[line for line in page if line] for page in pages]
    edges = Counter(
        mark for page in filled for mark in {_mark(line) for line in [*page[:_EDGE], *page[-_EDGE:]]}
    )
    often = max(_MIN_REPEATS, _REPEATED_SHARE * len(pages))
    cleaned = []
    for page in pages:
        order = [number for number, line in enumerate(page) if line]
        at_edge = {*order[:_EDGE], *order[-_EDGE:]}
        outermost = {*order[:1], *order[-1:]}
        cleaned.append(
            [
                line
                for number, line in enumerate(page)
                if not (number in at_edge and edges[_mark(line)] >= often)
                and not (number in outermost and len(pages) > 1 and _PAGE_NUMBER.fullmatch(line))
            ]
        )
    return cleaned


def _mark(line: str) -> str:
    """A line with its numbers alike, for the number of a page is part of its head."""
    return re.sub(r"\d+|\b[ivxlc]+\b", "0", line)


def _begins(line: str, before: str, width: int) -> bool:
    """Whether a line begins a paragraph, by the line before it."""
    if _BULLET.match(line):
        return True
    if len(before) < _SHORT * width and _ENDS.search(before):
        return True
    # A heading is short, ends no sentence, and what follows starts anew.
    return (
        len(before) < 0.6 * width
        and not before.endswith((",", "-", ";"))
        and not _ENDS.search(before)
        and line[0].isupper()
    )


def _joined(text: str, line: str, said: Counter[str]) -> str:
    broken = _BROKEN.match(text[: -_WORD_LETTERS - 1 : -1])
    if broken and line[0].islower():
        start = broken[1][::-1]
        rest = re.match(r"\w+", line)
        word = rest[0] if rest else ""
        # well-\nknown keeps its hyphen where the text also says well-known in one line.
        keeps = said[f"{start}-{word}"] > said[f"{start}{word}"]
        return text + line if keeps else text[:-1] + line
    return text + ("" if _SPACELESS.match(text[-1]) and _SPACELESS.match(line[0]) else " ") + line
