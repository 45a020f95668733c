"""A vector store that may be down: opened when it is first asked, and anew after it failed."""

import threading
from collections.abc import Callable

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Passage, Visibility
from twin_assets.core.vectors.base import Filters, VectorStore
from twin_assets.core.vectors.common import BuiltBefore, EmbedderMismatch

FIX = "see whether the vector store runs and holds the persona's index; it is tried anew with each request."


class RetrievalUnavailable(TwinError):
    """The vector store can't be searched now. Facts can't be answered without it; texts can be written."""


class ResilientVectorStore:
    """`search` of a persona's store. Any failure but a foreign embedder is RetrievalUnavailable.

    An index that is gone finds nothing, like one that holds nothing fitting: that must not pass for a corpus
    without an answer, so an empty index counts as unavailable too.
    """

    def __init__(self, open_it: Callable[[], VectorStore]) -> None:
        self._open = open_it
        self._store: VectorStore | None = None
        self._lock = threading.Lock()

    def search(
        self,
        text: str,
        vector: np.ndarray,
        k: int,
        *,
        embedder: str,
        filters: Filters | None = None,
        alpha: float = 0.7,
        audience: Visibility = "public",
    ) -> list[Passage]:
        """As VectorStore has it. Raises RetrievalUnavailable, and EmbedderMismatch."""
        try:
            store = self._opened()
            passages = store.search(
                text, vector, k, embedder=embedder, filters=filters, alpha=alpha, audience=audience
            )
            empty = not passages and store.count() == 0
        except EmbedderMismatch:
            raise
        except BuiltBefore as error:
            raise RetrievalUnavailable(error.problem, error.fix) from error
        except Exception as error:
            self.forget()
            raise RetrievalUnavailable(f"The vector store does not answer ({_short(error)}).", FIX) from error
        if empty:
            self.forget()
            raise RetrievalUnavailable("The vector index is empty or gone.", FIX)
        return passages

    def check(self) -> None:
        """Raises RetrievalUnavailable when the store doesn't answer."""
        try:
            if self._opened().count() > 0:
                return
        except Exception as error:
            self.forget()
            raise RetrievalUnavailable(f"The vector store does not answer ({_short(error)}).", FIX) from error
        self.forget()
        raise RetrievalUnavailable("The vector index is empty or gone.", FIX)

    def forget(self) -> None:
        """Close the store; the next request opens it anew."""
        with self._lock:
            store, self._store = self._store, None
        close = getattr(store, "close", None)
        if close is not None:
            close()

    def _opened(self) -> VectorStore:
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
