"""Traces of requests for OpenTelemetry, where the settings name an address for them."""

from typing import TYPE_CHECKING

from twin_assets.settings import Settings

if TYPE_CHECKING:
    from twin_assets.core.tracing.export import RequestTracer


def open_tracer(settings: Settings, service: str) -> "RequestTracer | None":
    """What begins the spans of a service of that name; OpenTelemetry's SDK is imported only here. Raises TwinError for an address
    that is none."""
    if settings.traces_url is None:
        return None
    from twin_assets.core.tracing.export import RequestTracer

    return RequestTracer(settings, service)
