"""A collector of traces on loopback that speaks OTLP over HTTP: it decodes the real protobuf, and is ill or slow on demand."""

import gzip
import threading
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback
from tests.support.machine import until


class Collected(NamedTuple):
    """A span as it was sent. Times are in nanoseconds; `failed` says whether its status is an error."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    start: int
    end: int
    attributes: dict[str, Any]
    failed: bool
    told: str


class OtlpDouble(Loopback):
    """`spans` are all that came, `asked` the headers of each request. `status` is what is answered, `hold` makes answers wait."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Collected] = []
        self.asked: list[dict[str, str]] = []
        self.paths: set[str] = set()
        self.status, self.raw, self._seen = 200, b"", set[str]()
        self.hold = threading.Event()
        self.hold.set()

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        self.asked.append(headers)
        self.paths.add(target)
        self.hold.wait(120)
        if self.status == 200:
            self._take(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
        reply = ExportTraceServiceResponse().SerializeToString()
        return Answer(self.status, {"Content-Type": "application/x-protobuf"}, reply)

    def _take(self, body: bytes) -> None:
        self.raw += body
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            service = {a.key: _value(a.value) for a in resource.resource.attributes}["service.name"]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                told = Collected(
                    service, span.name, span.kind, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                    span.start_time_unix_nano, span.end_time_unix_nano, {a.key: _value(a.value) for a in span.attributes},
                    span.status.code == span.status.STATUS_CODE_ERROR, span.status.message,
                )  # fmt: skip
                self.spans.append(told)

    def trace(self, first: str) -> list[Collected]:
        """All spans of the next trace whose first span has that name, waited for: that one ends last, and is sent last."""
        root = until(
            lambda: next((s for s in self.spans if s.name == first and s.trace not in self._seen), None),
            f"the span {first}",
        )
        self._seen.add(root.trace)
        return [s for s in self.spans if s.trace == root.trace]


def tree(spans: list[Collected]) -> dict[str, list[str]]:
    """Names of children by their parent's, in the order of their beginnings; only of parents that have some."""
    names = {s.id: s.name for s in spans}
    children: dict[str, list[str]] = {}
    for s in sorted(spans, key=lambda s: (s.start, s.name)):
        if s.parent in names:
            children.setdefault(names[s.parent], []).append(s.name)
    return children


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None
