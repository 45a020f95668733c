"""The guard in front of everything: request ids, sizes, who asks, how often, the queue, and the log of it.

A plain ASGI middleware, so that streams pass untouched. Who may see which persona is asked by the endpoints,
since the persona stands in the body.
"""

import asyncio
import logging
import math
import re
import time
import uuid
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import anyio.to_thread
from fastapi import HTTPException, Request
from prometheus_client import Gauge
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access import login as ui_login
from serving.access import session as ui_session
from serving.access.caller import ANYBODY, Caller
from serving.access.front import is_of_another_site
from serving.access.keys import Keys
from serving.access.limits import Admission, QueueFull, State, network_of
from serving.access.needs import ANYONE, Needs, NeedsOf
from serving.access.shared_limits import Limits, SharedAdmission
from serving.access.this_machine import is_loopback, names_this_machine, was_forwarded
from serving.errors import Forbidden, error_response
from serving.refusal import refusal
from serving.telemetry import QUEUE, REFUSED, access, count_http
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import open_lake
from twin_assets.settings import Settings

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")
QUEUE_RETRY_SECONDS = 5
BODILESS = ("GET", "HEAD", "OPTIONS")
# An upload, which is read as it comes, is broken off after so long without a byte.
IDLE_SECONDS = 60.0

logger = logging.getLogger("serving")
Counted = TypeVar("Counted")


