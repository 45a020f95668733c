"""What a text is about, in its own words: noun phrases, weighed by TF-IDF over the corpus.

Candidates are runs of content words, as in RAKE (Rose et al., "Automatic keyword extraction from individual
documents", 2010), but only where an English article, preposition or possessive, or a capital inside a
sentence, says that a noun phrase begins. In scripts without spaces a noun phrase is a run of nouns, as their
dictionaries and spelling tell them. Weights are those of Spärck Jones (1972). Deterministic.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from twin_assets.core.text.content_words import is_content, names, tokens, word_key
from twin_assets.core.text.words import has_unspaced, joined

LONGEST = 3
# What two words say is worth more than what one says.
LENGTH_BONUS = 0.4
# A phrase that stands once in a text is less what it is about, the more so if no other text has its words.
RARE = 0.5

_NOUN_WORDS = (
    "the a an of in for with on my our your their his her its these those each every any no from by at about "
    "into over under between through without"
)
_VERB_WORDS = (
    "to i you we they he she it who will would can could should may might must not don't doesn't didn't can't "
    "won't let's and then"
)
_BEFORE_NOUNS, _BEFORE_VERBS = (frozenset(w.split()) for w in (_NOUN_WORDS, _VERB_WORDS))


class KeyPhrases:
    """Fitted on all texts of a corpus once."""

    def __init__(self, texts: list[str]) -> None:
        self._documents = max(len(texts), 1)
        self._frequency: Counter[str] = Counter()
        self._as_noun: Counter[str] = Counter()
        self._as_verb: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self._last: Counter[str] = Counter()
        for text in texts:
            parts = tokens(text)
            self._frequency.update({word_key(t) for t in parts if is_content(t)})
            for before, word, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
                self._count[word_key(word)] += 1
                self._as_noun[word_key(word)] += before.lower() in _BEFORE_NOUNS
                self._as_verb[word_key(word)] += before.lower() in _BEFORE_VERBS
                self._last[word_key(word)] += not is_content(after)

    def top(self, text: str, n: int = 3) -> list[str]:
        """At most `n` phrases of one to three words that tell this text from the others, best first.

        No two share a word; fewer, or none, when the text has no more.
        """
        forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for phrase in self._phrases(tokens(text)):
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

    def _phrases(self, parts: list[str]) -> Iterator[list[str]]:
        """Every noun phrase, and the phrases it begins with: "tide table import", "tide table", "tide"."""
        for at, token in enumerate(parts):
            before = parts[at - 1] if at else ""
            inside = before[:1].isalpha() or before in ("-", "/")
            begins = before.lower() in _BEFORE_NOUNS or (inside and token[0].isupper()) or names(token)
            if not is_content(token) or not begins:
                continue
            run = []
            for word in parts[at : at + LONGEST]:
                if not is_content(word) or (has_unspaced(word) and not names(word)):
                    break
                run.append(word)
            for length in range(1, len(run) + 1):
                name_goes_on = length < len(run) and run[length - 1][0].isupper() and run[length][0].isupper()
                if not name_goes_on and self._can_end(run[length - 1]):
                    yield run[:length]

    def _can_end(self, word: str) -> bool:
        """Whether a noun phrase may end with this word, by how the corpus uses it: no verb, no adjective."""
        if has_unspaced(word):
            return True
        key = word_key(word)
        if key.endswith(("ly", "ed", "n't", "'re", "'ve", "'ll", "'d")):
            return False
        if self._as_verb[key] + key.endswith("ing") > self._as_noun[key]:
            return False
        return 2 * self._last[key] >= self._count[key]
