"""BentoML answers only probes itself, with nothing in them. All else is for our application and its guard."""

from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

# An orchestrator asks these without a key: the process lives, and has started.
PROBES = ("/livez", "/readyz", "/healthz")


def only_probes(ours: ASGIApp) -> Callable[[Any], Any]:
    """Decorates a BentoML service: all that it is asked beside probes goes to the application `ours`."""

    def guard(service: Any) -> Any:
        service.add_asgi_middleware(OnlyProbes, ours=ours)
        return service

    return guard


class OnlyProbes:
    """The middleware, which keeps BentoML's own pages and its 404 from being reached.

    BentoML matches its descriptions and metrics before a mounted application, and what that has no route for after it;
    neither would ask for a key.
    """

    def __init__(self, app: ASGIApp, ours: ASGIApp) -> None:
        self.app, self.ours = app, ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bentoml = scope["type"] == "lifespan" or scope["path"] in PROBES
        await (self.app if bentoml else self.ours)(scope, receive, send)
