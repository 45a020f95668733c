"""The server vector store: Weaviate, one collection, a tenant for each persona."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from weaviate import WeaviateClient
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, HybridFusion, MetadataQuery
from weaviate.collections import Collection
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateInsertManyAllFailedError

from twin_assets.core.errors import TwinError
from twin_assets.core.records import EmbeddedChunk, Passage, Visibility
from twin_assets.core.text.words import has_unspaced, spaced
from twin_assets.core.vectors.away import Patience, StoreAway, within
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
SYNC_SECONDS = 60.0

Item = TypeVar("Item")


class WeaviateStore:
    """See VectorStore. Connects on first use; every method raises TwinError when the server fails."""

    def __init__(self, server: WeaviateServer, persona: str, sync_seconds: float = SYNC_SECONDS) -> None:
        """A sync that makes no progress for `sync_seconds` ends."""
        self._sync_seconds = sync_seconds
        self._server, self._persona, self._tenant = server, persona, tenant_of(persona)
        self._name = f"{COLLECTION}/{self._tenant}"
        self._uses = False
        self._seen = self._complete = False
        self._lock = Lock()

    def sync(self, chunks: list[EmbeddedChunk]) -> SyncReport:
        embedder, patience = only_embedder(chunks), self._patience()

        def opened() -> Collection | None:
            with self._server.explained("sync"):
                return self._create() if chunks else self._open()

        # A server that was never there is told at once; patience is for one that goes.
        if within(self._sync_seconds, opened) is None:
            return SyncReport(added=0, updated=0, deleted=0, unchanged=0)
        refuse_other_embedder(self._name, patience.call(self.fingerprint), embedder)
        todo = difference(self._stored(patience), chunks)
        done = 0
        try:
            for batch in _pieces(todo.changed, WRITE_AT_ONCE):
                self._write(patience, batch)
                done += len(batch)
            for ids in _pieces(todo.deleted, DELETE_AT_ONCE):
                patience.call(functools.partial(self._delete, ids))
        except StoreAway as error:
            wanted = len(todo.changed)
            raise StoreAway(
                f"{error.problem} For {self._sync_seconds:.0f} seconds nothing could be stored: {done:,} of {wanted:,} "
                f"chunks were, {wanted - done:,} are left.",
                f"{error.fix} The next sync writes only what is left.",
            ) from None
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

    def close(self, *, broken: bool = False) -> None:
        with self._lock:
            if broken:
                CONNECTIONS.give_up(self._server)
            if self._uses:
                self._uses = False
                CONNECTIONS.release(self._server)

    def _connected(self) -> WeaviateClient:
        with self._lock:
            if not self._uses:
                self._uses = True
                CONNECTIONS.use(self._server)
        return CONNECTIONS.client(self._server)

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

    def _patience(self) -> Patience:
        return Patience(self._sync_seconds, lambda: self.close(broken=True))

    def _there(self) -> Collection:
        """As `_open`, over the connection as it is now; TwinError when the tenant is gone."""
        there = self._open()
        if there is None:
            raise TwinError(f"The index {self._name} was removed meanwhile.", "sync again.")
        return there

    def _stored(self, patience: Patience) -> dict[str, Mapping[str, Any]]:
        """What every stored chunk says beside its vector, by chunk id."""
        stored: dict[str, Mapping[str, Any]] = {}
        after: UUID | None = None
        while page := patience.call(functools.partial(self._page, after)):
            stored |= {str(o.properties["chunk_id"]): o.properties for o in page}
            after = page[-1].uuid
        return stored

    def _page(self, after: UUID | None) -> list[Any]:
        with self._server.explained("sync"):
            return list(
                self._there()
                .query.fetch_objects(limit=READ_AT_ONCE, after=after, return_properties=FACTS)
                .objects
            )

    def _write(self, patience: Patience, chunks: Sequence[EmbeddedChunk]) -> None:
        """Store some chunks. TwinError with the first reason when the server refuses one."""
        objects = [
            DataObject(
                properties=as_properties(c),
                uuid=object_id(self._persona, c.chunk_id),
                vector={VECTOR: c.vector},
            )
            for c in chunks
        ]
        again = False

        def write() -> list[str]:
            nonlocal again
            if again:
                # Weaviate leaves an object as it is that it has already, also where the vector index lacks it.
                self._delete([c.chunk_id for c in chunks])
            again = True
            with self._server.explained("sync"):
                try:
                    return [e.message for e in self._there().data.insert_many(objects).errors.values()]
                except WeaviateInsertManyAllFailedError as error:
                    return [str(error)] * len(objects)

        if failed := patience.call(write):
            raise TwinError(
                f"Weaviate at {self._server.url} did not store {len(failed)} of {len(chunks)} chunks; "
                f"the first because: {failed[0]}",
                "mend that and sync again: what was stored stays, only the rest is written.",
            )

    def _delete(self, chunk_ids: Sequence[str]) -> None:
        ids = [object_id(self._persona, i) for i in chunk_ids]
        with self._server.explained("sync"):
            result = self._there().data.delete_many(where=Filter.by_id().contains_any(ids))
        if result.failed:
            raise TwinError(
                f"Weaviate at {self._server.url} did not delete {result.failed} of {len(ids)} chunks.",
                "see the server's log, and sync again.",
            )


def _pieces(items: list[Item], most: int) -> Iterator[list[Item]]:
    return (items[start : start + most] for start in range(0, len(items), most))


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
