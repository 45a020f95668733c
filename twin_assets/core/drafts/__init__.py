"""Drafts: texts that a person writes with a twin, kept with all their versions until that person deletes them."""

from twin_assets.core.drafts.difference import DifferencePiece, difference
from twin_assets.core.drafts.records import (
    MOST_CHARACTERS,
    MOST_CITATIONS,
    MOST_DRAFTS,
    MOST_TEXT,
    MOST_VERSIONS,
    Draft,
    DraftCitation,
    DraftStatus,
    DraftVersion,
    WrittenBy,
    version_id,
)
from twin_assets.core.drafts.store import DraftFull, Drafts, NoSuchDraft, StaleDraft, owner_of

__all__ = [
    "MOST_CHARACTERS",
    "MOST_CITATIONS",
    "MOST_DRAFTS",
    "MOST_TEXT",
    "MOST_VERSIONS",
    "DifferencePiece",
    "Draft",
    "DraftCitation",
    "DraftFull",
    "DraftStatus",
    "DraftVersion",
    "Drafts",
    "NoSuchDraft",
    "StaleDraft",
    "WrittenBy",
    "difference",
    "owner_of",
    "version_id",
]
