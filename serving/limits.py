"""How much anybody may ask: token buckets by caller and by address, and a bounded queue before the model."""

import asyncio
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

MAX_BUCKETS = 10_000
# One household or machine has all the addresses of such a network, so that each alone would count for nothing.
IPV6_NETWORK_BITS = 64


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """What limits count an address by: itself, or the /64 network of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, IPV6_NETWORK_BITS), strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)


class RateLimit:
    """A token bucket for each name: `per_minute` at once, refilled evenly. 0 is no limit.

    Memory is bounded: beyond MAX_BUCKETS the one not used for longest is forgotten, which was full or nearly.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, name: str, per_minute: float | None = None) -> float:
        """Take a token. 0 when there was one, else the seconds until there will be."""
        most = self.per_minute if per_minute is None else per_minute
        if most <= 0:
            return 0.0
        with self._lock:
            now = self._clock()
            tokens, then = self._buckets.pop(name, (most, now))
            tokens = min(most, tokens + (now - then) * most / 60)
            allowed = tokens >= 1
            self._buckets[name] = (tokens - 1 if allowed else tokens, now)
            while len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) * 60 / most

    def give_back(self, name: str) -> None:
        """Put the token back that `wait` took: it turned out that nothing was to be counted."""
        with self._lock:
            if name in self._buckets:
                tokens, then = self._buckets[name]
                self._buckets[name] = (tokens + 1, then)


State = Literal["running", "waiting"]


class QueueFull(Exception):
    """No place in the queue, or none came free in time."""


class Admission:
    """At most `running` requests at once and `waiting` in line for at most `seconds`; the rest are refused.

    Of one event loop. Refusing early keeps the time that the others wait bounded, and threads for what is quick.
    """

    def __init__(
        self,
        running: int,
        waiting: int,
        seconds: float,
        on_change: Callable[[State, int], None] | None = None,
    ) -> None:
        """`on_change` is told how many run, or how many wait, whenever that changes."""
        self._places = asyncio.Semaphore(running)
        self._most, self._seconds = waiting, seconds
        self._on_change = on_change
        self.in_hand: dict[State, int] = {"running": 0, "waiting": 0}

    async def enter(self) -> None:
        """Take a place. Raises QueueFull."""
        if self._places.locked() and self.in_hand["waiting"] >= self._most:
            raise QueueFull
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        self._count("running", 1)

    async def _wait(self) -> None:
        self._count("waiting", 1)
        try:
            await asyncio.wait_for(self._places.acquire(), self._seconds)
        except TimeoutError:
            raise QueueFull from None
        finally:
            self._count("waiting", -1)

    def leave(self) -> None:
        self._count("running", -1)
        self._places.release()

    def _count(self, state: State, more: int) -> None:
        self.in_hand[state] += more
        if self._on_change:
            self._on_change(state, self.in_hand[state])
