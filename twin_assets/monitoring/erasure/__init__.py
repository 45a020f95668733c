"""Erasure: what takes requests, documents, and whole persons out of every place that keeps texts. `places` lists those."""

from twin_assets.monitoring.erasure.deletion import (
    Certificate,
    NoSuchPerson,
    PersonInUse,
    delete_person,
    refuse_running,
    refuse_unknown,
)
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
from twin_assets.monitoring.erasure.exporting import Manifest, export_person
from twin_assets.monitoring.erasure.requests import remove_texts

__all__ = [
    "Certificate",
    "Erased",
    "ErasedDocument",
    "Manifest",
    "NoSuchDocument",
    "NoSuchPerson",
    "PersonInUse",
    "delete_person",
    "erase",
    "erase_document",
    "erase_found",
    "export_person",
    "find_document",
    "finish_erasures",
    "refuse_running",
    "refuse_unknown",
    "remove_texts",
]
