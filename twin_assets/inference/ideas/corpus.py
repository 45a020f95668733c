"""The persona's own writing as ideas are made from it: passages with their vectors, and what was written about already."""

from collections import defaultdict
from collections.abc import Callable
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Passage, Visibility, seen_by
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.library import LIBRARY
from twin_assets.core.text.content_words import content_words

# Of more passages the newest are looked at: all of a large corpus are no matter of a request.
MOST_PASSAGES = 20_000
_COLUMNS = ["chunk_id", "doc_id", "url", "title", "heading", "category", "text", "start", "end", "visibility"]

Embed = Callable[[list[str]], np.ndarray]


def stem(word: str) -> str:
    """A lower-case word without an English plural's ending."""
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word


def stems(text: str) -> frozenset[str]:
    """The content words of a text, as they are compared."""
    return frozenset(map(stem, content_words(text)))


class NothingWritten(TwinError):
    """There is no writing of the persona that the caller may see."""


class Corpus:
    """Passages of one persona and their unit vectors, shape (n, dimensions); at least one. `left_out` older ones are not here."""

    def __init__(self, passages: list[Passage], vectors: np.ndarray, left_out: int = 0) -> None:
        self.passages, self.vectors, self.left_out = passages, vectors, left_out

    @cached_property
    def documents(self) -> dict[str, list[int]]:
        """Places of the passages of each document."""
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, passage in enumerate(self.passages):
            places[passage.doc_id].append(place)
        return dict(places)

    @cached_property
    def titles(self) -> list[str]:
        """Every title and heading once."""
        named = ((p.title, p.heading) for p in self.passages)
        return list(dict.fromkeys(name for pair in named for name in pair if name))

    @cached_property
    def title_stems(self) -> list[frozenset[str]]:
        return [found for title in self.titles if (found := stems(title))]

    def nearest(self, vector: np.ndarray, k: int) -> list[Passage]:
        """The nearest passage of each of the `k` nearest documents, with its similarity, the nearest first."""
        near = np.clip(self.vectors @ vector, 0.0, 1.0)
        best: dict[str, Passage] = {}
        for place in np.argsort(-near, kind="stable"):
            passage = self.passages[place]
            if passage.doc_id not in best:
                value = float(near[place])
                best[passage.doc_id] = passage.model_copy(update={"score": value, "similarity": value})
            if len(best) == k:
                break
        return list(best.values())


class WrittenAbout:
    """What the persona has a text about: such a thing is no idea."""

    def __init__(self, corpus: Corpus, embed: Embed, same_subject: float) -> None:
        """`same_subject` is the cosine from which on two titles name one subject (`Thresholds`)."""
        self._corpus, self._embed, self._same_subject = corpus, embed, same_subject

    @cached_property
    def _titles(self) -> np.ndarray:
        return self._embed(self._corpus.titles) if self._corpus.titles else np.zeros((0, 1), np.float32)

    def which(self, titles: list[str], vectors: np.ndarray) -> list[bool]:
        """Of each title whether a title or heading has its telling words, or is as near as one subject is.

        `vectors` are the titles', shape (n, dimensions).
        """
        near = (vectors @ self._titles.T).max(axis=1) if len(self._titles) else np.zeros(len(titles))
        return [
            bool(value >= self._same_subject)
            or bool(words and any(words <= known for known in self._corpus.title_stems))
            for value, words in zip(near, map(stems, titles), strict=True)
        ]


def read_corpus(store: FeatureStore, persona: str, audience: Visibility, embedder: str) -> Corpus:
    """What `audience` may see of the persona's own writing, newest first. Raises TwinError where there is none, or where it was
    embedded by another embedder than that of the fingerprint `embedder`."""
    if store.latest("embeddings", persona) is None:
        raise _nothing(persona)
    table = store.columns("embeddings", persona, [*_COLUMNS, "source", "published_at", "embedder", "vector"])
    own = pc.and_(
        pc.invert(pc.equal(table["source"], LIBRARY)),
        pc.is_in(table["visibility"], pa.array(seen_by(audience), pa.string())),
    )
    table = table.filter(own)
    if not len(table):
        raise _nothing(persona)
    if others := sorted({*table["embedder"].unique().to_pylist()} - {embedder}):
        raise TwinError(
            f"The passages of {persona!r} were embedded by {others[0]}, and this service embeds by {embedder}.",
            "let the index be made again, or set TWIN_EMBEDDER as it was.",
        )
    newest = pc.sort_indices(
        table,
        sort_keys=[("published_at", "descending"), ("doc_id", "ascending"), ("start", "ascending")],
    )
    kept = table.take(newest[:MOST_PASSAGES])
    vectors = kept["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(kept), -1)
    rows = kept.select(_COLUMNS).to_pylist()
    return Corpus(
        [Passage.model_validate(row | {"score": 0.0}) for row in rows], vectors, len(table) - len(kept)
    )


def _nothing(persona: str) -> NothingWritten:
    return NothingWritten(
        f"{persona!r} has no writing that ideas could be made from.",
        "collect some, and let the index be made.",
    )
