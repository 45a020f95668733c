"""The records that travel between stages, and their Arrow schemas.

A record is a frozen pydantic model; a table of records is stored as Parquet. Fields are the contract
between stages: add with a default, never rename in place.
"""

import types
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, model_validator

# A field of `core.persona.Persona`, where the sources are declared.
Source = str
Category = Literal["post", "article", "code"]
Visibility = Literal["public", "connections", "private"]
Split = Literal["train", "heldout"]
# From open to closed. Who may see one of these may see all before it: an audience is named by what it sees last.
VISIBILITIES: tuple[Visibility, ...] = get_args(Visibility)


def most_closed(visibilities: Iterable[Visibility]) -> Visibility:
    """What a thing made of others may be shown as; public when it is made of nothing."""
    return max(visibilities, key=VISIBILITIES.index, default="public")


def may_see(audience: Visibility, visibility: Visibility) -> bool:
    """Whether an audience (public, connections, or private: the persona) may see what is that closed."""
    return VISIBILITIES.index(visibility) <= VISIBILITIES.index(audience)


def seen_by(audience: Visibility) -> list[Visibility]:
    """Everything that an audience may see, from open to closed."""
    return [visibility for visibility in VISIBILITIES if may_see(audience, visibility)]


def _whole(given: Any, levels: int = 2) -> Any:
    if type(given) is float and given.is_integer():
        return int(given)
    return [_whole(one, levels - 1) for one in given] if levels and isinstance(given, list) else given


class StrictTypes(BaseModel):
    """What may come from outside, and has JSON's types: no number or word is taken for a boolean, no boolean or word for a
    number; and 3.0 is an integer, as JSON Schema has it."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, given: Any) -> Any:
        return {name: _whole(value) for name, value in given.items()} if isinstance(given, dict) else given


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


R = TypeVar("R", bound=Record)


class Document(Record):
    """One piece of writing as the warehouse holds it; `body` is as fetched."""

    persona: str
    source: Source
    category: Category
    doc_id: str
    url: str
    title: str | None = None
    author: str | None = None
    published_at: datetime | None = None
    fetched_at: datetime
    language: str | None = None
    mime: str
    body: str
    content_hash: str
    visibility: Visibility = "public"
    partial: bool = False


class Exchange(Record):
    """What others asked the persona in a talk, and what the persona answered, to the letter a part of `voice_text`."""

    asked: str
    answered: str


class CleanedDocument(Record):
    """A document with its two text views: `voice_text` to learn from, `search_text` to find by."""

    persona: str
    source: Source
    category: Category
    doc_id: str
    url: str
    title: str | None = None
    published_at: datetime | None = None
    language: str | None = None
    content_hash: str
    visibility: Visibility = "public"
    voice_text: str
    search_text: str
    words: int
    removed: list[str] = []
    exchanges: list[Exchange] = []


class UniqueDocument(CleanedDocument):
    """The representative of a cluster of duplicates."""

    cluster_id: str
    duplicates: list[str] = []


class SplitDocument(UniqueDocument):
    """A unique document that is on one side of the split, for good."""

    split: Split


def set_aside(unique: Iterable[UniqueDocument], split: Iterable[SplitDocument]) -> list[SplitDocument]:
    """Documents that the split left out as too near to its held-out side: found and cited like the held-out ones, and
    like them never learnt from."""
    split_ids = {document.doc_id for document in split}
    return [SplitDocument(**d.model_dump(), split="heldout") for d in unique if d.doc_id not in split_ids]


class Chunk(Record):
    """A passage of a document. `start` and `end` are character offsets into its `voice_text`."""

    chunk_id: str
    doc_id: str
    persona: str
    source: Source
    category: Category
    url: str
    title: str | None = None
    heading: str | None = None
    text: str
    start: int
    end: int
    tokens: int
    split: Split
    published_at: datetime | None = None
    content_hash: str
    visibility: Visibility = "public"


class EmbeddedChunk(Chunk):
    """A chunk with its unit-length vector and the fingerprint of the embedder that made it."""

    vector: list[float]
    embedder: str


class Passage(Record):
    """A chunk found for a query, both numbers in [0, 1]: `score` ranks it among the others found,
    `similarity` (cosine of the embeddings, negatives as 0) says how near it is in itself.

    `spans` say where the parts of a shortened text stand in the document's voice_text; none: it is whole.
    """

    chunk_id: str
    doc_id: str
    url: str
    title: str | None = None
    heading: str | None = None
    category: Category
    text: str
    start: int
    end: int
    score: float
    similarity: float = 0.0
    spans: list[tuple[int, int]] = []
    visibility: Visibility = "public"


class Message(Record):
    role: Literal["system", "user", "assistant"]
    content: str


_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


def _arrow_type(annotation: Any) -> pa.DataType:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _arrow_type(args[0])
    if origin is Literal:
        return pa.string()
    if origin in (Union, types.UnionType):
        return _arrow_type(next(a for a in args if a is not type(None)))
    if origin is list:
        inner = pa.float32() if args[0] is float else _arrow_type(args[0])
        return pa.list_(inner)
    if origin is dict:
        return pa.map_(_arrow_type(args[0]), _arrow_type(args[1]))
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return pa.struct([(n, _arrow_type(f.annotation)) for n, f in annotation.model_fields.items()])
    return _ARROW[annotation]


def arrow_schema(record: type[Record]) -> pa.Schema:
    """Arrow schema of a record type; vectors are float32 lists, times are UTC microseconds."""
    return pa.schema([(name, _arrow_type(f.annotation)) for name, f in record.model_fields.items()])


def to_table(records: list[R], record: type[R]) -> pa.Table:
    """Arrow table of records, in the given order."""
    return pa.Table.from_pylist([r.model_dump() for r in records], schema=arrow_schema(record))


def from_table(table: pa.Table, record: type[R]) -> list[R]:
    """Records of an Arrow table; raises pydantic's ValidationError on a row that does not fit."""
    return [record.model_validate(row) for row in with_visibility(table, record).to_pylist()]


def with_visibility(table: pa.Table, record: type[Record]) -> pa.Table:
    """The table of such records: rows from before they said who may see them are for nobody but the persona."""
    if "visibility" not in record.model_fields or "visibility" in table.column_names:
        return table
    return table.append_column("visibility", pa.array(["private"] * len(table), pa.string()))
