"""The server vector store: Weaviate, one collection, a tenant for each persona."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from threading import Lock
from typing import Any

import numpy as np
from weaviate import WeaviateClient
from weaviate.classes.query import Filter, HybridFusion, MetadataQuery
from weaviate.collections import Collection
from weaviate.exceptions import UnexpectedStatusCodeError

from twin_assets.core.errors import TwinError
from twin_assets.core.records import EmbeddedChunk, Passage, Visibility
from twin_assets.core.text.words import has_unspaced, spaced
from twin_assets.core.vectors.base import Filters, SyncReport
from twin_assets.core.vectors.common import (
    FACTS,
    allowed_values,
    difference,
    only_embedder,
    period,
    refuse_other_embedder,
    refuse_without_visibility,
    seen_only,
)
from twin_assets.core.vectors.weaviate_connection import CONNECTIONS, WeaviateServer
from twin_assets.core.vectors.weaviate_schema import (
    COLLECTION,
    VECTOR,
    WORDS,
    as_properties,
    definition,
    object_id,
    properties,
    tenant_of,
)

WRITE_AT_ONCE = 200
READ_AT_ONCE = 500
DELETE_AT_ONCE = 500


class WeaviateStore:
    """See VectorStore. Connects on first use; every method raises TwinError when the server fails."""

    def __init__(self, server: WeaviateServer, persona: str) -> None:
        self._server, self._persona, self._tenant = server, persona, tenant_of(persona)
        self._name = f"{COLLECTION}/{self._tenant}"
        self._client: WeaviateClient | None = None
        self._seen = self._complete = False
        self._lock = Lock()

    def sync(self, chunks: list[EmbeddedChunk]) -> SyncReport:
        embedder = only_embedder(chunks)
        with self._server.explained("sync"):
            there = self._create() if chunks else self._open()
            if there is None:
                return SyncReport(added=0, updated=0, deleted=0, unchanged=0)
            refuse_other_embedder(self._name, _fingerprint(there), embedder)
            objects = there.iterator(return_properties=FACTS, cache_size=READ_AT_ONCE)
            stored = {str(o.properties["chunk_id"]): o.properties for o in objects}
            todo = difference(stored, chunks)
            self._write(there, todo.changed)
            self._delete(there, todo.deleted)
        return todo.report()

    def search(
        self,
        text: str,
        vector: np.ndarray,
        k: int,
        *,
        embedder: str,
        filters: Filters | None = None,
        alpha: float = 0.7,
        audience: Visibility = "public",
    ) -> list[Passage]:
        allowed, bounds = allowed_values(filters), period(filters)
        with self._server.explained("search"):
            there = self._open()
            if there is None:
                return []
            says_who = self._has_visibility(there)
            first = _first(there, ["embedder", "visibility"] if says_who else ["embedder"])
            if first is None:
                return []
            refuse_other_embedder(self._name, str(first["embedder"]), embedder)
            # The tenants share their properties: another persona's sync adds one that ours have no value of.
            refuse_without_visibility(self._name, first.get("visibility") is not None)
            if not all(allowed.values()):
                return []
            where = [*_among(allowed), *_among(seen_only(audience)), *_between(*bounds)]
            objects = _query(there, text, vector, k, where, alpha)
        passages = [_passage(o, vector, hybrid) for o, hybrid in objects]
        return sorted(passages, key=lambda p: (-p.score, p.chunk_id))

    def erase(self, documents: Iterable[str]) -> int:
        with self._server.explained("erase"):
            there = self._open()
            if there is None or not documents:
                return 0
            where = Filter.by_property("doc_id").contains_any(sorted(documents))
            result = there.data.delete_many(where=where)
            if result.failed:
                raise TwinError(
                    f"Weaviate at {self._server.url} did not erase {result.failed} chunks.",
                    "see the server's log, and erase again.",
                )
            return int(result.successful)

    def count(self) -> int:
        with self._server.explained("count"):
            there = self._open()
            return (
                int(there.aggregate.over_all(total_count=True).total_count or 0) if there is not None else 0
            )

    def fingerprint(self) -> str | None:
        with self._server.explained("fingerprint"):
            there = self._open()
            return _fingerprint(there) if there is not None else None

    def reset(self) -> None:
        # The whole tenant, since its index keeps the dimensions of the first vector it was given.
        with self._server.explained("reset"):
            if self._open() is not None:
                self._connected().collections.use(COLLECTION).tenants.remove([self._tenant])
            self._seen = False

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client = None
                CONNECTIONS.release(self._server)

    def _connected(self) -> WeaviateClient:
        with self._lock:
            if self._client is None:
                self._client = CONNECTIONS.acquire(self._server)
            return self._client

    def _open(self) -> Collection | None:
        """The persona's part of the collection; None when there is none yet."""
        collections = self._connected().collections
        if not self._seen:
            if not collections.exists(COLLECTION):
                return None
            self._seen = collections.use(COLLECTION).tenants.exists(self._tenant)
        return collections.use(COLLECTION).with_tenant(self._tenant) if self._seen else None

    def _has_visibility(self, there: Collection) -> bool:
        """Whether the collection knows who may see a chunk; it never forgets it again."""
        if not self._complete:
            self._complete = "visibility" in {p.name for p in there.config.get(simple=True).properties}
        return self._complete

    def _create(self) -> Collection:
        """The persona's part of the collection, with every property that a chunk has today."""
        collections = self._connected().collections
        if not collections.exists(COLLECTION):
            try:
                collections.create(**definition())
            except UnexpectedStatusCodeError:
                if not collections.exists(COLLECTION):  # else another process was quicker
                    raise
        whole = collections.use(COLLECTION)
        names = {p.name for p in whole.config.get(simple=True).properties}
        for missing in (p for p in properties() if p.name not in names):
            whole.config.add_property(missing)
        if not whole.tenants.exists(self._tenant):
            whole.tenants.create([self._tenant])
        self._seen = True
        return whole.with_tenant(self._tenant)

    def _write(self, there: Collection, chunks: list[EmbeddedChunk]) -> None:
        if not chunks:
            return
        # A batch that is not full waits a second for more, so one is never larger than what there is.
        with there.batch.fixed_size(batch_size=min(WRITE_AT_ONCE, len(chunks))) as batch:
            for chunk in chunks:
                batch.add_object(
                    properties=as_properties(chunk),
                    uuid=object_id(self._persona, chunk.chunk_id),
                    vector={VECTOR: chunk.vector},
                )
        failed = there.batch.failed_objects
        if failed:
            raise TwinError(
                f"Weaviate at {self._server.url} did not store {len(failed)} of {len(chunks)} chunks; "
                f"the first because: {failed[0].message}",
                "mend that and sync again: what was stored stays, only the rest is written.",
            )

    def _delete(self, there: Collection, chunk_ids: list[str]) -> None:
        for start in range(0, len(chunk_ids), DELETE_AT_ONCE):
            ids = [object_id(self._persona, i) for i in chunk_ids[start : start + DELETE_AT_ONCE]]
            result = there.data.delete_many(where=Filter.by_id().contains_any(ids))
            if result.failed:
                raise TwinError(
                    f"Weaviate at {self._server.url} did not delete {result.failed} of {len(ids)} chunks.",
                    "see the server's log, and sync again.",
                )


