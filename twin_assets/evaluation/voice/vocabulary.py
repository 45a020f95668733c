"""Does a model make words up? A voice is measured on the commonest words, so nonsense can have one."""

import re

from twin_assets.core.text.words import UNSPACED, spaced
from twin_assets.evaluation.voice.stylometry import prose

_WORD = re.compile(rf"[{UNSPACED}]{{2,}}|[^\W\d_]{{2,}}")


class Vocabulary:
    """All words of known texts."""

    def __init__(self, texts: list[str]) -> None:
        self._known = {word for text in texts for word in _words(text)}

    def unseen_share(self, texts: list[str]) -> float | None:
        """Share of the words of all texts together that no known text holds, in [0, 1]; None for no words.

        Real rare words count too, so the figure means something only beside that of a person's new text.
        """
        words = [word for text in texts for word in _words(text)]
        return sum(word not in self._known for word in words) / len(words) if words else None


def _words(text: str) -> list[str]:
    return _WORD.findall(spaced(prose(text).lower()))
