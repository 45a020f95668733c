"""The server vector store: Weaviate, one collection, a tenant for each persona."""

import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import numpy as np
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, HybridFusion, MetadataQuery
from weaviate.collections import Collection
from weaviate.exceptions import (
    InsufficientPermissionsError,
    UnexpectedStatusCodeError,
    WeaviateInsertManyAllFailedError,
    WeaviateQueryError,
)

from twin_assets.core.errors import TwinError
from twin_assets.core.records import EmbeddedChunk, Passage, Visibility
from twin_assets.core.storage.lake.owner import refuse_other
from twin_assets.core.text.words import has_unspaced, spaced
from twin_assets.core.vectors.away import Patience, StoreAway, within
from twin_assets.core.vectors.base import Filters, SyncReport
from twin_assets.core.vectors.common import (
    FACTS,
    WORDS,
    allowed_values,
    one_length,
    only_embedder,
    period,
    refuse_bad_vectors,
    refuse_other_embedder,
    refuse_without_visibility,
    sample,
    seen_only,
)
from twin_assets.core.vectors.weaviate_difference import (
    PARTS,
    Digest,
    Todo,
    difference_of,
    first_of,
    is_undivided,
    part_of,
    runs,
    wanted_of,
)
from twin_assets.core.vectors.weaviate_schema import (
    MADE,
    OWNER,
    VECTOR,
    as_properties,
    mark_id,
    object_id,
    object_number,
)
from twin_assets.core.vectors.weaviate_tenant import Changed, WeaviateTenant, is_change

WRITE_AT_ONCE = 200
READ_AT_ONCE = 5_000
LEAST_READ = 50
MOST_PARTS = PARTS // 8  # of which each is a question of its own
DELETE_AT_ONCE = 500
SYNC_SECONDS = 60.0
QUEUE_LOOK_SECONDS = 0.25
READY = "READY"  # of a tenant: all that it stored is indexed
# Before a sync trusts what is stored, so many chunks must be among the nearest of their own vectors.
SAMPLED, NEAREST, SAME_VECTOR = 10, 10, 1e-3
OTHER_LENGTH = "vector lengths"  # in what the server says when it is asked for a vector of another length

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
# Objects with whether each has a score, and what is told of them.
Found = tuple[list[tuple[Any, bool]], list[Mapping[str, Any]]]


