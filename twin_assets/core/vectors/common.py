"""What every vector store does in the same way. Pure: no store, no network."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from twin_assets.core.errors import TwinError
from twin_assets.core.records import EmbeddedChunk, arrow_schema
from twin_assets.core.vectors.base import Filters, SyncReport

FACTS = [name for name in EmbeddedChunk.model_fields if name != "vector"]
"""What a chunk says beside its vector; a chunk has changed when one of these has."""

FILTERABLE = [f.name for f in arrow_schema(EmbeddedChunk) if pa.types.is_string(f.type) and f.name != "text"]
"""Fields that a search can be filtered by: ids, kinds and names, not the text itself."""


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
            added=len(self.added), updated=len(self.updated), deleted=len(self.deleted), unchanged=self.unchanged
        )  # fmt: skip


def facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """A stored row or dumped chunk in a form that can be compared: every fact, times in UTC."""
    return {name: _comparable(row.get(name)) for name in FACTS}


def difference(stored: Mapping[str, Mapping[str, Any]], wanted: list[EmbeddedChunk]) -> Difference:
    """Compare the stored rows, by chunk id, with the wanted chunks; of two with one id the last counts.

    Vectors are not compared: the same facts, embedder among them, have the same vector.
    """
    by_id = {c.chunk_id: c for c in wanted}
    added = [c for i, c in by_id.items() if i not in stored]
    updated = [c for i, c in by_id.items() if i in stored and facts(c.model_dump()) != facts(stored[i])]
    deleted = [i for i in stored if i not in by_id]
    return Difference(added, updated, deleted, len(by_id) - len(added) - len(updated))


def only_embedder(chunks: list[EmbeddedChunk]) -> str | None:
    """Fingerprint of the embedder of all chunks; None without chunks. TwinError when there are several."""
    found = sorted({c.embedder for c in chunks})
    if len(found) > 1:
        raise TwinError(f"These chunks come from several embedders: {found}.", "embed them again.")
    return found[0] if found else None


def refuse_other_embedder(index: str, built_with: str | None, embedder: str | None) -> None:
    """TwinError, both fingerprints named, when an index that holds something was built with another one."""
    if built_with is not None and embedder is not None and embedder != built_with:
        raise TwinError(
            f"The index {index} was built with embedder {built_with}, this is {embedder}.",
            "use the same embedder, or reset the index and materialise vector_index again.",
        )


def allowed_values(filters: Filters | None) -> dict[str, list[str]]:
    """The allowed values by field; an empty list allows nothing. TwinError on what is no such field."""
    for field in filters or {}:
        if field not in FILTERABLE:
            raise TwinError(
                f"A search can't be filtered by {field!r}.", f"filter by one of {', '.join(FILTERABLE)}."
            )
    return {f: list(v) if isinstance(v, list) else [v] for f, v in (filters or {}).items()}


def _comparable(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
