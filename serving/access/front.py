"""The guard of Dagster's webserver and of the LLM service, which have none of their own: who may ask, and from which page.

A browser sends requests of any site to any address, with the session of whom it belongs to. So what names another
site is refused, whoever is logged in; a change must be JSON, which a form and an image can't send unasked; and the name
asked for must be one of ours, or a site whose name was made to lead here (DNS rebinding) would pass for our own.
"""

from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access.this_machine import is_address, name_of, names_this_machine
from serving.refusal import refusal

# Others that are not known here go on to the application, which has no route for them.
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
POLICY_VIOLATION = (
    1008  # what a websocket is closed with: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
)

# The caller, as records name them; or the answer to somebody who may not ask.
Admit = Callable[[HTTPConnection], str | Response]


class Front:
    """The middleware, for requests and websockets.

    `hosts` are names that it answers to besides this machine's own and addresses; below `open_paths` nobody is asked
    who they are; `form_paths` take what a form of our own page sends. Whom `admit` names is in `request.state.caller`.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        admit: Admit,
        open_paths: Collection[str] = (),
        form_paths: Collection[str] = (),
    ) -> None:
        self.app, self.admit = app, admit
        self.hosts = {name_of(host) for host in hosts}
        self.open_paths, self.form_paths = frozenset(open_paths), frozenset(form_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        caller = self._foreign(request) or (
            "anyone" if scope["path"] in self.open_paths else self.admit(request)
        )
        if isinstance(caller, str):
            request.state.caller = caller
            await self.app(scope, receive, _unframed(send))
        elif scope["type"] == "http":
            await caller(scope, receive, _unframed(send))
        else:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "not allowed"})

    def _foreign(self, request: HTTPConnection) -> Response | None:
        """The refusal of what no page or program of ours would send."""
        scope, host = request.scope, request.headers.get("host", "")
        if not (names_this_machine(host) or is_address(host) or name_of(host) in self.hosts):
            return refusal(
                403,
                "ForeignHost",
                f"This service does not go by the name {name_of(host)[:100]!r}.",
                "ask by localhost or an IP address, or list the name in TWIN_ALLOWED_HOSTS.",
            )
        if is_of_another_site(request, host):
            return refusal(
                403,
                "ForeignRequest",
                "Another site asked for this.",
                "use the page itself; a proxy in front must pass on the Host header that it got.",
            )
        changes = scope["type"] == "http" and scope["method"] in CHANGES
        typed = is_json(request) or scope["path"] in self.form_paths
        if changes and not typed and _is_taken(scope):
            return refusal(
                415, "NotJson", "A change must be sent as JSON.", "send Content-Type: application/json."
            )
        return None


def is_json(request: HTTPConnection) -> bool:
    """Whether the body is said to be JSON, in whatever character set."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == "application/json"


def _is_taken(scope: Scope) -> bool:
    """Whether a route takes the request: what none would take is told that by the application, and changes nothing."""
    app = scope.get("app")
    return app is None or any(route.matches(scope)[0] is Match.FULL for route in app.routes)


def is_of_another_site(request: HTTPConnection, host: str) -> bool:
    """By what browsers say of where a request comes from; programs say nothing.

    Whoever follows a link opens a page of ours as a whole (`document`), which changes nothing and shows that site nothing.
    """
    headers, scope = request.headers, request.scope
    origin = headers.get("origin")
    if origin is not None and _host_of(origin) != host.lower():
        return True
    follows_link = (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not follows_link


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _unframed(send: Send) -> Send:
    """Answers that no other site can show in a frame, where a click would be a click on our buttons."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("X-Frame-Options", "SAMEORIGIN")
        await send(message)

    return sending
