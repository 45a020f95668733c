"""A route declares on itself what it asks of its requests: `@needs("chat", queued=True)` below `@router.post`.

The guard (`middleware.Access`) reads it before it reads the body. A route that declares nothing is for admins only, as
is a path that no route has.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, compile_path

from serving.access.keys import Action
from twin_assets.settings import Settings

ANYONE: Literal["anyone"] = "anyone"
# Of the LLM service: its own key, or this machine where it has none.
ENGINE_KEY: Literal["engine key"] = "engine key"

_DECLARED = "__twin_needs__"
T = TypeVar("T")


@dataclass(frozen=True)
class Needs:
    """The guard does this with requests to a route.

    `action` is what a key must be good for; ANYONE needs none. `queued` requests keep a thread and an engine busy, so
    they wait for their turn; all others are quick. The body of an `upload` is a file, which the route reads as it comes.
    `most_bytes` is the limit of the body where the settings' is too much. Answers that may be `cached` hold nobody's
    words; without `logged` a request has no line in the access log.
    """

    action: Action | Literal["anyone", "engine key"]
    queued: bool = False
    upload: bool = False
    most_bytes: int | None = None
    cached: bool = False
    logged: bool = True

    def limit(self, settings: Settings) -> int:
        """Bytes that the body may have."""
        if self.upload:
            return settings.upload_max_mb * 1_000_000
        return self.most_bytes or settings.max_request_bytes


UNDECLARED = Needs("admin")


def needs(action: Action | Literal["anyone", "engine key"], **how: Any) -> Callable[[T], T]:
    """Declares what an endpoint, or a mounted application, needs; `how` are fields of Needs."""

    def declare(endpoint: T) -> T:
        setattr(endpoint, _DECLARED, Needs(action, **how))
        return endpoint

    return declare


class Declared(NamedTuple):
    """A route, and what it declares. `methods` is None for a mounted application, which takes all."""

    path: str
    methods: frozenset[str] | None
    needs: Needs | None


def declared(app: FastAPI) -> Iterator[Declared]:
    """Every route of the application, in the order in which they are tried."""
    for route in iter_route_contexts(app.routes):
        mounted = isinstance(route.original_route, Mount)
        needs = getattr(route.app if mounted else route.endpoint, _DECLARED, None)
        path = f"{route.path}/{{path:path}}" if mounted else str(route.path)
        yield Declared(path, None if mounted else frozenset(route.methods or ()), needs)


class NeedsOf:
    """Looks up what a request needs, in a table that is made once: a look goes before every request."""

    def __init__(self, app: FastAPI) -> None:
        self._routes = [
            (compile_path(path)[0], methods, needs or UNDECLARED) for path, methods, needs in declared(app)
        ]

    def __call__(self, method: str, path: str) -> Needs:
        """Of the route that will answer. A method that the path does not have needs what the path's first route does."""
        other: Needs | None = None
        for pattern, methods, needs in self._routes:
            if pattern.match(path):
                if methods is None or method in methods:
                    return needs
                other = other or replace(needs, queued=False, upload=False)
        return other or UNDECLARED

    def methods(self, path: str) -> frozenset[str]:
        """Those of all routes that are declared with the path of the first one that fits; none of a mounted application."""
        first = next((pattern for pattern, *_ in self._routes if pattern.match(path)), None)
        return frozenset[str]().union(*(methods or () for one, methods, _ in self._routes if one == first))
