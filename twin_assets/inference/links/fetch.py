"""Fetches what a link leads to, on a stranger's word: public addresses only, checked at every hop.

The name is resolved here, every address it has is judged, and the connection goes to the judged address, so
that a name can't change between check and use (OWASP, "Server-Side Request Forgery Prevention").
"""

import socket
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import certifi
import httpcore
import httpx

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.text.addresses import address_refusal, url_refusal

MAX_BYTES = 10_000_000
MAX_SECONDS = 20.0  # for all of it: names, connections, headers, bodies and redirects
STEP_SECONDS = 8.0  # of silence
MAX_HOPS = 5
REDIRECTS = (301, 302, 303, 307, 308)
READABLE = ("text/html", "application/xhtml+xml", "application/pdf", "text/plain", "text/markdown")
AGENT = "llm-twin-links/1"
# The process's: the resolver of the system has no deadline of its own, so it is asked in a thread that nobody waits for.
_resolver = ThreadPoolExecutor(8, thread_name_prefix="resolve")


class LinkRefused(TwinError):
    """A link that may not be followed, or that leads to nothing readable."""


class LinkUnreachable(TwinError):
    """A link whose site does not answer as it should."""


class Fetched(Record):
    """What a link led to: `url` is the last of its redirects, `mime` without parameters."""

    url: str
    mime: str
    charset: str | None
    data: bytes


def fetch_link(url: str, allow_private: bool = False, seconds: float = MAX_SECONDS) -> Fetched:
    """The body behind a link, within so many seconds. Raises LinkRefused and LinkUnreachable."""
    deadline = Deadline(seconds)
    for _ in range(MAX_HOPS + 1):
        answer = _ask(url, allow_private, deadline)
        if isinstance(answer, Fetched):
            return answer
        url = urljoin(url, answer)
    raise LinkRefused(f"The link redirects more than {MAX_HOPS} times.", "give the address it ends at.")


class Deadline:
    """When all of it must be done. `step` is how long the next step may take: no longer than there is left."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._end = seconds, time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._end

    @property
    def step(self) -> float:
        """Raises httpcore.ReadTimeout when nothing is left."""
        if self.passed:
            raise httpcore.ReadTimeout
        return min(STEP_SECONDS, self._end - time.monotonic())


class _Stream(httpcore.NetworkStream):
    """A connection each of whose steps keeps to the deadline, so that a byte now and then holds nobody up."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.step)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.step)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secure = self._stream.start_tls(ssl_context, server_hostname, self._deadline.step)
        return _Stream(secure, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore.SyncBackend):
    """TCP whose connections keep to a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = super().connect_tcp(host, port, self._deadline.step, local_address, socket_options)
        return _Stream(stream, self._deadline)


@lru_cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


def _ask(url: str, allow_private: bool, deadline: Deadline) -> Fetched | str:
    """The body, or where the answer redirects to."""
    parts, name, address = _checked(url, allow_private, deadline)
    shown = _shown(url)
    host = f"[{address}]" if ":" in address else address
    target = parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host, fragment="").geturl()
    headers = {
        "Host": parts.netloc if parts.netloc.isascii() else f"{name}:{parts.port}" if parts.port else name, "User-Agent": AGENT, "Accept": ", ".join(READABLE), "Accept-Encoding": "identity",
    }  # fmt: skip
    try:
        to = httpx.URL(target)  # what a request line may not hold is percent-encoded here
        # No proxy of this machine: it would take the request somewhere that was not judged.
        with (
            httpcore.ConnectionPool(ssl_context=_tls(), network_backend=_Network(deadline)) as pool,
            pool.stream(
                "GET",
                httpcore.URL(scheme=to.raw_scheme, host=to.raw_host, port=to.port, target=to.raw_path),
                headers=list(headers.items()),
                extensions={"sni_hostname": name},
            ) as answer,
        ):
            told = Message()
            for header, value in answer.headers:
                told[header.decode("latin-1")] = value.decode(errors="replace")
            if answer.status in REDIRECTS and (location := told["location"]):
                return str(location)
            if answer.status != 200:
                raise LinkUnreachable(
                    f"{shown} answered {answer.status}.", "check the link; it must need no login."
                )
            return _body(answer, told, url)
    except (
        httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpx.InvalidURL, UnicodeError
    ) as error:  # fmt: skip
        if deadline.passed:
            raise _too_slow(url, deadline) from None
        raise LinkUnreachable(
            f"{shown} can't be read ({type(error).__name__}).", "check the link, or try later."
        ) from None


def _too_slow(url: str, deadline: Deadline) -> LinkUnreachable:
    return LinkUnreachable(f"{_shown(url)} takes longer than {deadline.seconds:g} s.", "try later.")


def _body(answer: httpcore.Response, told: Message, url: str) -> Fetched:
    shown, mime = _shown(url), told.get("content-type", "").partition(";")[0].strip().lower()
    if mime not in READABLE:
        raise LinkRefused(
            f"{shown} is {mime or 'of no stated type'}.", f"link to one of: {', '.join(READABLE)}."
        )
    if told.get("content-encoding", "identity") != "identity":
        raise LinkRefused(f"{shown} comes compressed though it was not to.", "link to another copy.")
    too_large = LinkRefused(f"{shown} has more than {MAX_BYTES // 1_000_000} MB.", "link to a smaller page.")
    length = told.get("content-length", "")
    if length.isdecimal() and (len(length) > 12 or int(length) > MAX_BYTES):
        raise too_large
    data = bytearray()
    for piece in answer.iter_stream():
        data += piece
        if len(data) > MAX_BYTES:
            raise too_large
    return Fetched(url=url, mime=mime, charset=told.get_content_charset(), data=bytes(data))


def _checked(url: str, allow_private: bool, deadline: Deadline) -> tuple[SplitResult, str, str]:
    """The parts of a URL, the name of its host in ASCII, and the judged address of that."""
    if why := url_refusal(url, allow_private):
        raise LinkRefused(f"The link may not be fetched: {why}.", "give a public http(s) address.")
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise LinkRefused("The link carries a user name or a password.", "leave it out.")
    host = parts.hostname or ""
    try:
        # All control characters and odd letters end here: a host is ASCII once it is encoded.
        name = host.encode("idna").decode()
        lookup = _resolver.submit(
            socket.getaddrinfo, name, parts.port or parts.scheme, type=socket.SOCK_STREAM
        )
        entries = lookup.result(deadline.step)
    except (TimeoutError, httpcore.TimeoutException):
        lookup.cancel()
        raise LinkUnreachable(f"The host {host[:100]!r} is not found in time.", "try later.") from None
    except (OSError, UnicodeError):
        raise LinkUnreachable(f"The host {host[:100]!r} is not known.", "check the link.") from None
    addresses = [str(entry[4][0]) for entry in entries]
    if not allow_private and any(map(address_refusal, addresses)):
        raise LinkRefused(f"{host} leads to a private address.", "give a public http(s) address.")
    return parts, name, addresses[0]


def _shown(url: str) -> str:
    """A link as errors name it: without what may be a secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"[:200]
