"""Spans to an OTLP/HTTP address, by OpenTelemetry's SDK. Imported only where a service traces.

Spans wait in a queue of a fixed length and are sent by a thread of its own: a collector that is away or slow costs spans, and no
request waits for it.
"""

import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from twin_assets.core.errors import TwinError
from twin_assets.core.tracing.spans import Attribute, Kind, Span
from twin_assets.settings import Settings

WAITING_SPANS, BATCH, EVERY_SECONDS = 2048, 256, 2.0
EXPORT_SECONDS = 3.0  # for a batch, further attempts included
CLOSE_SECONDS = 5.0
LONGEST_VALUE = 100_000  # characters of an attribute
PATH = "/v1/traces"  # where OTLP/HTTP has them, unless an address says otherwise

_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}
_propagator = TraceContextTextMapPropagator()


class RequestTracer:
    """Begins the first span of a request, and sends what ended."""

    def __init__(self, settings: Settings, service: str) -> None:
        """Raises TwinError for an address that is none."""
        assert settings.traces_url is not None
        self._texts = settings.traces_texts
        headers = {name: value.get_secret_value() for name, value in settings.traces_headers.items()}
        exporter = OTLPSpanExporter(
            endpoint=_endpoint(settings.traces_url), headers=headers, timeout=EXPORT_SECONDS
        )
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}),
            span_limits=SpanLimits(max_span_attribute_length=LONGEST_VALUE),
            shutdown_on_exit=False,  # it would wait for half a minute
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, WAITING_SPANS, EVERY_SECONDS * 1000, BATCH)
        )
        self._tracer = self._provider.get_tracer("llm-twin")

    def request(self, name: str, traceparent: str | None = None) -> Span:
        """The first span of a request, below that of whoever asks where `traceparent` names it; anything else there is no news."""
        parent = _propagator.extract({"traceparent": traceparent}) if traceparent else None
        told = self._tracer.start_span(name, context=parent, kind=SpanKind.SERVER)
        return _SdkSpan(self._tracer, told, self._texts)

    def close(self) -> None:
        """Send what waits; what is not taken by then is lost."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True, name="last spans")
        sending.start()
        sending.join(CLOSE_SECONDS)


class _SdkSpan:
    """`Span`, of the SDK."""

    def __init__(self, tracer: OtelTracer, told: OtelSpan, texts: bool) -> None:
        self._tracer, self._told, self.texts = tracer, told, texts

    def child(self, name: str, kind: Kind = "internal") -> Span:
        told = self._tracer.start_span(name, context=set_span_in_context(self._told), kind=_KINDS[kind])
        return _SdkSpan(self._tracer, told, self.texts)

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._told.set_attribute(name, value)

    def fail(self, error: BaseException) -> None:
        self._told.set_attribute("error.type", type(error).__name__)
        self._told.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._told.end()

    def headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(self._told))
        return carrier


def _endpoint(url: str) -> str:
    """The address that spans are posted to. Raises TwinError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise TwinError(
            "TWIN_TRACES_URL is no address of OTLP over HTTP.",
            "set it to one like http://127.0.0.1:4318, or unset it.",
        )
    if parts.username or parts.password or parts.query:
        raise TwinError(
            "TWIN_TRACES_URL holds a user or a query, which would be read in logs.",
            'put the key into TWIN_TRACES_HEADERS, like {"Authorization": "Basic ..."}.',
        )
    return parts._replace(path=PATH, fragment="").geturl() if parts.path in ("", "/") else url
