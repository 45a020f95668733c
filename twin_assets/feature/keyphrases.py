"""What a text is about, in its own words: noun phrases, weighed by TF-IDF over the corpus.

Candidates are runs of content words, as in RAKE (Rose et al., "Automatic keyword extraction from individual
documents", 2010), but only where an English article, preposition or possessive, or a capital inside a
sentence, says that a noun phrase begins. Weights are those of Spärck Jones (1972). Deterministic.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

LONGEST = 3
# What two words say is worth more than what one says.
LENGTH_BONUS = 0.4
# A phrase that stands once in a text is less what it is about, the more so if no other text has its words.
RARE = 0.5

# Function words, and the general words that tell nothing of what a text is about.
_STOP_WORDS = """
a about above across actually after again against al all almost along already also although always among an
and another any anything are around as at away back basically be became because become been before behind
being below best better beyond bit both bottom bring bunch but by called came can can't certain clearly com
come comes coming could couple course day days did didn't different do does doing don't done down during
each easily either else end enough especially et even ever every everyone everything example fact far few
find first for forward found from full further gave general get getting give given gives go goes going gone
good got great had happen happened hard has have haven't having he her here here's herself him himself his
hour hours how however http https i i'd i'll i'm i've if important in including instead into is isn't it
it'd it'll it's its itself just keep kind knew know large last later least left less let let's like likely
little long looked looking lot lots made mainly make making many matter maybe me mean means might mine
minute minutes moment month months more most much must my myself near nearly need needed needs never next no
nobody none nor not nothing now number obviously of off often okay old on once one only onto or other others
others' our ourselves out over own part people per perhaps place point possible pretty probably put quite
rather real really reason recently right said same saw say says see seems seen several shall she should
since so some sort start started still stuff such super sure take tell than thank thank's that that's the
their them themselves then there there's therefore they they're they've thing things think this those though
thought three through time times to today together told tomorrow too took top totally toward towards trying
turn two under until up upon us use used using usually very want wanted wants was wasn't way ways we we'd
we'll we're we've week weeks well went were what what's whatever when where whether which while who whole
whose why will with within without won't words work would wouldn't www year years yesterday yet you you'd
you're you've your
"""
_NOUN_WORDS = (
    "the a an of in for with on my our your their his her its these those each every any no from by at about "
    "into over under between through without"
)
_VERB_WORDS = (
    "to i you we they he she it who will would can could should may might must not don't doesn't didn't can't "
    "won't let's and then"
)
_STOP, _BEFORE_NOUNS, _BEFORE_VERBS = (frozenset(w.split()) for w in (_STOP_WORDS, _NOUN_WORDS, _VERB_WORDS))
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|https?://\S+|\]\([^)]*\)|<[^>]+>", re.DOTALL)
_TOKEN = re.compile(r"[^\W\d_][\w'’+-]*|\n\n|[^\s\w]")


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
            tokens = _tokens(text)
            self._frequency.update({_key(t) for t in tokens if _is_content(t)})
            for before, word, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
                self._count[_key(word)] += 1
                self._as_noun[_key(word)] += before.lower() in _BEFORE_NOUNS
                self._as_verb[_key(word)] += before.lower() in _BEFORE_VERBS
                self._last[_key(word)] += not _is_content(after)

    def top(self, text: str, n: int = 3) -> list[str]:
        """At most `n` phrases of one to three words that tell this text from the others, best first.

        No two share a word; fewer, or none, when the text has no more.
        """
        forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for phrase in self._phrases(_tokens(text)):
            forms[" ".join(map(_key, phrase))][" ".join(phrase)] += 1
        scores = {key: self._score(key, sum(seen.values())) for key, seen in forms.items()}
        chosen: list[str] = []
        taken: set[str] = set()
        for key in sorted(scores, key=lambda k: (-scores[k], k)):
            if len(chosen) < n and taken.isdisjoint(key.split()):
                chosen.append(min(forms[key], key=lambda form: (-forms[key][form], form)))
                taken.update(key.split())
        return chosen

    def _score(self, key: str, count: int) -> float:
        words = key.split()
        rarity = sum(math.log((1 + self._documents) / (1 + self._frequency[w])) for w in words) / len(words)
        once = count == 1 and all(self._frequency[w] <= 1 for w in words)
        return (1 + math.log(count)) * rarity * (1 + LENGTH_BONUS * (len(words) - 1)) * (RARE if once else 1)

    def _phrases(self, tokens: list[str]) -> Iterator[list[str]]:
        """Every noun phrase, and the phrases it begins with: "tide table import", "tide table", "tide"."""
        for at, token in enumerate(tokens):
            before = tokens[at - 1] if at else ""
            inside = before[:1].isalpha() or before in ("-", "/")
            if not _is_content(token) or not (
                before.lower() in _BEFORE_NOUNS or (inside and token[0].isupper())
            ):
                continue
            run = []
            for word in tokens[at : at + LONGEST]:
                if not _is_content(word):
                    break
                run.append(word)
            for length in range(1, len(run) + 1):
                name_goes_on = length < len(run) and run[length - 1][0].isupper() and run[length][0].isupper()
                if not name_goes_on and self._can_end(run[length - 1]):
                    yield run[:length]

    def _can_end(self, word: str) -> bool:
        """Whether a noun phrase may end with this word, by how the corpus uses it: no verb, no adjective."""
        key = _key(word)
        if key.endswith(("ly", "ed", "n't", "'re", "'ve", "'ll", "'d")):
            return False
        if self._as_verb[key] + key.endswith("ing") > self._as_noun[key]:
            return False
        return 2 * self._last[key] >= self._count[key]


def content_words(text: str) -> list[str]:
    """The words of a text that say what it is about, in order, in lower case."""
    return [_key(token) for token in _tokens(text) if _is_content(token)]


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_NOT_PROSE.sub(" ", text).replace("’", "'"))


def _key(word: str) -> str:
    return word.lower().removesuffix("'s")


def _is_content(token: str) -> bool:
    if not token[:1].isalpha() or _key(token) in _STOP:
        return False
    return len(token) > 3 or (len(token) > 1 and token.isupper())
