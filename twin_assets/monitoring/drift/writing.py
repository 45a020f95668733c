"""Does the persona write otherwise than when the twin was trained? New writing against what it was trained on, by
topics (embeddings), vocabulary (content words) and style (frequent words and marks).

Documents are the samples, since the parts of one document are not independent. New ones are looked at when there
are 5, 10, 20, 40 ... of them, each look with its share of the whole rate, so that the rate of false alarms holds for
all looks of one training together.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from twin_assets.core.records import SplitDocument
from twin_assets.core.text.content_words import topic_words
from twin_assets.evaluation.voice.stylometry import frequencies, frequent_features, prose
from twin_assets.monitoring.drift.change_tests import Shift, benjamini_hochberg, energy_test
from twin_assets.monitoring.drift.report import NewWriting, Signal

FIRST_LOOK = 5
MIN_KNOWN = 10
# Known documents are sampled down to this: the test takes the square of it.
MAX_KNOWN = 400
# Chance that anything is raised in the time of one training, if nothing has changed.
RATE = 0.05
# Energy beyond chance, as a share of the mean distance: less is not worth a training. Other authors beside the demo
# persona give 0.06 to 0.23, parts of her own writing up to 0.006.
MIN_EFFECT = 0.02
STYLE_FEATURES = 150
VOCABULARY = 3000
SHOWN_WORDS = 6

_WHAT = {"topics": "topics", "vocabulary": "words", "style": "style"}


def watch_writing(
    known: Sequence[SplitDocument],
    corpus: Sequence[SplitDocument],
    vectors: Mapping[str, np.ndarray],
    seed: int,
) -> tuple[NewWriting, list[Signal]]:
    """`known` is the corpus that the twin was trained from, `corpus` that of today; `vectors` are unit vectors of
    today's documents by doc_id. Code is left out: it has neither voice nor prose."""
    trained = {d.doc_id for d in known}
    ours = [d for d in corpus if d.category != "code" and d.doc_id in vectors]
    old = [d for d in ours if d.doc_id in trained]
    new = sorted((d for d in ours if d.doc_id not in trained), key=_when)
    writing = NewWriting(
        documents=len(new),
        words=sum(d.words for d in new),
        known_documents=len(old),
        known_words=sum(d.words for d in old),
    )
    look = _look(len(new))
    if look is None or len(old) < MIN_KNOWN:
        return writing, [_too_little(writing)]
    new, rate = new[: FIRST_LOOK * 2**look], RATE * 6 / np.pi**2 / (look + 1) ** 2
    if len(old) > MAX_KNOWN:
        sample = np.random.default_rng(seed).choice(len(old), MAX_KNOWN, replace=False)
        old = [old[i] for i in sorted(sample)]
    shifts = _shifts(old, new, vectors, seed)
    significant = benjamini_hochberg([s.p for s in shifts.values()], rate)
    return writing, [
        _signal(name, shift, act and shift.effect >= MIN_EFFECT, old, new)
        for (name, shift), act in zip(shifts.items(), significant, strict=True)
    ]


def document_vectors(vectors: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, np.ndarray]:
    """One unit vector for each document, of its chunks' vectors by doc_id."""
    means = {}
    for doc_id, chunks in vectors.items():
        mean = np.mean(np.asarray(chunks, dtype=np.float64), axis=0)
        means[doc_id] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return means


def _when(document: SplitDocument) -> tuple[float, str]:
    at = document.published_at
    return (at.timestamp() if at else 0.0, document.doc_id)


def _look(new: int) -> int | None:
    """Number of the last look that there are enough new documents for; None before the first."""
    return int(np.log2(new / FIRST_LOOK)) if new >= FIRST_LOOK else None


def _shifts(
    old: list[SplitDocument], new: list[SplitDocument], vectors: Mapping[str, np.ndarray], seed: int
) -> dict[str, Shift]:
    strata = [d.category for d in (*old, *new)]
    texts = [d.voice_text for d in (*old, *new)]
    tables = {
        "topics": np.array([vectors[d.doc_id] for d in (*old, *new)]),
        "vocabulary": _vocabulary(texts),
        "style": np.sqrt(frequencies(texts, frequent_features(texts, STYLE_FEATURES))),
    }
    return {name: energy_test(t[: len(old)], t[len(old) :], strata, seed) for name, t in tables.items()}


def _content(text: str) -> list[str]:
    return topic_words(prose(text))


def _vocabulary(texts: list[str]) -> np.ndarray:
    """Unit vectors of log counts weighted by rarity, shape (texts, words): words of two texts or more, the commonest."""
    counts = [Counter(_content(t)) for t in texts]
    spread = Counter(word for c in counts for word in c)
    words = [w for w, n in sorted(spread.items(), key=lambda i: (-i[1], i[0])) if n > 1][:VOCABULARY]
    place = {word: i for i, word in enumerate(words)}
    table = np.zeros((len(texts), max(len(words), 1)))
    for row, count in zip(table, counts, strict=True):
        for word, n in count.items():
            if word in place:
                row[place[word]] = np.log1p(n) * np.log(len(texts) / spread[word])
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)


def _risen(old: Sequence[SplitDocument], new: Sequence[SplitDocument]) -> list[str]:
    """Words of several new documents that are rare in known ones, the most telling first."""
    shares: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for side, documents in enumerate((old, new)):
        for document in documents:
            for word in set(_content(document.voice_text)):
                shares[word][side] += 1 / len(documents)
    several = [w for w, (_, now) in shares.items() if now * len(new) >= 2]
    risen = [w for w in several if shares[w][1] > 2 * shares[w][0]]
    return sorted(risen, key=lambda w: (shares[w][0] - shares[w][1], w))[:SHOWN_WORDS]


def _signal(
    name: str, shift: Shift, drifted: bool, old: list[SplitDocument], new: list[SplitDocument]
) -> Signal:
    figures = f"effect {shift.effect:.3f}, chance alone stays under {shift.limit:.3f} (p={shift.p:.3g})"
    if not drifted:
        sentence = f"the {_WHAT[name]} of {len(new)} new pieces are as in training: {figures}"
        return Signal(
            name=name,
            family="persona",
            drifted=False,
            sentence=sentence,
            before=shift.limit,
            after=shift.effect,
        )
    words = ", ".join(_risen(old, new))
    more = f"; words that came up: {words}" if words and name != "style" else ""
    return Signal(
        name=name,
        family="persona",
        drifted=True,
        before=shift.limit,
        after=shift.effect,
        since=new[0].published_at,
        sentence=f"the persona now writes otherwise ({_WHAT[name]}) in {len(new)} new pieces: {figures}{more}",
        evidence=f"{shift.p:.2%} of permutations differ as much",
    )


def _too_little(writing: NewWriting) -> Signal:
    sentence = (
        f"{writing.documents} new pieces beside {writing.known_documents} known ones; "
        f"they are compared from {FIRST_LOOK} and {MIN_KNOWN} on"
    )
    return Signal(name="writing", family="persona", drifted=False, sentence=sentence)
