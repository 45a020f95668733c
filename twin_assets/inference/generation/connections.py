"""Kept HTTP connections to an LLM engine: urllib3's pool, which takes half of httpx's time for a request."""

import ssl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from http.client import RemoteDisconnected
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError
from urllib3.response import BaseHTTPResponse

CONNECT_SECONDS = 5.0
MAX_IDLE = 64
OLD_SECONDS = 60


class _OneWrite(HTTPConnection):
    """Writes the head and the body of a request, which are bytes, in one go: http.client writes one after the other,
    and a server that wakes for each takes a tenth of a millisecond longer."""

    _parts: list[bytes] | None = None

    def request(self, *given: Any, **options: Any) -> None:
        self._parts = []
        try:
            super().request(*given, **options)
            whole = b"".join(self._parts)
        finally:
            self._parts = None
        super().send(whole)

    def send(self, data: Any) -> None:
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)


class _OneWriteTls(_OneWrite, HTTPSConnection):
    pass


class Connections:
    """To one server; a request takes one alone. Goes through the environment's proxy where it names one."""

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout` is in seconds, of silence."""
        parts = urlsplit(url)
        options: dict[str, Any] = {
            "maxsize": MAX_IDLE,
            "retries": False,
            "timeout": urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout), read=timeout),
        }
        if parts.scheme == "https":
            options["ssl_context"] = _certificates()
        proxies = {} if proxy_bypass(parts.hostname or "") else getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        self._pool: urllib3.HTTPConnectionPool | urllib3.ProxyManager = (
            urllib3.ProxyManager(proxy, proxy_headers=_credentials(proxy), **options)
            if proxy
            else urllib3.connection_from_url(url, **options)
        )
        if isinstance(self._pool, urllib3.HTTPConnectionPool):
            self._pool.ConnectionCls = _OneWriteTls if parts.scheme == "https" else _OneWrite

    @contextmanager
    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Iterator[BaseHTTPResponse]:
        """The response, whose body the block reads. Raises urllib3.exceptions.HTTPError."""
        if isinstance(self._pool, urllib3.HTTPConnectionPool):
            parts = urlsplit(url)
            url = f"{parts.path}?{parts.query}" if parts.query else parts.path
        options: dict[str, Any] = {
            "body": body,
            "headers": headers,
            "preload_content": False,
            "redirect": False,
        }
        try:
            response = self._pool.urlopen("POST", url, **options)
        except ProtocolError as error:
            if not isinstance(error.args[-1], RemoteDisconnected):
                raise
            # The server closed an idle connection just as it was asked on it: nothing was begun.
            response = self._pool.urlopen("POST", url, **options)
        try:
            yield response
        finally:
            response.close()  # one that was read to its end has gone back to the pool


class RenewedConnections:
    """What all requests to one engine share. Connections are made anew after so long, so that new replicas behind one
    address get their share."""

    def __init__(self, url: str, timeout: float) -> None:
        """`timeout` is in seconds, of silence."""
        self._of_age = lru_cache(maxsize=1)(lambda age: Connections(url, timeout))

    def post(
        self, url: str, body: bytes, headers: dict[str, str]
    ) -> AbstractContextManager[BaseHTTPResponse]:
        """See `Connections.post`."""
        return self._of_age(int(time.monotonic() // OLD_SECONDS)).post(url, body, headers)


def lines(response: BaseHTTPResponse) -> Iterator[str]:
    """The lines of a body as they come, without their ends."""
    rest = b""
    while piece := response.read1():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").removesuffix("\r")
    if rest:
        yield rest.decode(errors="replace")


def _credentials(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if not parts.username:
        return {}
    who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return dict(urllib3.make_headers(proxy_basic_auth=who))


@lru_cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()
