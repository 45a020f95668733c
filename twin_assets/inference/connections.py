"""Kept HTTP connections to an LLM engine, on the standard library's client.

Of the clients at hand it costs the least: a fifth of httpx's time for each request (docs/serving.md), which
was more than all the rest of an answer's way through the gateway.
"""

import base64
import http.client
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from ssl import SSLContext
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

CONNECT_SECONDS = 5.0
# Shorter than the 5 s after which uvicorn, and so BentoML and vLLM, close an idle connection.
IDLE_SECONDS = 3.0
# Connections are made anew after so long, so that new replicas behind one address get their share.
OLD_SECONDS = 60.0
MAX_IDLE = 64


class _Kept(NamedTuple):
    connection: http.client.HTTPConnection
    made_at: float
    idle_since: float

    @property
    def usable(self) -> bool:
        """Whether it is young enough, and the server has not closed it: a closed socket can be read from."""
        now, socket = time.monotonic(), self.connection.sock
        if socket is None or now - self.made_at > OLD_SECONDS or now - self.idle_since > IDLE_SECONDS:
            return False
        closed = select.poll()
        closed.register(socket, select.POLLIN)
        return not closed.poll(0)


class Connections:
    """To one server; a request takes one alone. Goes through the environment's proxy where it names one."""

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout` is in seconds, of silence."""
        self._parts, self._timeout = urlsplit(url), timeout
        self._idle: list[_Kept] = []
        self._lock = threading.Lock()
        proxies = {} if proxy_bypass(self._parts.hostname or "") else getproxies()
        self._proxy = urlsplit(proxies.get(self._parts.scheme) or proxies.get("all") or "")

    @contextmanager
    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
        """The response, whose body the block reads. Raises OSError and http.client.HTTPException."""
        connection, made_at = self._taken()
        whole = False
        try:
            connection.request("POST", self._target(url), body, headers | self._proxy_headers)
            response = connection.getresponse()
            yield response
            whole = response.isclosed() and connection.sock is not None
        finally:
            if whole:
                self._keep(_Kept(connection, made_at, time.monotonic()))
            else:
                connection.close()

    def _taken(self) -> tuple[http.client.HTTPConnection, float]:
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                return self._made(), time.monotonic()
            if kept.usable:
                return kept.connection, kept.made_at
            kept.connection.close()

    def _keep(self, kept: _Kept) -> None:
        with self._lock:
            self._idle.append(kept)
            forgotten = [self._idle.pop(0)] if len(self._idle) > MAX_IDLE else []
        for old in forgotten:
            old.connection.close()

    def _made(self) -> http.client.HTTPConnection:
        to = self._proxy if self._proxy.hostname else self._parts
        waits = min(CONNECT_SECONDS, self._timeout)
        connection: http.client.HTTPConnection
        if self._parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                to.hostname or "", to.port, timeout=waits, context=_certificates()
            )
            if to is self._proxy:
                connection.set_tunnel(self._parts.hostname or "", self._parts.port, self._proxy_auth)
        else:
            connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=waits)
        connection.connect()
        connection.sock.settimeout(self._timeout)
        return connection

    def _target(self, url: str) -> str:
        """What stands in the request's first line: a plain proxy needs the whole address."""
        if self._proxy.hostname and self._parts.scheme == "http":
            return url
        parts = urlsplit(url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    @property
    def _proxy_headers(self) -> dict[str, str]:
        return self._proxy_auth if self._parts.scheme == "http" else {}

    @property
    def _proxy_auth(self) -> dict[str, str]:
        if not self._proxy.username:
            return {}
        who = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
        return {"Proxy-Authorization": f"Basic {base64.b64encode(who.encode()).decode()}"}


@lru_cache
def _certificates() -> SSLContext:
    return httpx.create_ssl_context()
