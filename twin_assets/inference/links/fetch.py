"""Fetches what a link leads to, on a stranger's word: public addresses only, checked at every hop.

The name is resolved here, every address it has is judged, and the connection goes to the judged address, so
that a name can't change between check and use (OWASP, "Server-Side Request Forgery Prevention").
"""

import socket
import time
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.text.addresses import address_refusal, url_refusal

MAX_BYTES = 10_000_000
MAX_SECONDS = 20.0
STEP_SECONDS = 8.0
MAX_HOPS = 5
READABLE = ("text/html", "application/xhtml+xml", "application/pdf", "text/plain", "text/markdown")
AGENT = "llm-twin-links/1"


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


def fetch_link(url: str, allow_private: bool = False) -> Fetched:
    """The body behind a link. Raises LinkRefused and LinkUnreachable."""
    deadline = time.monotonic() + MAX_SECONDS
    for _ in range(MAX_HOPS + 1):
        answer = _ask(url, allow_private, deadline)
        if isinstance(answer, Fetched):
            return answer
        url = urljoin(url, answer)
    raise LinkRefused(f"The link redirects more than {MAX_HOPS} times.", "give the address it ends at.")


def _ask(url: str, allow_private: bool, deadline: float) -> Fetched | str:
    """The body, or where the answer redirects to."""
    parts, address = _checked(url, allow_private)
    shown = _shown(url)
    host = f"[{address}]" if ":" in address else address
    target = parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host, fragment="").geturl()
    headers = {
        "Host": parts.netloc, "User-Agent": AGENT, "Accept": ", ".join(READABLE), "Accept-Encoding": "identity",
    }  # fmt: skip
    # No proxy and no .netrc of this machine: both would take the request somewhere that was not judged.
    with httpx.Client(trust_env=False, timeout=STEP_SECONDS, follow_redirects=False) as client:
        try:
            with client.stream(
                "GET", target, headers=headers, extensions={"sni_hostname": parts.hostname}
            ) as answer:
                if answer.is_redirect:
                    return answer.headers["location"]
                if answer.status_code != 200:
                    raise LinkUnreachable(
                        f"{shown} answered {answer.status_code}.", "check the link; it must need no login."
                    )
                return _body(answer, url, deadline)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise LinkUnreachable(f"{shown} can't be read ({type(error).__name__}).", "check the link, or try later.") from None  # fmt: skip


def _body(answer: httpx.Response, url: str, deadline: float) -> Fetched:
    shown, mime = _shown(url), answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if mime not in READABLE:
        raise LinkRefused(
            f"{shown} is {mime or 'of no stated type'}.", f"link to one of: {', '.join(READABLE)}."
        )
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise LinkRefused(f"{shown} comes compressed though it was not to.", "link to another copy.")
    too_large = LinkRefused(f"{shown} has more than {MAX_BYTES // 1_000_000} MB.", "link to a smaller page.")
    if int(answer.headers.get("content-length") or 0) > MAX_BYTES:
        raise too_large
    data = bytearray()
    for piece in answer.iter_raw(65_536):
        data += piece
        if len(data) > MAX_BYTES:
            raise too_large
        if time.monotonic() > deadline:
            raise LinkUnreachable(f"{shown} takes longer than {MAX_SECONDS:.0f} s.", "try later.")
    return Fetched(url=url, mime=mime, charset=answer.charset_encoding, data=bytes(data))


def _checked(url: str, allow_private: bool) -> tuple[SplitResult, str]:
    """The parts of a URL, and the judged address of its host."""
    if why := url_refusal(url, allow_private):
        raise LinkRefused(f"The link may not be fetched: {why}.", "give a public http(s) address.")
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise LinkRefused("The link carries a user name or a password.", "leave it out.")
    host = parts.hostname or ""
    try:
        # All control characters and odd letters end here: a host is ASCII once it is encoded.
        found = socket.getaddrinfo(
            host.encode("idna").decode(), parts.port or parts.scheme, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        raise LinkUnreachable(f"The host {host[:100]!r} is not known.", "check the link.") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_private and any(map(address_refusal, addresses)):
        raise LinkRefused(f"{host} leads to a private address.", "give a public http(s) address.")
    return parts, addresses[0]


def _shown(url: str) -> str:
    """A link as errors name it: without what may be a secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"[:200]
