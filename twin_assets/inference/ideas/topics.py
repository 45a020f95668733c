"""Topics that a corpus touches and that none of its texts is about.

A candidate is a noun phrase that stands in several documents. What tells a topic from an idiom is what stands around it: passages
that mention a topic are nearer to its name than the rest of the corpus is, whatever idiom they have in common ("of the day") is not
what they are about. So a phrase counts by how many standard deviations nearer those passages are, which needs no threshold of the
embedder's; by the documents that mention it, and by how many of them do so again, as topical words are (Church & Gale, "Poisson
mixtures", 1995). A phrase is written about where a title has its words, or where one text speaks of it throughout.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from twin_assets.core.text.content_words import NounPhrases, is_function_word, tokens, word_key
from twin_assets.core.text.words import joined
from twin_assets.inference.ideas.corpus import Corpus, Embed, WrittenAbout, stem

FEWEST_DOCUMENTS = 2
# A phrase of more of them is a matter of course to this author, and no topic.
MOST_SHARE, MOST_AT_LEAST = 0.15, 3
# A text that says a phrase as often is about it, and so is one with it in more than half of its passages (of at least three).
ABOUT_MENTIONS, ABOUT_SHARE, ABOUT_PASSAGES = 7, 0.5, 3
# How much nearer the passages that mention it are, in standard deviations of the others; and how many documents are looked at.
NEARER, LOOKED_AT = 4.0, 5
# Phrases that are embedded: of a large corpus those in the most documents.
MOST_CANDIDATES = 4_000
# A name that another word goes with in so many of its mentions is a part of one.
PART_OF_NAME = 0.8
WORD_BEFORE = 40  # letters in which the word before a name begins
_GENITIVE = re.compile(r"['’]s (\w+)")
# Two topics as near are one, and so are two of which most passages are the same.
ONE_TOPIC, ONE_PLACE = 0.6, 0.5


class Topic(NamedTuple):
    """A topic by its name as it is written most, with its unit vector; `mentions` are the places of the passages that have it, the
    nearest first, `places` the first of each document; and how much it counts."""

    name: str
    vector: np.ndarray
    mentions: list[int]
    places: list[int]
    score: float


class _Candidate(NamedTuple):
    key: str
    name: str
    mentions: Counter[int]  # by the passage's place
    documents: Counter[str]


def find_topics(corpus: Corpus, embed: Embed, written: WrittenAbout, most: int = 100) -> list[Topic]:
    """At most `most` topics, the best first; no two of them are one. Deterministic."""
    candidates = _candidates(corpus)[:MOST_CANDIDATES]
    if not candidates:
        return []
    names = [one.name for one in candidates]
    vectors = embed(names)
    old = written.which(names, vectors)
    scored = [
        topic
        for one, vector, done in zip(candidates, vectors, old, strict=True)
        if not done and (topic := _scored(one, vector, corpus))
    ]
    scored.sort(key=lambda one: (-one.score, one.name))
    return _distinct(scored, most)


def touched_phrases(corpus: Corpus) -> list[str]:
    """Every phrase that topics are chosen from, those of the most documents first."""
    return [one.name for one in _candidates(corpus)]


def _candidates(corpus: Corpus) -> list[_Candidate]:
    """Phrases of several documents that no document is about, those of the most documents first."""
    parts = [tokens(passage.text) for passage in corpus.passages]
    nouns = NounPhrases(parts)
    mentions: defaultdict[str, Counter[int]] = defaultdict(Counter)
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for place, words in enumerate(parts):
        for phrase in nouns.of(words):
            key = " ".join(stem(word_key(word)) for word in phrase)
            mentions[key][place] += 1
            forms[key][joined(phrase).removesuffix("'s")] += 1
    most = max(MOST_AT_LEAST, MOST_SHARE * len(corpus.documents))
    found = []
    for key, places in mentions.items():
        documents: Counter[str] = Counter()
        for place, count in places.items():
            documents[corpus.passages[place].doc_id] += count
        if FEWEST_DOCUMENTS <= len(documents) <= most and not _about(corpus, places, documents):
            name = min(forms[key], key=lambda form: (-forms[key][form], form))
            whole = _whole_name(name, [corpus.passages[place].text for place in places])
            found.append(_Candidate(key, whole, places, documents))
    return sorted(found, key=lambda one: (-len(one.documents), one.key))


def _whole_name(name: str, texts: list[str]) -> str:
    """The name with the word that nearly always stands before it, or after its genitive: York is New York, Moore Moore's law."""
    found = list(_beside(name, texts)) if name[0].isupper() else []
    if not found:
        return name
    (before, count), (after, times) = (Counter(words).most_common(1)[0] for words in zip(*found, strict=True))
    if before[:1].isupper() and not is_function_word(before.lower()) and count >= PART_OF_NAME * len(found):
        return f"{before} {name}"
    return f"{name}'s {after}" if after and times >= PART_OF_NAME * len(found) else name


def _beside(name: str, texts: list[str]) -> Iterator[tuple[str, str]]:
    """The word before each mention of a name, and the one after its genitive; "" for none."""
    for text in texts:
        at = text.find(name)
        while at >= 0:
            end = at + len(name)
            words = text[max(at - WORD_BEFORE, 0) : at].split(" ")
            before = words[-2].lstrip("([\"'“‘") if len(words) > 1 and not words[-1] else ""
            after = _GENITIVE.match(text, end)
            yield before if before.isalnum() else "", after[1] if after else ""
            at = text.find(name, end)


def _about(corpus: Corpus, places: Counter[int], documents: Counter[str]) -> bool:
    """Whether one of the documents speaks of it throughout."""
    if max(documents.values()) >= ABOUT_MENTIONS:
        return True
    passages = Counter(corpus.passages[place].doc_id for place in places)
    return any(
        count >= ABOUT_PASSAGES and count > ABOUT_SHARE * len(corpus.documents[document])
        for document, count in passages.items()
    )


def _scored(one: _Candidate, vector: np.ndarray, corpus: Corpus) -> Topic | None:
    """None for a phrase whose passages are hardly nearer to it than others are."""
    near = corpus.vectors @ vector
    others = np.delete(near, list(one.mentions))
    if len(others) < 2:
        return None
    mean, spread = float(others.mean()), float(others.std()) or 1.0
    best: dict[str, int] = {}
    mentions = sorted(one.mentions, key=lambda place: -near[place])
    for place in mentions:
        best.setdefault(corpus.passages[place].doc_id, place)
    places = list(best.values())
    nearer = float(np.mean((near[places[:LOOKED_AT]] - mean) / spread))
    if nearer < NEARER:
        return None
    again = sum(count > 1 for count in one.documents.values()) / len(one.documents)
    score = nearer * math.log(1 + len(one.documents)) * (1 + again)
    return Topic(one.name, vector, mentions, places, score)


def _distinct(topics: list[Topic], most: int) -> list[Topic]:
    kept: list[Topic] = []
    for topic in topics:
        words, places = set(topic.name.lower().split()), set(topic.places)
        if not any(
            words & set(other.name.lower().split())
            or float(topic.vector @ other.vector) >= ONE_TOPIC
            or len(places & set(other.places)) > ONE_PLACE * min(len(places), len(other.places))
            for other in kept
        ):
            kept.append(topic)
            if len(kept) == most:
                break
    return kept
