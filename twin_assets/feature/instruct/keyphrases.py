"""What a text is about, in its own words: noun phrases, weighed by TF-IDF over the corpus.

Candidates are those of `core.text.content_words.NounPhrases`. Weights are those of Spärck Jones (1972). Deterministic.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from twin_assets.core.text.content_words import NounPhrases, is_content, tokens, word_key
from twin_assets.core.text.words import has_unspaced, joined

# What two words say is worth more than what one says.
LENGTH_BONUS = 0.4
# A phrase that stands once in a text is less what it is about, the more so if no other text has its words.
RARE = 0.5


class KeyPhrases:
    """Fitted on all texts of a corpus once."""

    def __init__(self, texts: list[str]) -> None:
        self._documents = max(len(texts), 1)
        self._frequency: Counter[str] = Counter()
        self._nouns = NounPhrases(self._counted(texts))

    def _counted(self, texts: list[str]) -> Iterator[list[str]]:
        for text in texts:
            parts = tokens(text)
            self._frequency.update({word_key(t) for t in parts if is_content(t)})
            yield parts

    def top(self, text: str, n: int = 3) -> list[str]:
        """At most `n` phrases of one to three words that tell this text from the others, best first.

        No two share a word; fewer, or none, when the text has no more.
        """
        forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for phrase in self._nouns.of(tokens(text)):
            forms[" ".join(map(word_key, phrase))][joined(phrase)] += 1
        scores = {key: self._score(key, sum(seen.values())) for key, seen in forms.items()}
        chosen: list[str] = []
        taken: set[str] = set()
        for key in sorted(scores, key=lambda k: (-scores[k], k)):
            if len(chosen) < n and taken.isdisjoint(key.split()):
                form = min(forms[key], key=lambda form: (-forms[key][form], form))
                # A dictionary may divide the same letters in two ways.
                if has_unspaced(form) and any(form in other or other in form for other in chosen):
                    continue
                chosen.append(form)
                taken.update(key.split())
        return chosen

    def _score(self, key: str, count: int) -> float:
        words = key.split()
        rarity = sum(math.log((1 + self._documents) / (1 + self._frequency[w])) for w in words) / len(words)
        once = count == 1 and all(self._frequency[w] <= 1 for w in words)
        return (1 + math.log(count)) * rarity * (1 + LENGTH_BONUS * (len(words) - 1)) * (RARE if once else 1)
