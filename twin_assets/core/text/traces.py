"""Finds the words of given texts in other texts, whatever markup, line breaks or escapes stand between them.

Two texts are compared by their letters and digits alone: tags, entities and the escapes of JSON count as nothing, so
that a page, its Markdown, and either inside a JSON line or a CSV cell are the same.
"""

import html
import re
from collections.abc import Iterable

# So many letters and digits in a row are somebody's words, and no turn of phrase.
RUN = 32
# Only every so many places are looked at to say whether there is something: a run a little longer is found anyway.
_STRIDE = 8
_TOKEN = re.compile(
    r"data:image/[^)\"\s]+|<[^<>]{1,2000}>|&#?\w{1,10};|\\u[0-9a-fA-F]{4}|\\[nrtbf]|\w", re.DOTALL
)


class Traces:
    """What is looked for: runs of the `texts` that none of the `others` has, and `names` (addresses, titles) as they are."""

    def __init__(self, texts: Iterable[str], names: Iterable[str] = (), others: Iterable[str] = ()) -> None:
        self.names = sorted({name for name in names if len(name) >= 8}, key=len, reverse=True)
        self._runs: set[str] = set()
        self._short: set[str] = set()  # texts that are shorter than a run
        for text in texts:
            letters = _letters(text)[0]
            self._runs.update(letters[i : i + RUN] for i in range(len(letters) - RUN + 1))
            if RUN > len(letters) >= RUN // 3:
                self._short.add(letters)
        for text in others:
            letters = _letters(text)[0]
            self._runs.difference_update(letters[i : i + RUN] for i in range(len(letters) - RUN + 1))
            self._short.discard(letters)

    def __bool__(self) -> bool:
        return bool(self._runs or self._short or self.names)

    def are_in(self, text: str) -> bool:
        """Whether the text has a run of the words, or a name."""
        if any(name in text for name in self.names):
            return True
        letters = _letters(text)[0]
        if any(letters[i : i + RUN] in self._runs for i in range(0, len(letters) - RUN + 1, _STRIDE)):
            return True
        return any(short in letters for short in self._short)

    def taken_out_of(self, text: str, mark: str = "[erased]") -> str:
        """The text with `mark` in the place of every run of the words, and of every name."""
        for name in self.names:
            text = text.replace(name, mark)
        letters, places = _letters(text)
        spans: list[tuple[int, int]] = []
        for i in range(len(letters) - RUN + 1):
            if letters[i : i + RUN] in self._runs:
                _join(spans, places[i][0], places[i + RUN - 1][1])
        for short in self._short:
            at = letters.find(short)
            while at >= 0:
                _join(spans, places[at][0], places[at + len(short) - 1][1])
                at = letters.find(short, at + len(short))
        for start, end in sorted(spans, reverse=True):
            text = f"{text[:start]}{mark}{text[end:]}"
        return text


def _join(spans: list[tuple[int, int]], start: int, end: int) -> None:
    if spans and spans[-1][0] <= start <= spans[-1][1] + 2:
        spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
    else:
        spans.append((start, end))


def _letters(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Letters and digits in lower case, and where in the text each of them stands."""
    letters: list[str] = []
    places: list[tuple[int, int]] = []
    for match in _TOKEN.finditer(text):
        token = match.group()
        if len(token) > 1:
            token = _unescaped(token)
        if len(token) == 1 and token.isalnum():
            letters.append(token.lower()[:1])
            places.append(match.span())
    return "".join(letters), places


def _unescaped(token: str) -> str:
    if token[0] == "&":
        return html.unescape(token)
    return chr(int(token[2:], 16)) if token.startswith("\\u") else ""