def _fingerprint(there: Collection) -> str | None:
    first = _first(there, ["embedder"])
    return str(first["embedder"]) if first else None


def _first(there: Collection, names: list[str]) -> Mapping[str, Any] | None:
    """Properties of some object; None where there is none."""
    objects = there.query.fetch_objects(limit=1, return_properties=names).objects
    return objects[0].properties if objects else None


def _among(allowed: dict[str, list[str]]) -> list[Any]:
    return [Filter.by_property(field).contains_any(values) for field, values in allowed.items()]


def _between(first: datetime | None, end: datetime | None) -> list[Any]:
    published = Filter.by_property("published_at")
    bounds = (published.greater_or_equal(first) if first else None, published.less_than(end) if end else None)
    return [bound for bound in bounds if bound is not None]


def _query(
    there: Collection, text: str, vector: np.ndarray, k: int, where: list[Any], alpha: float
) -> list[tuple[Any, bool]]:
    """Objects found, each with whether it has a hybrid score."""
    options: dict[str, Any] = {
        "limit": k,
        "filters": Filter.all_of(where) if where else None,
        "include_vector": True,
        "return_properties": FACTS,
        "target_vector": VECTOR,
    }
    floats = [float(x) for x in vector]
    if alpha >= 1 or not text.strip():
        return [(o, False) for o in there.query.near_vector(near_vector=floats, **options).objects]
    answer = there.query.hybrid(
        query=spaced(text),
        vector=floats,
        alpha=alpha,
        query_properties=["text", WORDS] if has_unspaced(text) else ["text"],
        fusion_type=HybridFusion.RELATIVE_SCORE,
        return_metadata=MetadataQuery(score=True),
        **options,
    )
    return [(o, True) for o in answer.objects]


def _passage(match: Any, vector: np.ndarray, hybrid: bool) -> Passage:
    cosine = float(np.dot(np.asarray(match.vector[VECTOR], dtype=np.float32), vector))
    similarity = min(max(cosine, 0.0), 1.0)
    score = min(max(match.metadata.score or 0.0, 0.0), 1.0) if hybrid else similarity
    return Passage.model_validate(match.properties | {"score": score, "similarity": similarity})
