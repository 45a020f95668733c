"""Erasure: what takes requests, and documents, out of every place that keeps texts. `places` lists those."""

from twin_assets.monitoring.erasure.erasing import (
    Erased,
    ErasedDocument,
    NoSuchDocument,
    erase,
    erase_document,
    erase_found,
    find_document,
    finish_erasures,
)
from twin_assets.monitoring.erasure.requests import remove_texts

__all__ = [
    "Erased",
    "ErasedDocument",
    "NoSuchDocument",
    "erase",
    "erase_document",
    "erase_found",
    "find_document",
    "finish_erasures",
    "remove_texts",
]
