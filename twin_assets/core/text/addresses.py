"""Which addresses may be fetched on somebody's word: http(s) on public hosts. For spiders and for links alike. And addresses
without who logs in."""

import ipaddress
import re
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IPv6 addresses that lead to an IPv4 one: a translator (RFC 6052), 6to4 (RFC 3056), IPv4-compatible (RFC 4291).
_LAST_FOUR_BYTES = [ipaddress.ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")]

HIDDEN = "(hidden)"


def hide_logins(text: str) -> str:
    """A text whose addresses say who logs in, without that."""
    return re.sub(r"(?<=//)[^/@\s]+(?=@)", HIDDEN, text)


def url_refusal(url: str, allow_private: bool) -> str | None:
    """Why a URL may not be fetched, judged by its text alone; None when it may."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        _ = parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("http", "https"):
        return f"{parts.scheme or 'no scheme'} is not http or https"
    if not host:
        return "there is no host in it"
    if allow_private:
        return None
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return f"{host} is a private host"
    return address_refusal(host)


def address_refusal(host: str) -> str | None:
    """Why a host that is written as an address may not be connected to; None for a public one, or a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # Old resolvers read 2130706433 and 0x7f.1 as addresses; no public host is named so.
        if host.replace(".", "").isdigit() or host.lower().startswith("0x"):
            return f"{host} is a disguised address"
        return None
    inner = _embedded(address) or address
    return None if inner.is_global and not inner.is_multicast else f"{host} is a private address"


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if any(address in network for network in _LAST_FOUR_BYTES):
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour
