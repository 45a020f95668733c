"""One persona's tenant of a Weaviate collection: found, checked, woken and made, over a connection that others share."""

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from weaviate import WeaviateClient
from weaviate.classes.tenants import TenantActivityStatus
from weaviate.collections import Collection
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateBaseError

from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import NotOurs
from twin_assets.core.vectors.weaviate_connection import CONNECTIONS, WeaviateServer
from twin_assets.core.vectors.weaviate_schema import VECTOR, definition, properties, tenant_of

ASLEEP = (TenantActivityStatus.INACTIVE, TenantActivityStatus.COLD)
AWAKE = (TenantActivityStatus.ACTIVE, TenantActivityStatus.HOT)
# What the server says when what it was asked for sleeps, or was removed, since it was looked at.
NOT_ACTIVE = "tenant not active"
GONE = ("tenant not found", "could not find class", "shard not found")

Result = TypeVar("Result")


class Changed(WeaviateBaseError):
    """A part of an answer says that the tenant sleeps or is gone."""


class WeaviateTenant:
    """See `ask`. `name` is for errors: collection and tenant."""

    def __init__(self, server: WeaviateServer, collection: str, persona: str) -> None:
        self.server, self.collection, self.tenant = server, collection, tenant_of(persona)
        self.name = f"{collection}/{self.tenant}"
        self._uses = False
        self._seen = self._complete = False
        self._lock = Lock()

    def ask(self, doing: str, call: Callable[[Collection], Result]) -> Result | None:
        """What `call` makes of the tenant; None where there is none. Raises TwinError.

        A tenant that fell asleep is woken, and one that was removed looked for anew.
        """
        with self.server.explained(doing):
            there = self.opened()
            if there is None:
                return None
            try:
                return call(there)
            except WeaviateBaseError as error:
                if not is_change(str(error)):
                    raise
            self._seen = False
            there = self.opened()
            return None if there is None else call(there)

    def opened(self) -> Collection | None:
        """The tenant, awake; None when there is none. Raises NotOurs, and TwinError for one that can't be woken here."""
        collections = self.client().collections
        whole = collections.use(self.collection)
        if not self._seen:
            if not collections.exists(self.collection):
                return None
            self._check(whole)
            self._seen = self._wake(whole)
        return whole.with_tenant(self.tenant) if self._seen else None

    def created(self) -> Collection:
        """The tenant, with every property that a chunk has today; made where there is none."""
        collections = self.client().collections
        if not collections.exists(self.collection):
            try:
                collections.create(**definition(self.collection))
            except UnexpectedStatusCodeError:
                if not collections.exists(self.collection):  # else another process was quicker
                    raise
        whole = collections.use(self.collection)
        self._check(whole)
        names = {p.name for p in whole.config.get(simple=True).properties}
        for missing in (p for p in properties() if p.name not in names):
            whole.config.add_property(missing)
        if not self._wake(whole):
            whole.tenants.create([self.tenant])
        self._seen = True
        return whole.with_tenant(self.tenant)

    def queue_length(self) -> int:
        """How many vectors of the tenant wait to be indexed, on all nodes."""
        nodes = self.client().cluster.nodes(self.collection, output="verbose")
        shards = [shard for node in nodes for shard in node.shards or [] if shard.name == self.tenant]
        return sum(shard.vector_queue_length for shard in shards)

    def remove(self) -> None:
        """The tenant with all that it holds, asleep or not."""
        collections = self.client().collections
        if collections.exists(self.collection):
            whole = collections.use(self.collection)
            self._check(whole)
            whole.tenants.remove([self.tenant])
        self._seen = False

    def sleep(self) -> None:
        """Out of the server's memory; the next question wakes it."""
        with self.server.explained("sleep"):
            if self.opened() is not None:
                self.client().collections.use(self.collection).tenants.deactivate([self.tenant])
                self._seen = False

    def has_visibility(self, there: Collection) -> bool:
        """Whether the collection knows who may see a chunk; it never forgets it again."""
        if not self._complete:
            self._complete = "visibility" in {p.name for p in there.config.get(simple=True).properties}
        return self._complete

    def client(self) -> WeaviateClient:
        with self._lock:
            if not self._uses:
                self._uses = True
                CONNECTIONS.use(self.server)
        return CONNECTIONS.client(self.server)

    def close(self, *, broken: bool = False) -> None:
        with self._lock:
            if broken:
                CONNECTIONS.give_up(self.server)
            if self._uses:
                self._uses = False
                CONNECTIONS.release(self.server)

    def _wake(self, whole: Collection) -> bool:
        """Whether there is such a tenant; awake then."""
        if not whole.tenants.exists(self.tenant):
            return False
        found = whole.tenants.get_by_name(self.tenant)
        if found is None or found.activity_status in AWAKE:
            return found is not None
        if found.activity_status not in ASLEEP:
            raise TwinError(
                f"The index {self.name} is {found.activity_status.value} on Weaviate at {self.server.url}.",
                "set its tenant to ACTIVE, and wait until the server has fetched it from its cold storage.",
            )
        whole.tenants.activate([self.tenant])
        return True

    def _check(self, whole: Collection) -> None:
        """Raises NotOurs unless the collection is made as ours are."""
        config = whole.config.get()
        wrong = _unlike_ours(config)
        if wrong:
            raise NotOurs(
                f"The collection {self.collection} on Weaviate at {self.server.url} {wrong}: it is not the twin's.",
                "set TWIN_WEAVIATE_COLLECTION to a name that nobody uses, or remove that collection.",
            )


def is_change(text: str) -> bool:
    """Whether the server says that a tenant sleeps or is gone."""
    return any(told in text for told in (NOT_ACTIVE, *GONE))


def _unlike_ours(config: Any) -> str | None:
    if not config.multi_tenancy_config.enabled:
        return "has no multi-tenancy"
    vectors = config.vector_config or {}
    if VECTOR not in vectors:
        return f"has no vector {VECTOR!r}"
    distance = getattr(vectors[VECTOR].vector_index_config, "distance_metric", None)
    if getattr(distance, "value", distance) not in ("cosine", None):
        return f"measures its vectors by {getattr(distance, 'value', distance)}, not by cosine"
    vectorizer = vectors[VECTOR].vectorizer.vectorizer
    if getattr(vectorizer, "value", vectorizer) != "none":
        return f"has vectors of {getattr(vectorizer, 'value', vectorizer)}"
    return None
