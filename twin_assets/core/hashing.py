"""Content hashes: the identity of documents, datasets, configurations and models."""

import hashlib
import json
from pathlib import Path
from typing import Any


def text_hash(text: str, length: int = 16) -> str:
    """First `length` hex digits of the SHA-256 of UTF-8 text."""
    return bytes_hash(text.encode(), length)


def bytes_hash(data: bytes | memoryview, length: int = 16) -> str:
    """First `length` hex digits of the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()[:length]


def hash_share(text: str) -> float:
    """A number in [0, 1) that is the same for a text on every machine, and spread evenly over texts."""
    return int(text_hash(text, 16), 16) / 2**64


def fingerprint(value: Any, length: int = 16) -> str:
    """Hash of any JSON-able value, independent of dictionary order."""
    return text_hash(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str), length)


def folder_hash(folder: Path, length: int = 16, without: frozenset[str] = frozenset()) -> str:
    """Hash of the names and bytes of all files below `folder`, but for the named entries at its top."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder)
        if name.parts[0] in without:
            continue
        digest.update(name.as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:length]