class WeaviateStore:
    """See VectorStore. Connects on first use; every method raises TwinError when the server fails."""

    def __init__(
        self,
        tenant: WeaviateTenant,
        persona: str,
        owner: Callable[[], str],
        sync_seconds: float = SYNC_SECONDS,
    ) -> None:
        """`owner` says whose platform this is, asked before it writes. A sync that makes no progress for `sync_seconds` ends."""
        self._tenant, self._persona, self._name = tenant, persona, tenant.name
        self._sync_seconds, self._server = sync_seconds, tenant.server
        self._owner = functools.cache(owner)

    def sync(self, chunks: list[EmbeddedChunk]) -> SyncReport:
        embedder, dimensions, patience = only_embedder(chunks), one_length(chunks), self._patience()

        def opened() -> bool:
            with self._server.explained("sync"):
                if not chunks and self._tenant.opened() is None:
                    return False
                self._tenant.created()
            self._refuse_owner()
            return True

        # A server that was never there is told at once; patience is for one that goes.
        if not within(self._sync_seconds, opened):
            return SyncReport(added=0, updated=0, deleted=0, unchanged=0)
        refuse_other_embedder(self._name, patience.call(self.fingerprint), embedder)
        wanted = wanted_of(self._persona, chunks)
        digest = Digest.of((number, told) for number, (_, told) in wanted.items())
        unfinished, held = patience.call(self._marked)
        parts = self._doubted_parts(patience, unfinished, held, digest)
        stored = self._stored(patience, parts, len(wanted))
        todo = difference_of(stored, parts, unfinished, wanted)
        refuse_bad_vectors(todo.changed, dimensions)
        if undivided := sum(
            is_undivided(stored.get(object_number(self._persona, c.chunk_id)), c) for c in todo.updated
        ):
            logger.warning(
                "%s: %d chunks are written anew, with the words of their script", self._name, undivided
            )
        if not self._findable(patience, todo.same):
            logger.warning("%s can't be searched by vector: it is built anew", self._name)
            patience.call(self._remake)
            todo = difference_of({}, None, "", wanted)
            refuse_bad_vectors(todo.changed, dimensions)
        if todo.changed or todo.deleted or held != digest:
            self._apply(patience, todo, digest)
        return todo.report()

    def _apply(self, patience: Patience, todo: Todo, digest: Digest) -> None:
        """Make the tenant as it is to be. StoreAway with what was stored and what is left."""
        sync, done = uuid4().hex[:8], 0
        try:
            # From now on nothing stands on what the mark said of the whole.
            patience.call(lambda: self._ask(lambda there: there.data.insert_many([self._mark(f"{sync}.0")])))
            batches = [(batch, False) for batch in _pieces(todo.new, WRITE_AT_ONCE)]
            batches += [(batch, True) for batch in _pieces(todo.doubtful, WRITE_AT_ONCE)]
            for number, (batch, doubtful) in enumerate(batches):
                self._write(patience, batch, f"{sync}.{number}", doubtful)
                done += len(batch)
            for ids in _pieces(todo.deleted, DELETE_AT_ONCE):
                patience.call(functools.partial(self._delete, ids))
            self._wait_until_indexed(patience)
            patience.call(lambda: self._finish(sync, digest))
        except StoreAway as error:
            wanted = len(todo.changed)
            raise StoreAway(
                f"{error.problem} For {self._sync_seconds:.0f} seconds nothing could be stored: {done:,} of {wanted:,} "
                f"chunks were, {wanted - done:,} are left.",
                f"{error.fix} The next sync writes only what is left.",
            ) from None

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

        def ask(there: Collection) -> Found:
            objects = []
            if self._tenant.has_visibility(there) and all(allowed.values()):
                where = [*_among(allowed), *_among(seen_only(audience)), *_between(*bounds)]
                try:
                    objects = _query(there, text, vector, k, where, alpha)
                except WeaviateQueryError as error:
                    if OTHER_LENGTH not in str(error):
                        raise
                    # Another embedder's vectors have another length: that is told in its own words.
                    for properties in self._first(there):
                        self._refuse(properties, embedder)
                    raise
            return objects, [o.properties for o, _ in objects] or self._first(there)

        objects, told = self._tenant.ask("search", ask) or ([], [])
        for properties in told:
            self._refuse(properties, embedder)
        passages = [_passage(o, vector, hybrid) for o, hybrid in objects]
        return sorted(passages, key=lambda p: (-p.score, p.chunk_id))

    def erase(self, documents: Iterable[str]) -> int:
        def ask(there: Collection) -> int:
            where = Filter.by_property("doc_id").contains_any(sorted(documents))
            result = there.data.delete_many(where=where)
            if result.failed:
                raise TwinError(
                    f"Weaviate at {self._server.url} did not erase {result.failed} chunks.",
                    "see the server's log, and erase again.",
                )
            return int(result.successful)

        self._refuse_owner()
        return (self._tenant.ask("erase", ask) or 0) if documents else 0

    def count(self) -> int:

        def ask(there: Collection) -> int:
            # By what is stored: the server's lists of ids can keep one that it was killed while writing.
            marked = there.query.fetch_object_by_id(mark_id(self._persona), return_properties=[]) is not None
            return int(there.aggregate.over_all(total_count=True).total_count or 0) - marked

        return self._tenant.ask("count", ask) or 0

    def fingerprint(self) -> str | None:
        first = self._tenant.ask("fingerprint", self._first)
        return str(first[0]["embedder"]) if first else None

    def reset(self) -> None:
        # The whole tenant, since its index keeps the dimensions of the first vector it was given.
        self._refuse_owner()
        with self._server.explained("reset"):
            self._tenant.remove()

    def sleep(self) -> None:
        self._tenant.sleep()

    def close(self, *, broken: bool = False) -> None:
        self._tenant.close(broken=broken)

    def _refuse_owner(self) -> None:
        """Raises NotOurs when another platform wrote the tenant."""

        def ask(there: Collection) -> str:
            names = {p.name for p in there.config.get(simple=True).properties}
            mark = (
                there.query.fetch_object_by_id(mark_id(self._persona), return_properties=[OWNER])
                if OWNER in names
                else None
            )
            return str(mark.properties.get(OWNER) or "") if mark else ""

        if theirs := self._tenant.ask("open", ask):
            place = f"The index {self._name} on Weaviate at {self._server.url}"
            refuse_other(place, theirs, self._owner(), "TWIN_WEAVIATE_COLLECTION")

    def _first(self, there: Collection) -> list[Mapping[str, Any]]:
        """What some chunk says of its embedder and who may see it; nothing where there is none."""
        names = ["embedder", *(["visibility"] if self._tenant.has_visibility(there) else [])]
        two = there.query.fetch_objects(limit=2, return_properties=names).objects
        return [o.properties for o in two if o.uuid != mark_id(self._persona)][:1]

    def _refuse(self, properties: Mapping[str, Any], embedder: str) -> None:
        """Raises EmbedderMismatch, or BuiltBefore: the tenants share their properties, so that another persona's sync adds
        one that ours have no value of."""
        refuse_other_embedder(self._name, str(properties["embedder"]), embedder)
        refuse_without_visibility(self._name, properties.get("visibility") is not None)

    def _patience(self) -> Patience:
        return Patience(self._sync_seconds, lambda: self.close(broken=True))

    def _ask(self, call: Callable[[Collection], Result]) -> Result:
        """What `call` makes of the tenant, during a sync. TwinError when it is gone."""
        answers = self._tenant.ask("sync", lambda there: [call(there)])
        if answers is None:
            raise TwinError(f"The index {self._name} was removed meanwhile.", "sync again.")
        return answers[0]

    def _marked(self) -> tuple[str, Digest | None]:
        """What the mark says: the write that was begun last and not ended, "" for none; and all that a whole tenant holds."""

        def ask(there: Collection) -> str:
            mark = there.query.fetch_object_by_id(mark_id(self._persona), return_properties=[MADE])
            return str(mark.properties.get(MADE) or "") if mark else ""

        unfinished, whole, told = self._ask(ask).partition(":")
        return unfinished, Digest.read(told) if whole else None

    def _doubted_parts(
        self, patience: Patience, unfinished: str, held: Digest | None, wanted: Digest
    ) -> set[int] | None:
        """Parts of the tenant that have to be looked at, None for all of it: where no sync said what it holds, or
        it holds another number, or much differs."""
        if unfinished or held is None:
            return None
        parts = held.differing(wanted)
        if len(parts) > MOST_PARTS or patience.call(self.count) != held.total:
            return None
        return parts

    def _stored(self, patience: Patience, parts: set[int] | None, about: int) -> dict[int, str]:
        """What wrote every object of some parts, or of all, as MADE has it: "" where nothing says it. `about` so many are in all."""
        stored: dict[int, str] = {}
        for first, last in [(0, PARTS - 1)] if parts is None else runs(parts):
            after = UUID(int=first_of(first) - 1) if first else None
            likely = LEAST_READ + 2 * about * (last - first + 1) // PARTS
            most = READ_AT_ONCE if parts is None else min(READ_AT_ONCE, likely)
            while page := patience.call(functools.partial(self._page, after, most)):
                stored |= {o.uuid.int: str(o.properties.get(MADE) or "") for o in page}
                after = page[-1].uuid
                if part_of(after.int) > last:
                    break
        stored.pop(mark_id(self._persona).int, None)
        return stored if parts is None else {n: made for n, made in stored.items() if part_of(n) in parts}

    def _page(self, after: UUID | None, most: int) -> list[Any]:
        return self._ask(
            lambda there: [
                *there.query.fetch_objects(limit=most, after=after, return_properties=[MADE]).objects
            ]
        )

    def _findable(self, patience: Patience, chunks: Sequence[EmbeddedChunk]) -> bool:
        """Whether each of a sample of stored chunks is found by its own vector."""
        if chunks:
            self._wait_until_indexed(patience)
        return all(patience.call(functools.partial(self._finds, chunk)) for chunk in sample(chunks, SAMPLED))

    def _finds(self, chunk: EmbeddedChunk) -> bool:
        def near(there: Collection) -> list[Any]:
            try:
                found = there.query.near_vector(
                    near_vector=chunk.vector, limit=NEAREST, target_vector=VECTOR,
                    return_metadata=MetadataQuery(distance=True), return_properties=[MADE],
                )  # fmt: skip
            except WeaviateQueryError as error:
                if OTHER_LENGTH not in str(error):
                    raise
                return []
            return list(found.objects)

        itself = object_id(self._persona, chunk.chunk_id)
        # Of many chunks with one text any may be among the nearest.
        return any(o.uuid == itself or (o.metadata.distance or 0.0) <= SAME_VECTOR for o in self._ask(near))

    def _wait_until_indexed(self, patience: Patience) -> None:
        """Until the server's queue of vectors is empty, where it indexes after it has stored."""
        least, since = None, time.monotonic()
        while waiting := patience.call(self._queued):
            if least is None or waiting < least:
                least, since = waiting, time.monotonic()
            if time.monotonic() - since > self._sync_seconds:
                raise TwinError(
                    f"Weaviate at {self._server.url} has not indexed {waiting:,} vectors of {self._name} for "
                    f"{self._sync_seconds:.0f} seconds.",
                    "see the server's log, and sync again.",
                )
            time.sleep(QUEUE_LOOK_SECONDS)

    def _queued(self) -> int:
        """How many vectors wait, 1 where the server says only that some do."""

        def waiting(there: Collection) -> int:
            # Of a tenant this tells no number, but whether there is one; the nodes tell it to who may ask them.
            if all(s.status == READY and not s.vector_queue_size for s in there.config.get_shards()):
                return 0
            try:
                return max(self._tenant.queue_length(), 1)
            except (InsufficientPermissionsError, UnexpectedStatusCodeError):
                return 1

        return self._ask(waiting)

    def _remake(self) -> None:
        """The tenant anew and empty, since its index keeps the length of the first vector it was given."""
        with self._server.explained("sync"):
            self._tenant.remove()
            self._tenant.created()

    def _mark(self, made: str) -> DataObject[Any, Any]:
        """The mark, which says what is written now: all before it is whole. When nothing is, what the tenant holds."""
        return DataObject(properties={MADE: made, OWNER: self._owner()}, uuid=mark_id(self._persona))

    def _finish(self, sync: str, digest: Digest) -> None:
        """Say that the tenant is whole, unless another process has begun to write it: that one says it then."""
        unfinished, _ = self._marked()
        if unfinished.partition(".")[0] == sync:
            self._ask(lambda there: there.data.insert_many([self._mark(f":{digest.written()}")]))

    def _write(
        self, patience: Patience, chunks: Sequence[EmbeddedChunk], write_id: str, doubtful: bool
    ) -> None:
        """Store some chunks, which are removed first where it is in doubt how much of them is there. TwinError with the
        first reason when the server refuses one; none of those is left behind."""
        ids = [object_id(self._persona, c.chunk_id) for c in chunks]
        objects = [
            DataObject(properties=as_properties(c, write_id), uuid=i, vector={VECTOR: c.vector})
            for c, i in zip(chunks, ids, strict=True)
        ]
        objects.append(self._mark(write_id))

        def write(there: Collection) -> dict[int, str]:
            try:
                answer = there.data.insert_many(objects)
            except WeaviateInsertManyAllFailedError as error:
                failed = dict.fromkeys(range(len(objects)), str(error))
            else:
                failed = {n: told.message for n, told in answer.errors.items()}
            if changed := next((told for told in failed.values() if is_change(told)), None):
                raise Changed(changed)
            return failed

        def written() -> dict[int, str]:
            nonlocal doubtful
            if doubtful:
                # Weaviate leaves an object as it is that it has already, also where the vector index lacks it.
                self._delete(ids)
            doubtful = True
            return self._ask(write)

        failed = patience.call(written)
        failed.pop(len(ids), None)  # the mark, which stays as it was
        if failed:
            patience.call(lambda: self._delete([ids[n] for n in failed]))
            raise TwinError(
                f"Weaviate at {self._server.url} did not store {len(failed)} of {len(chunks)} chunks; "
                f"the first because: {next(iter(failed.values()))}",
                "mend that and sync again: what was stored stays, only the rest is written.",
            )

    def _delete(self, ids: Sequence[UUID]) -> None:
        result = self._ask(lambda there: there.data.delete_many(where=Filter.by_id().contains_any(ids)))
        if result.failed:
            raise TwinError(
                f"Weaviate at {self._server.url} did not delete {result.failed} of {len(ids)} chunks.",
                "see the server's log, and sync again.",
            )


def _pieces(items: list[Item], most: int) -> Iterator[list[Item]]:
    return (items[start : start + most] for start in range(0, len(items), most))


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
