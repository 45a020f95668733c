"""Keeps spiders off private networks: only http(s), only public addresses, redirects included.

The resolver checks the very address that is connected to, so a name can't change between check and use.
"""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from scrapy.exceptions import IgnoreRequest
from scrapy.resolver import CachingThreadedResolver
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError

from twin_assets.core.text.addresses import address_refusal, url_refusal


class Refused(IgnoreRequest):
    """An address that may not be fetched. The message says why."""


class GuardMiddleware:
    """Refuses a request before anything is sent. First in the chain, so redirects pass it too."""

    def __init__(self, allow_private: bool) -> None:
        self.allow_private = allow_private

    @classmethod
    def from_crawler(cls, crawler: Any) -> "GuardMiddleware":
        return cls(crawler.settings.getbool("TWIN_ALLOW_PRIVATE"))

    def process_request(self, request: Any) -> None:
        reason = url_refusal(request.url, self.allow_private)
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
        reason = address_refusal(address)
        if reason:
            self.refused.add(name)
            # Twisted passes on no other error of a resolver than this one, and not its message.
            raise DNSLookupError(f"{name} leads to a private address")
        return address
