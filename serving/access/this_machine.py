"""Tells requests that this machine makes for itself: without keys the service is open to those alone."""

import ipaddress
import re
from functools import lru_cache

from starlette.requests import HTTPConnection

# Proxies add these. One on this machine has a loopback address, and may ask by a loopback name too.
FORWARDED = ("forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip", "cf-ray")


def from_this_machine(request: HTTPConnection) -> bool:
    """Whether a program here asked by a name of this machine, and not as the proxy of somebody elsewhere."""
    return (
        is_loopback(request.client.host if request.client else "127.0.0.1")  # a Unix socket has no address
        and names_this_machine(request.headers.get("host", ""))
        and not was_forwarded(request)
    )


def was_forwarded(request: HTTPConnection) -> bool:
    """Whether a proxy passed it on. nginx, unless told to, says so by nothing but its old protocol."""
    said = any(name in FORWARDED or name.startswith("x-forwarded-") for name in request.headers)
    return said or request.scope.get("http_version") == "1.0"


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether it is an address of this machine's own interface to itself, such as 127.0.0.1."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def names_this_machine(host: str) -> bool:
    """Whether a Host header is `localhost` or a loopback address, with or without a port."""
    name = name_of(host)
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)


@lru_cache(maxsize=1024)
def is_address(host: str) -> bool:
    """Whether a Host header is an IP address: no site can have lent its name to that one."""
    try:
        ipaddress.ip_address(name_of(host))
    except ValueError:
        return False
    return True


def name_of(host: str) -> str:
    """A Host header without port, brackets and the last dot, in lower case."""
    return re.sub(r":\d*$", "", host).strip("[]").rstrip(".").lower()
