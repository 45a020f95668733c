"""Erasure: what takes requests, and documents, out of every place that keeps texts. `places` lists those.

python -m twin_assets.monitoring.erasure runa --request 3f2a…
python -m twin_assets.monitoring.erasure runa --user "ann@example.org" --key 0a1b2c3d4e5f
python -m twin_assets.monitoring.erasure runa --texts-older-than 30
python -m twin_assets.monitoring.erasure runa --document 3f2a9c0d1e4b5a69
"""

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