class TooLarge(HTTPException):
    """A body that turned out to have more bytes than are allowed. FastAPI passes no other exception on."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"A request may have {most:,} bytes. Send less, or link to it.")


class Access:
    """The middleware."""

    def __init__(self, app: ASGIApp, settings: Settings, limits: Limits) -> None:
        self.app, self.settings = app, settings
        self.keys = Keys(open_lake(settings))
        self.by_key = limits.limit("key", settings.rate_per_minute)
        self.by_address = limits.limit("address", settings.rate_per_minute_address)
        self._limits, self._asks_a_database = limits, limits.shared
        self._needs_of: NeedsOf | None = None

    @cached_property
    def admission(self) -> Admission | SharedAdmission:
        s = self.settings
        return self._limits.admission(
            Admission(s.max_running, s.max_waiting, s.max_wait_seconds, _show_queue)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        self._needs_of = self._needs_of or NeedsOf(scope["app"])
        needs = self._needs_of(scope["method"], scope["path"])
        exchange = _Exchange(
            request, receive, send, needs, needs.limit(self.settings), self._needs_of.methods
        )
        try:
            refused = await self._refusal(request, exchange) or await self._unread(request, exchange)
            if refused is not None:
                await refused(scope, exchange.receive, exchange.send)
            elif exchange.gone:
                return
            elif needs.queued:
                await self._queued(scope, exchange)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            logger.exception("request %s failed", exchange.id)
            if exchange.status:
                raise  # what was sent can't be taken back: the server cuts the connection
            failed = refusal(
                500, "InternalError", "Something went wrong here.", f"report request {exchange.id}."
            )
            await failed(scope, receive, exchange.send)
        finally:
            exchange.log()

    async def _unread(self, request: Request, exchange: "_Exchange") -> Response | None:
        """Read the body, so that nothing is held up by one that comes slowly; the refusal of one that takes too long."""
        if request.method in BODILESS or exchange.needs.upload:
            return None
        seconds = self.settings.max_body_seconds
        try:
            async with asyncio.timeout(seconds):
                await exchange.read()
        except TimeoutError:
            return _refused(
                408, "TooSlow", f"The body did not come within {seconds:g} seconds.", "send it again."
            )
        except TooLarge:
            return _too_large(exchange.most)
        return None

    async def _queued(self, scope: Scope, exchange: "_Exchange") -> None:
        caller: Caller = exchange.request.state.caller
        who = caller.id if caller.key else f"{caller.name} {network_of(_address(exchange.request))}"
        try:
            await self.admission.enter(who)
        except QueueFull:
            refused = _refused(
                503, "Busy", "Too many requests are in hand.", "try again later.", QUEUE_RETRY_SECONDS
            )
            await refused(scope, exchange.receive, exchange.send)
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            self.admission.leave(who)

    async def _refusal(self, request: Request, exchange: "_Exchange") -> Response | None:
        """The answer to a request that is turned away; else None, and its caller is known."""
        path, address, needs = request.scope["path"], _address(request), exchange.needs
        if int(request.headers.get("content-length") or 0) > exchange.most:
            return _too_large(exchange.most)
        foreign = ui_login.foreign_change(request)
        # What none of the path's routes takes changes nothing: it is told that further on.
        if foreign and (not exchange.methods or request.method in exchange.methods):
            return foreign
        if needs.action == ANYONE:
            request.state.caller = Caller(ANYBODY)
            return None
        if path.startswith("/v1/") and (
            wait := await self._counted(lambda: self.by_address.wait(network_of(address)))
        ):
            return _too_often("this address", wait)
        if self.keys.stale:
            try:
                await anyio.to_thread.run_sync(lambda: self.keys.any)
            except TwinError as error:  # the lake was never read, so that nobody is known
                return error_response(error)
        caller = await self._counted(lambda: self._caller(request))
        if isinstance(caller, Response):
            return caller
        request.state.caller = caller
        key = caller.key
        if key is None:
            return None
        if not key.may(needs.action):
            return error_response(
                Forbidden(f"This key is not good for {needs.action!r}.", "ask for a key with that scope.")
            )
        if wait := await self._counted(lambda: self.by_key.wait(key.id, key.per_minute)):
            return _too_often("this key", wait)
        return None

    async def _counted(self, count: Callable[[], Counted]) -> Counted:
        """What counts a request, off the event loop where it asks a database."""
        return await anyio.to_thread.run_sync(count) if self._asks_a_database else count()

    def _caller(self, request: Request) -> Caller | Response:
        token = ui_login.bearer(request)
        if token and (key := self.keys.find(token)):
            return Caller(f"key {key.id}", key, key.audience)
        signed_in = ui_session.signed_in(request, self.settings) or ui_login.bears_password(
            request, self.settings
        )
        if isinstance(signed_in, Response):
            return signed_in
        if signed_in:
            return Caller("page", audience="private")
        if ui_session.password_of(self.settings) is None and not self.keys.any:
            return self._anonymous(request)
        return _refused(
            401,
            "LoginNeeded",
            "This needs a key or a login.",
            "send an API key, or the page's password, as a bearer token; or log in on the page.",
        )

    def _anonymous(self, request: Request) -> Caller | Response:
        """Without keys and password the service is for this machine, and for no web site that is open on it."""
        if self.settings.allow_anonymous:
            return Caller(ANYBODY)
        if not is_loopback(_address(request)) or was_forwarded(request):
            return _refused(
                403,
                "NotOpen",
                "Without keys the service answers this machine only.",
                "make a key with `twin keys create`, or set TWIN_UI_PASSWORD; "
                "TWIN_ALLOW_ANONYMOUS=true opens it to whoever reaches it.",
            )
        # A site that has its own name lead to 127.0.0.1 (DNS rebinding) still sends that name.
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        foreign = origin not in self.settings.cors_origins and is_of_another_site(request, host)
        if foreign or not names_this_machine(host):
            return _refused(
                403,
                "ForeignRequest",
                "Another site asked for this.",
                "ask the service by localhost or 127.0.0.1; or make a key, and send it.",
            )
        return Caller("this machine", audience=self.settings.local_audience)


class _Exchange:
    """One request and its answer: counts the body, adds the id, and knows what to log."""

    def __init__(
        self,
        request: Request,
        receive: Receive,
        send: Send,
        needs: Needs,
        most: int,
        methods: Callable[[str], frozenset[str]],
    ) -> None:
        self.request, self._receive, self._send = request, receive, send
        self.needs, self.most, self._methods = needs, most, methods
        self._body: bytes | None = None
        self._whole = self.gone = False
        self._began, self._read, self.status = time.monotonic(), 0, 0
        given = request.headers.get("x-request-id", "")
        self.id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.state.request_id = self.id
        request.state.facts = {}

    @property
    def methods(self) -> frozenset[str]:
        """All methods of the path."""
        return self._methods(self.request.scope["path"])

    async def read(self) -> None:
        """Take the whole body in, for `receive` to hand on. Raises TooLarge; `gone` tells that the client went away."""
        parts = []
        while not self._whole and not self.gone:
            parts.append((await self._next()).get("body", b""))
        self._body = b"".join(parts)

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        if self._whole:
            return await self._receive()  # that the client goes away
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await self._next()
        except TimeoutError:
            self.gone = True
            return {"type": "http.disconnect"}

    async def _next(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self.most:
            raise TooLarge(self.most)
        self.gone = message["type"] == "http.disconnect"
        self._whole = not self.gone and not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.id
            headers["X-Content-Type-Options"] = "nosniff"
            if self.status == 405:  # the router names the methods of one route, and a path may have several
                headers["Allow"] = ", ".join(sorted(self.methods))
            if not self.needs.cached:
                headers["Cache-Control"] = "no-store"
        await self._send(message)

    def log(self) -> None:
        scope = self.request.scope
        if not self.needs.logged:
            return
        caller = getattr(self.request.state, "caller", None)
        template, seconds = getattr(scope.get("route"), "path", None), time.monotonic() - self._began
        count_http(template, self.request.method, self.status, seconds)
        route = template or (scope["path"] if self.status != 404 else "unknown")
        facts: dict[str, Any] = self.request.state.facts
        fields = {
            "request_id": self.id,
            "method": self.request.method,
            "route": route,
            "status": self.status,
            "ms": round(seconds * 1000, 1),
            "caller": caller.name if caller else "refused",
            **facts,
        }
        access.info("request", extra={"fields": fields})


@lru_cache
def _gauge(state: State) -> Gauge:
    return QUEUE.labels(state)


def _show_queue(state: State, requests: int) -> None:
    _gauge(state).set(requests)


def _refused(status: int, kind: str, problem: str, fix: str, wait: float | None = None) -> Response:
    REFUSED.labels(kind).inc()
    headers = {} if wait is None else {"Retry-After": str(max(math.ceil(wait), 1))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (408, 413):
        headers["Connection"] = "close"  # what is still to come of the body is not wanted
    return refusal(status, kind, problem, fix, headers)


def _too_often(who: str, wait: float) -> Response:
    return _refused(429, "RateLimited", f"Too many requests from {who}.", "wait, then ask again.", wait)


def _too_large(most: int) -> Response:
    return _refused(413, "TooLarge", f"A request may have {most:,} bytes.", "send less, or link to it.")


def _address(request: Request) -> str:
    return request.client.host if request.client else "127.0.0.1"  # a Unix socket has no address
