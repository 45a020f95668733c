"""A small Weaviate in memory, on real sockets: REST for the schema, gRPC for objects and searches.

It speaks the wire format with the stubs that weaviate-client brings, and refuses what a server would:
unknown tenants, unknown properties, a vector of other dimensions, a wrong key. BM25 is word counting.
"""

import json
import re
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from uuid import UUID

import grpc
import numpy as np
from google.protobuf.json_format import MessageToDict
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    properties_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

HNSW = {
    "cleanupIntervalSeconds": 300, "dynamicEfMin": 100, "dynamicEfMax": 500, "dynamicEfFactor": 8, "ef": -1,
    "efConstruction": 128, "flatSearchCutoff": 40000, "maxConnections": 32, "skip": False,
    "vectorCacheMaxObjects": 1000000000000,
}  # fmt: skip


TENANCY = {"autoTenantActivation": False, "autoTenantCreation": False, "enabled": False}
DEFAULTS: dict[str, Any] = {
    "invertedIndexConfig": {
        "bm25": {"b": 0.75, "k1": 1.2}, "cleanupIntervalSeconds": 60, "usingBlockMaxWAND": True,
        "stopwords": {"additions": None, "preset": "en", "removals": None},
    },
    "shardingConfig": {
        "actualCount": 0, "actualVirtualCount": 0, "desiredCount": 0, "desiredVirtualCount": 0, "function": "", "key": "",
        "strategy": "", "virtualPerPhysical": 0,
    },
    "replicationConfig": {"deletionStrategy": "TimeBasedResolution", "factor": 1, "asyncEnabled": False},
}  # fmt: skip
OTHER_LENGTH = "vector index: validate vector: new node has a vector with length {}. Existing nodes have vectors with length {}"


FORBIDDEN = "rbac: authorization, forbidden action: user 'reader' has insufficient permissions to update_data"


