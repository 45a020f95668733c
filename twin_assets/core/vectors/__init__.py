"""Vector stores: one contract, one implementation a file."""

from twin_assets.core.vectors.base import SyncReport, VectorStore
from twin_assets.core.vectors.open import open_store

__all__ = ["SyncReport", "VectorStore", "open_store"]
