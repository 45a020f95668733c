"""What every vector store does in the same way. Pure: no store, no network."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from twin_assets.core.errors import TwinError
from twin_assets.core.records import VISIBILITIES, EmbeddedChunk, Visibility, arrow_schema, seen_by
from twin_assets.core.vectors.base import Filters, SyncReport

FACTS = [name for name in EmbeddedChunk.model_fields if name != "vector"]
"""What a chunk says beside its vector; a chunk has changed when one of these has."""

FILTERABLE = [f.name for f in arrow_schema(EmbeddedChunk) if pa.types.is_string(f.type) and f.name != "text"]
"""Fields that a search can be filtered by: ids, kinds and names, not the text itself."""

WORDS = "words"
"""Beside the text, for full-text search: the text with spaces between the words of scripts that have none (`spaced`). It was
chosen over what the stores' own tokenizers make of such scripts by measurement (docs/vector-stores.md)."""

PUBLISHED_FROM, PUBLISHED_UNTIL = "published_from", "published_until"
"""Filters with bounds of `published_at`; chunks without a date are outside every period."""


UNIT_WITHIN = 1e-3
"""How far the length of a vector may be from 1."""


class BadVector(TwinError):
    """A chunk has a vector that no index may hold."""


class EmbedderMismatch(TwinError):
    """The index was built with another embedder than the one that asks."""


class BuiltBefore(TwinError):
    """The index holds chunks without a field that searches need."""


class Difference(NamedTuple):
    """What has to happen to a store, so that it holds exactly the wanted chunks."""

    added: list[EmbeddedChunk]
    updated: list[EmbeddedChunk]
    deleted: list[str]
    unchanged: int

    @property
    def changed(self) -> list[EmbeddedChunk]:
        """The chunks to write."""
        return [*self.added, *self.updated]

    def report(self) -> SyncReport:
        return SyncReport(
            added=len(self.added),
            updated=len(self.updated),
            deleted=len(self.deleted),
            unchanged=self.unchanged,
        )


def facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """A stored row or dumped chunk in a form that can be compared: every fact, times in UTC."""
    return {name: _comparable(row.get(name)) for name in FACTS}


def difference(stored: Mapping[str, Mapping[str, Any]], chunks: list[EmbeddedChunk]) -> Difference:
    """Compare the stored rows, by chunk id, with the wanted chunks; of two with one id the last counts.

    Vectors are not compared: the same facts, embedder among them, have the same vector.
    """
    by_id = {c.chunk_id: c for c in chunks}
    added = [c for i, c in by_id.items() if i not in stored]
    updated = [c for i, c in by_id.items() if i in stored and facts(c.model_dump()) != facts(stored[i])]
    deleted = [i for i in stored if i not in by_id]
    return Difference(added, updated, deleted, len(by_id) - len(added) - len(updated))


def refuse_bad_vectors(chunks: Sequence[EmbeddedChunk], dimensions: int) -> None:
    """BadVector, the chunk named, unless every vector is finite, has `dimensions` numbers and the length 1."""
    fix = "embed it again: materialise embeddings, then vector_index."
    for start in range(0, len(chunks), 1_000):
        some = chunks[start : start + 1_000]
        for chunk in some:
            if len(chunk.vector) != dimensions:
                raise BadVector(
                    f"Chunk {chunk.chunk_id} has a vector of {len(chunk.vector)} numbers, others of {dimensions}.",
                    fix,
                )
        norms = np.linalg.norm(np.array([chunk.vector for chunk in some], dtype=np.float64), axis=1)
        good = np.abs(norms - 1) <= UNIT_WITHIN  # not for NaN
        if not good.all():
            wrong = int(np.argmin(good))
            raise BadVector(
                f"Chunk {some[wrong].chunk_id} has a vector of length {norms[wrong]:.4g}, not 1.", fix
            )


def one_length(chunks: Sequence[EmbeddedChunk]) -> int:
    """How many numbers every vector has; 0 without chunks. BadVector, a chunk named, where one has others."""
    dimensions = len(chunks[0].vector) if chunks else 0
    for chunk in chunks:
        if len(chunk.vector) != dimensions or not dimensions:
            refuse_bad_vectors([chunk], dimensions or 1)
    return dimensions


def sample(chunks: Sequence[EmbeddedChunk], most: int) -> list[EmbeddedChunk]:
    """At most so many of the chunks, evenly from all of them."""
    return [chunks[i * len(chunks) // most] for i in range(most)] if len(chunks) > most else [*chunks]


def only_embedder(chunks: list[EmbeddedChunk]) -> str | None:
    """Fingerprint of the embedder of all chunks; None without chunks. TwinError when there are several."""
    fingerprints = sorted({c.embedder for c in chunks})
    if len(fingerprints) > 1:
        raise TwinError(f"These chunks come from several embedders: {fingerprints}.", "embed them again.")
    return fingerprints[0] if fingerprints else None


def refuse_other_embedder(index: str, built_with: str | None, embedder: str | None) -> None:
    """TwinError, both fingerprints named, when an index that holds something was built with another one."""
    if built_with is not None and embedder is not None and embedder != built_with:
        raise EmbedderMismatch(
            f"The index {index} was built with embedder {built_with}, this is {embedder}.",
            "use the same embedder, or reset the index and materialise vector_index again.",
        )


def refuse_without_visibility(index: str, says_who: bool) -> None:
    """BuiltBefore when an index doesn't say who may see its chunks: none of them may be shown then."""
    if not says_who:
        raise BuiltBefore(
            f"The index {index} was built before chunks said who may see them.",
            "materialise vector_index again; nothing is embedded anew.",
        )


def seen_only(audience: Visibility) -> dict[str, list[str]]:
    """The allowed values by field for an audience, as `allowed_values` has them; none where it may see all."""
    seen = seen_by(audience)
    return {} if len(seen) == len(VISIBILITIES) else {"visibility": [*seen]}


def allowed_values(filters: Filters | None) -> dict[str, list[str]]:
    """The allowed values by field; an empty list allows nothing. TwinError on what is no such field."""
    equal = {f: v for f, v in (filters or {}).items() if f not in (PUBLISHED_FROM, PUBLISHED_UNTIL)}
    for field in equal:
        if field not in FILTERABLE:
            fields = ", ".join([*FILTERABLE, PUBLISHED_FROM, PUBLISHED_UNTIL])
            raise TwinError(f"A search can't be filtered by {field!r}.", f"filter by one of {fields}.")
    return {f: list(v) if isinstance(v, list) else [v] for f, v in equal.items()}


def period(filters: Filters | None) -> tuple[datetime | None, datetime | None]:
    """When the found chunks may have been published: from, and until (which is left out). None: no bound.

    TwinError on what is no ISO time.
    """
    return _time(filters, PUBLISHED_FROM), _time(filters, PUBLISHED_UNTIL)


def _time(filters: Filters | None, name: str) -> datetime | None:
    value = (filters or {}).get(name)
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        raise TwinError(
            f"{name} can't be {value!r}.", "give an ISO time, such as 2021-03-01T00:00:00+00:00."
        ) from None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _comparable(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