class Double:
    """What the server holds: collections by name, and objects by collection, tenant and id."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.schema: dict[str, dict[str, Any]] = {}
        self.tenants: dict[tuple[str, str], dict[UUID, tuple[dict[str, Any], np.ndarray]]] = {}
        self.http_port = self.grpc_port = 0
        self.activity: dict[tuple[str, str], str] = {}
        """Of tenants that are not ACTIVE, or were not once."""
        self.unindexed: dict[tuple[str, str], set[UUID]] = {}
        """Objects whose vectors no search by vector finds, by collection and tenant."""
        self.indexed_per_look: int | None = None
        """Asynchronous indexing, as Weaviate Cloud has it: so many vectors are indexed with each look at the queue."""
        self.refused: dict[UUID, str] = {}
        """What is said of objects that can't be indexed: they are stored all the same."""
        self.queue_stands = self.read_only = False
        self.searches = 0
        self.listed = 0  # objects told by their ids
        self.on_batch: Callable[[dict[UUID, Any]], object] | None = (
            None  # with a tenant's objects, after chunks were stored
        )
        self.batches_to_live: int | None = None
        self.batches = 0
        self.awake, self.dead = Event(), Event()
        self.awake.set()
        self._rest: ThreadingHTTPServer | None = None
        self._rpc: Any = None

    def start(self, *, with_grpc: bool = True) -> None:
        """Listen, again on the same ports after `die`."""
        self.dead.clear()
        self._rest = ThreadingHTTPServer(("127.0.0.1", self.http_port), handler(self))
        self._rpc = grpc.server(ThreadPoolExecutor(16))
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(Grpc(self), self._rpc)
        self.http_port = self._rest.server_port
        self.grpc_port = self._rpc.add_insecure_port(f"127.0.0.1:{self.grpc_port}")
        Thread(target=self._rest.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        if with_grpc:
            self._rpc.start()
        else:
            self._rpc.stop(None).wait()

    def die(self) -> None:
        """As `kill -9`: what is asked breaks off, and both ports are closed. What was stored stays."""
        assert self._rest is not None
        self.dead.set()
        self._rpc.stop(None).wait()
        self._rest.shutdown()
        self._rest.server_close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """As SIGSTOP: connections are made, and nothing is answered; what was asked is done afterwards."""
        self.awake.clear()
        try:
            yield
        finally:
            self.awake.set()

    def create(self, definition: dict[str, Any]) -> dict[str, Any]:
        for prop in definition["properties"]:
            prop.setdefault("indexFilterable", True)
        for vector in definition.get("vectorConfig", {}).values():
            vector["vectorIndexConfig"] = HNSW | vector["vectorIndexConfig"]
        definition["multiTenancyConfig"] = TENANCY | definition.get("multiTenancyConfig", {})
        self.schema[definition["class"]] = DEFAULTS | definition
        return self.schema[definition["class"]]

    def forget_property(self, collection: str, name: str) -> None:
        """As if the collection had been made before chunks had that field."""
        properties = self.schema[collection]["properties"]
        self.schema[collection]["properties"] = [p for p in properties if p["name"] != name]
        for (owner, _), objects in self.tenants.items():
            for props, _ in objects.values() if owner == collection else ():
                props.pop(name, None)

    def node(self, collection: str) -> dict[str, Any]:
        """The one node, verbose: what waits to be indexed."""
        shards = [
            {
                "class": collection, "name": tenant, "objectCount": len(objects), "compressed": False, "loaded": True,
                "vectorIndexingStatus": "READY", "vectorQueueLength": len(self.unindexed.get((owner, tenant), ())),
            }
            for (owner, tenant), objects in self.tenants.items() if owner == collection
        ]  # fmt: skip
        stats = {"objectCount": 0, "shardCount": len(shards)}
        told = {"name": "double", "gitHash": "", "version": "1.39.0", "status": "HEALTHY"}
        return told | {"shards": shards, "stats": stats, "batchStats": {"queueLength": 0, "ratePerSecond": 0}}

    def kinds(self, collection: str) -> dict[str, str]:
        return {p["name"]: p["dataType"][0] for p in self.schema[collection]["properties"]}

    def rest(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and answer of one REST call."""
        path, _, query = path.partition("?")
        parts = path.removeprefix("/v1/").split("/")
        if parts[0] == "meta":
            return 200, {"version": "1.39.0", "hostname": "double", "modules": {}}
        if parts[0] == "nodes":
            return 200, {"nodes": [self.node(parts[1])]}
        if parts[0] != "schema":
            return 404, {}
        if method == "POST" and len(parts) == 1:
            if body["class"] in self.schema:
                return 422, {"error": [{"message": "class name already exists"}]}
            return 200, self.create(body)
        name = parts[1]
        if name not in self.schema:
            return 404, {}
        if parts[2:] == ["properties"]:
            self.schema[name]["properties"].append({"indexFilterable": True} | body)
            return 200, body
        if parts[2:] == ["shards"]:
            tenant = query.removeprefix("tenant=")
            if self.activity.get((name, tenant), "ACTIVE") != "ACTIVE":
                text = f"shard {tenant}: status code: 500 body: (local {tenant} shard not found\n)"
                return 500, {"error": [{"message": text}]}
            waiting = self.unindexed.get((name, query.removeprefix("tenant=")), set())
            told = bool(waiting) and self.indexed_per_look is not None
            for i in list(waiting)[: 0 if self.queue_stands else self.indexed_per_look or 0]:
                waiting.remove(i)
            status = "INDEXING" if told else "READY"  # of a tenant the server tells no number here
            return 200, [{"name": tenant, "status": status, "vectorQueueSize": 0}]
        if parts[2:3] == ["tenants"] and method == "HEAD":
            return (200 if (name, parts[3]) in self.tenants else 404), None
        if parts[2:3] == ["tenants"] and method == "GET":
            if (name, parts[3]) not in self.tenants:
                return 404, {"error": [{"message": f'tenant "{parts[3]}" not found'}]}
            return 200, {"name": parts[3], "activityStatus": self.activity.get((name, parts[3]), "ACTIVE")}
        if parts[2:] == ["tenants"] and method == "PUT":
            for tenant in body:
                status = tenant["activityStatus"]  # the client still sends the words of before
                self.activity[name, tenant["name"]] = {"HOT": "ACTIVE", "COLD": "INACTIVE"}.get(
                    status, status
                )
            return 200, body
        if parts[2:] == ["tenants"]:
            for tenant in body:
                if method == "DELETE":
                    self.tenants.pop((name, tenant), None)
                    self.unindexed.pop((name, tenant), None)
                    self.activity.pop((name, tenant), None)
                elif re.fullmatch(r"[A-Za-z0-9_-]{4,64}", tenant["name"]):
                    self.tenants.setdefault((name, tenant["name"]), {})
                else:
                    return 422, {"error": [{"message": "invalid tenant name"}]}
            return 200, body
        return 200, self.schema[name]


class Grpc(weaviate_pb2_grpc.WeaviateServicer):
    def __init__(self, double: Double) -> None:
        self.double = double

    def _objects(self, request: Any, context: Any) -> dict[UUID, tuple[dict[str, Any], np.ndarray]]:
        self.double.awake.wait()
        key = dict(context.invocation_metadata()).get("authorization")
        if self.double.key and key != f"Bearer {self.double.key}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "unauthorized: invalid api key")
        if request.collection not in self.double.schema:
            context.abort(grpc.StatusCode.UNKNOWN, f"could not find class {request.collection} in schema")
        if self.double.activity.get((request.collection, request.tenant), "ACTIVE") != "ACTIVE":
            context.abort(grpc.StatusCode.UNKNOWN, f"tenant not active: '{request.tenant}'")
        found = self.double.tenants.get((request.collection, request.tenant))
        if found is None:
            context.abort(grpc.StatusCode.UNKNOWN, f'tenant not found: "{request.tenant}"')
        return found  # type: ignore[return-value]

    def BatchObjects(self, request: Any, context: Any) -> Any:
        if self.double.read_only:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, FORBIDDEN)
        self.double.batches += any(new.vectors for new in request.objects)
        if self.double.batches_to_live is not None and self.double.batches > self.double.batches_to_live:
            self.double.batches_to_live = None
            Thread(target=self.double.die).start()
            self.double.dead.wait()
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        reply = batch_pb2.BatchObjectsReply()
        for index, new in enumerate(request.objects):
            objects = self._objects(new, context)
            props = MessageToDict(new.properties.non_ref_properties)
            vector = unpack(new.vectors[0].vector_bytes if new.vectors else b"")
            i, unindexed = (
                UUID(new.uuid),
                self.double.unindexed.setdefault((new.collection, new.tenant), set()),
            )
            dimensions = next((len(v) for _, v in objects.values() if len(v)), len(vector))
            if unknown := set(props) - set(self.double.kinds(new.collection)):
                reply.errors.add(index=index, error=f"no such properties: {unknown}")
                continue
            known = i in objects and np.array_equal(objects[i][1], vector)
            objects[i] = ({k: v for k, v in props.items() if v is not None}, vector)
            # The server stores first and indexes then: an object that it refuses stays, in no index.
            if len(vector) and len(vector) != dimensions:
                unindexed.add(i)
                reply.errors.add(index=index, error=OTHER_LENGTH.format(len(vector), dimensions))
            elif reason := self.double.refused.get(i):
                unindexed.add(i)
                reply.errors.add(index=index, error=reason)
            elif self.double.indexed_per_look and not known:
                unindexed.add(i)
            elif (
                not known
            ):  # a vector that it has already is not indexed again, whether it is in the index or not
                unindexed.discard(i)
        if self.double.on_batch and any(new.vectors for new in request.objects):
            self.double.on_batch(self._objects(request.objects[0], context))
        return reply

    def BatchDelete(self, request: Any, context: Any) -> Any:
        objects = self._objects(request, context)
        doomed = [i for i, (props, _) in objects.items() if matches(request.filters, i, props)]
        for i in doomed:
            del objects[i]
            self.double.unindexed.get((request.collection, request.tenant), set()).discard(i)
        return batch_delete_pb2.BatchDeleteReply(matches=len(doomed), successful=len(doomed))

    def Aggregate(self, request: Any, context: Any) -> Any:
        objects = self._objects(request, context)
        count = sum(matches(request.filters, i, props) for i, (props, _) in objects.items())
        return aggregate_pb2.AggregateReply(single_result={"objects_count": count})

    def Search(self, request: Any, context: Any) -> Any:
        objects = self._objects(request, context)
        self.double.searches += 1
        kept = {i: o for i, o in sorted(objects.items()) if matches(request.filters, i, o[0])}
        scores: dict[UUID, float] = {}
        unindexed = self.double.unindexed.get((request.collection, request.tenant), set())
        in_index = {i: o for i, o in kept.items() if len(o[1]) and i not in unindexed}
        if request.HasField("hybrid_search"):
            query = request.hybrid_search
            near = relative(nearness(in_index, unpack(query.vector_bytes), context))
            words = relative(word_counts(kept, query.query, query.properties))
            sides = [(near, query.alpha), (words, 1 - query.alpha)]
            for side, weight in sides:
                for i, score in side.items() if weight > 0 else ():
                    scores[i] = scores.get(i, 0.0) + weight * score
            kept = {i: kept[i] for i in sorted(scores, key=lambda i: -scores[i])}
        elif request.HasField("near_vector"):
            near = nearness(in_index, unpack(request.near_vector.vectors[0].vector_bytes), context)
            kept = {i: kept[i] for i in sorted(near, key=lambda i: -near[i])}
        elif request.after:
            kept = {i: o for i, o in kept.items() if i > UUID(request.after)}
        reply, kinds = search_get_pb2.SearchReply(), self.double.kinds(request.collection)
        told = list(kept.items())[: request.limit or 10]
        if not request.HasField("hybrid_search") and not request.HasField("near_vector"):
            self.double.listed += len(told)
        for i, (props, vector) in told:
            result = reply.results.add()
            result.metadata.id_as_bytes = i.bytes
            if request.metadata.creation_time_unix:
                result.metadata.creation_time_unix, result.metadata.creation_time_unix_present = 1, True
                result.metadata.last_update_time_unix, result.metadata.last_update_time_unix_present = 1, True
            if request.metadata.distance:
                result.metadata.distance, result.metadata.distance_present = 1 - near[i], True
            if request.metadata.score:
                result.metadata.score, result.metadata.score_present = scores[i], True
            if request.metadata.vector or request.metadata.vectors:
                packed = struct.pack(f"<{len(vector)}f", *vector)
                single = base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32
                result.metadata.vectors.add(name="default", vector_bytes=packed, type=single)
            for name in request.properties.non_ref_properties:
                result.properties.non_ref_props.fields[name].CopyFrom(value(kinds[name], props.get(name)))
        return reply


def unpack(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype="<f4")


def value(kind: str, content: Any) -> Any:
    if content is None:
        return properties_pb2.Value(null_value=0)  # type: ignore[arg-type]
    if kind == "int":
        return properties_pb2.Value(int_value=int(content))
    if kind == "date":  # as Go writes times: Z, and no zeros at the end of a fraction
        time = datetime.fromisoformat(content).astimezone(UTC)
        fraction = f".{time.microsecond:06d}".rstrip("0").rstrip(".")
        return properties_pb2.Value(date_value=f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z")
    return properties_pb2.Value(text_value=content)


def matches(f: Any, object_id: UUID, props: dict[str, Any]) -> bool:
    kind = base_pb2.Filters
    if f.operator == kind.OPERATOR_UNSPECIFIED:
        return True
    if f.operator == kind.OPERATOR_AND:
        return all(matches(inner, object_id, props) for inner in f.filters)
    if f.operator in (kind.OPERATOR_GREATER_THAN_EQUAL, kind.OPERATOR_LESS_THAN):
        found = props.get(f.target.property)
        if found is None:
            return False
        stored, bound = datetime.fromisoformat(found), datetime.fromisoformat(f.value_text)
        return stored >= bound if f.operator == kind.OPERATOR_GREATER_THAN_EQUAL else stored < bound
    if f.operator == kind.OPERATOR_NOT_EQUAL and f.target.property == "_id":
        return str(object_id) != f.value_text
    if f.operator not in (kind.OPERATOR_EQUAL, kind.OPERATOR_CONTAINS_ANY):
        raise NotImplementedError(f.operator)
    allowed = list(f.value_text_array.values) or [f.value_text]
    name = f.target.property
    return (str(object_id) if name == "_id" else props.get(name)) in allowed


def nearness(objects: dict[UUID, Any], vector: np.ndarray, context: Any) -> dict[UUID, float]:
    for _, stored in objects.values():
        if len(stored) != len(vector):
            context.abort(grpc.StatusCode.UNKNOWN, "vector lengths don't match")
    norm = float(np.linalg.norm(vector)) or 1.0
    return {i: float(stored @ vector) / norm for i, (_, stored) in objects.items()}


def word_counts(objects: dict[UUID, Any], query: str, fields: Any) -> dict[UUID, float]:
    def words(field: str, text: object) -> list[str]:
        lower = str(text or "").lower()
        return lower.split() if field == "words" else re.findall(r"\w+", lower)  # LOWERCASE and WORD

    counts = {
        i: float(sum(w in set(words(f, query)) for f in fields for w in words(f, props.get(f))))
        for i, (props, _) in objects.items()
    }
    return {i: n for i, n in counts.items() if n}


def relative(scores: dict[UUID, float]) -> dict[UUID, float]:
    low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    return {i: (s - low) / (high - low) if high > low else 1.0 for i, s in scores.items()}


def handler(double: Double) -> type[BaseHTTPRequestHandler]:
    class Rest(BaseHTTPRequestHandler):
        def answer(self) -> None:
            double.awake.wait()
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if double.key and self.headers.get("authorization") != f"Bearer {double.key}":
                status, reply = 401, {"error": [{"message": "unauthorized: invalid api key"}]}
            else:
                status, reply = double.rest(self.command, self.path, body)
            data = b"" if reply is None else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            pass

    return Rest


@contextmanager
def running(key: str | None = None, *, with_grpc: bool = True) -> Iterator[Double]:
    """A double on two free loopback ports; without gRPC, that port is closed."""
    double = Double(key)
    double.start(with_grpc=with_grpc)
    try:
        yield double
    finally:
        double.awake.set()
        if not double.dead.is_set():
            double.die()
