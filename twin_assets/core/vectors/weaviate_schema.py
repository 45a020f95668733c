"""The Weaviate collection of chunks: its definition, and chunks as its objects. Pure."""

import hashlib
from datetime import UTC
from typing import Any
from uuid import NAMESPACE_DNS, UUID

import pyarrow as pa
from weaviate.classes.config import Configure, DataType, Property, Tokenization, VectorDistances

from twin_assets.core.records import EmbeddedChunk, arrow_schema
from twin_assets.core.text.words import has_unspaced, spaced
from twin_assets.core.vectors.common import FACTS, FILTERABLE, WORDS

VECTOR = "default"
"""Name of the one vector an object has."""
_HASHED = set(FACTS) - {"published_at"}
DIVIDED = "+words"
"""Behind the hash of a chunk that has WORDS; others, whose words are those between spaces, need none. WORDS is split at spaces
alone, since to Weaviate's WORD the vowel marks of Thai are no letters."""

MADE = "made"
"""By which write of which sync a chunk was stored, and the hash of what it says: `sync.write:hash`. Of the mark: the write
that was begun last, or, of a tenant that is whole, `:` and the digest of all that it holds (`weaviate_difference`)."""

OWNER = "owner"
"""Of the mark alone: the platform that writes the index."""


def properties() -> list[Property]:
    """A typed property for every field of a chunk but the vector, and WORDS. Full-text search reads `text` and WORDS."""
    schema = arrow_schema(EmbeddedChunk)
    words = Property(
        name=WORDS,
        data_type=DataType.TEXT,
        tokenization=Tokenization.LOWERCASE,
        index_searchable=True,
        index_filterable=False,
    )
    ours = [
        Property(
            name=name,
            data_type=DataType.TEXT,
            tokenization=Tokenization.FIELD,
            index_searchable=False,
            index_filterable=False,
        )
        for name in (MADE, OWNER)
    ]
    return [*(_property(schema.field(name)) for name in FACTS), words, *ours]


def _property(field: pa.Field) -> Property:
    is_text = field.name == "text"
    data_type = _data_type(field.type)
    return Property(
        name=field.name,
        data_type=data_type,
        tokenization=None
        if data_type != DataType.TEXT
        else Tokenization.WORD
        if is_text
        else Tokenization.FIELD,
        index_searchable=is_text,
        index_filterable=field.name in (*FILTERABLE, "published_at"),
    )


def _data_type(kind: pa.DataType) -> DataType:
    if pa.types.is_string(kind):
        return DataType.TEXT
    if pa.types.is_integer(kind):
        return DataType.INT
    if pa.types.is_boolean(kind):
        return DataType.BOOL
    if pa.types.is_timestamp(kind):
        return DataType.DATE
    return DataType.NUMBER


def definition(collection: str) -> dict[str, Any]:
    """Arguments of `collections.create`: one tenant a persona, vectors from us, cosine, HNSW."""
    return {
        "name": collection,
        "properties": properties(),
        "multi_tenancy_config": Configure.multi_tenancy(enabled=True),
        "vector_config": Configure.Vectors.self_provided(
            name=VECTOR,
            vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.COSINE),
        ),
    }


def tenant_of(persona: str) -> str:
    """Name of the persona's tenant. Weaviate wants at least four letters, digits, `_` or `-`."""
    return f"twin-{persona}"


def object_number(persona: str, chunk_id: str) -> int:
    """Id of the chunk's object, the same in every run, as the number that a UUID is: a sync compares 100,000 of them, and Python's
    UUIDs take ten times as long to make and to look up."""
    return _uuid5(f"{persona}/{chunk_id}")


def object_id(persona: str, chunk_id: str) -> UUID:
    """The same as a UUID."""
    return UUID(int=object_number(persona, chunk_id))


def mark_id(persona: str) -> UUID:
    """Id of the tenant's mark: an object without text and vector, which no search finds, that tells of the whole index."""
    return UUID(int=_uuid5(f"{persona} as a whole"))


def _uuid5(name: str) -> int:
    """A UUID of version 5 in the namespace of DNS, as Weaviate's client makes them: RFC 9562, section 5.5."""
    digest = hashlib.sha1(NAMESPACE_DNS.bytes + name.encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:16])
    return number & ~(0xF << 76) & ~(0x3 << 62) | 0x5 << 76 | 0x2 << 62


def facts_hash(chunk: EmbeddedChunk) -> str:
    """Of all that a chunk says beside its vector, and whether it has WORDS; times without a zone are UTC."""
    at = chunk.published_at
    if at is not None:
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    told = chunk.model_dump_json(include=_HASHED)
    divided = DIVIDED if has_unspaced(chunk.text) else ""
    return hashlib.blake2b(f"{told} {at}".encode(), digest_size=12).hexdigest() + divided


def as_properties(chunk: EmbeddedChunk, write_id: str) -> dict[str, Any]:
    words = {WORDS: spaced(chunk.text)} if has_unspaced(chunk.text) else {}
    return chunk.model_dump(include=set(FACTS)) | words | {MADE: f"{write_id}:{facts_hash(chunk)}"}
