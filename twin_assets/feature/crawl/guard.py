"""Keeps spiders off private networks: only http(s), only public addresses, redirects included.

The resolver checks the very address that is connected to, so a name can't change between check and use.
"""

import ipaddress
from typing import Any, ClassVar
from urllib.parse import urlsplit

from scrapy.exceptions import IgnoreRequest
from scrapy.resolver import CachingThreadedResolver
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError


class Refused(IgnoreRequest):
    """An address that may not be fetched. The message says why."""


def refusal(url: str, allow_private: bool) -> str | None:
    """Why a URL may not be fetched, judged by its text alone; None when it may."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return f"{parts.scheme or 'no scheme'} is not http or https"
    host = parts.hostname or ""
    if not host:
        return "there is no host in it"
    if allow_private:
        return None
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return f"{host} is a private host"
    return _address_refusal(host)


def _address_refusal(host: str) -> str | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # Old resolvers read 2130706433 and 0x7f.1 as addresses; no public host is named so.
        if host.replace(".", "").isdigit() or host.lower().startswith("0x"):
            return f"{host} is a disguised address"
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return None if (mapped or address).is_global else f"{host} is a private address"


class GuardMiddleware:
    """Refuses a request before anything is sent. First in the chain, so redirects pass it too."""

    def __init__(self, allow_private: bool) -> None:
        self.allow_private = allow_private

    @classmethod
    def from_crawler(cls, crawler: Any) -> "GuardMiddleware":
        return cls(crawler.settings.getbool("TWIN_ALLOW_PRIVATE"))

    def process_request(self, request: Any) -> None:
        reason = refusal(request.url, self.allow_private)
        if reason:
            raise Refused(reason)
        host = urlsplit(request.url).hostname or ""
        if host in PublicResolver.refused:  # also its retries
            raise Refused(f"{host} leads to a private address")


class PublicResolver(CachingThreadedResolver):
    """Resolves names to public addresses only; `refused` are the names that led elsewhere."""

    refused: ClassVar[set[str]] = set()

    def getHostByName(self, name: str, timeout: Any = ()) -> Deferred:
        return super().getHostByName(name, timeout).addCallback(self._check, name)

    def _check(self, address: str, name: str) -> str:
        reason = _address_refusal(address)
        if reason:
            self.refused.add(name)
            # Twisted passes on no other error of a resolver than this one, and not its message.
            raise DNSLookupError(f"{name} leads to a private address")
        return address
