"""How much anybody may ask: token buckets by caller and by address, and a bounded queue before the model."""

import asyncio
import ipaddress
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

MAX_BUCKETS = 10_000
# One household or machine has all the addresses of such a network, so that each alone would count for nothing.
IPV6_NETWORK_BITS = 64


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """The name that limits count an address by: itself, or the /64 network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, IPV6_NETWORK_BITS), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


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


@dataclass(frozen=True)
class Elsewhere:
    """What other replicas have: how many places to run, and how many requests of each caller run and wait there."""

    places: int = 0
    running: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)


class Admission:
    """At most `running` requests at once and `waiting` in line for at most `seconds`; the rest are refused.

    Places are shared among callers. None has all of them: a quarter, at least one where there are more, is left for
    others. The next free one goes to who has fewest, and where the line is full, who has most in it makes room for who
    has less. What a caller has elsewhere counts too, where `heed` is told of it; a quarter of all replicas' places is then
    left as well, while anybody else asks. Of one event loop. Refusing early keeps the time that the others wait bounded,
    and threads for what is quick.
    """

    def __init__(
        self,
        running: int,
        waiting: int,
        seconds: float,
        on_change: Callable[[State, int], None] | None = None,
    ) -> None:
        """`on_change` is told how many run, or how many wait, whenever that changes."""
        self.places, self._line, self._seconds = running, waiting, seconds
        self._on_change = on_change
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self.elsewhere = Elsewhere()
        self.in_hand: dict[State, int] = {"running": 0, "waiting": 0}

    async def enter(self, caller: str) -> None:
        """Take a place. Raises QueueFull."""
        if self._may_run(caller):  # then nobody waits who may run
            self._run(caller)
            return
        if self.in_hand["waiting"] >= self._line:
            self._make_room(caller)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        self._count("waiting", 1)
        try:
            await asyncio.wait([turn], timeout=self._seconds)
        except asyncio.CancelledError:
            if turn.done() and turn.exception() is None:
                self.leave(caller)
            else:
                self._forget(caller, turn)
            raise
        if not turn.done():
            self._forget(caller, turn)
            raise QueueFull
        turn.result()

    def leave(self, caller: str) -> None:
        """Give the place back, to who is next."""
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        self._count("running", -1)
        self._admit()

    def heed(self, elsewhere: Elsewhere) -> None:
        """Count what other replicas have, in the place of what they had before."""
        self.elsewhere = elsewhere
        self._admit()

    def callers(self) -> dict[str, tuple[int, int]]:
        """How many requests of each caller run and wait here."""
        return {
            name: (self._running[name], len(self._waiting.get(name, ())))
            for name in {*self._running, *self._waiting}
        }

    def _admit(self) -> None:
        """Give what is free to who waits and may run, first to who has fewest."""
        while able := [name for name in self._waiting if self._may_run(name)]:
            following = min(able, key=self._held)
            turn = self._waiting[following][0]
            self._forget(following, turn)
            if following in self._waiting:  # of those with as few, the others come first
                self._waiting[following] = self._waiting.pop(following)
            self._run(following)
            turn.set_result(None)

    def _may_run(self, caller: str) -> bool:
        if self.in_hand["running"] >= self.places or self._running[caller] >= _share(self.places):
            return False
        everywhere = _share(self.places + self.elsewhere.places)
        return self._held(caller) < everywhere or not self._others_ask(caller)

    def _held(self, caller: str) -> int:
        return self._running[caller] + self.elsewhere.running[caller]

    def _others_ask(self, caller: str) -> bool:
        everywhere = (self._running, self._waiting, self.elsewhere.running, self.elsewhere.waiting)
        return any({*names} - {caller} for names in everywhere)

    def _run(self, caller: str) -> None:
        self._running[caller] += 1
        self._count("running", 1)

    def _make_room(self, caller: str) -> None:
        """Refuse the last of who has most in line. Raises QueueFull when that is no more than the caller would have."""
        longest = max(self._waiting, key=self._held_in_line, default=caller)
        if self._held_in_line(longest) <= self._held_in_line(caller) + 1:
            raise QueueFull
        turn = self._waiting[longest][-1]
        self._forget(longest, turn)
        turn.set_exception(QueueFull())

    def _held_in_line(self, caller: str) -> int:
        return len(self._waiting.get(caller, ())) + self.elsewhere.waiting[caller]

    def _forget(self, caller: str, turn: "asyncio.Future[None]") -> None:
        line = self._waiting.get(caller)
        if line is not None and turn in line:
            line.remove(turn)
            self._count("waiting", -1)
            if not line:
                del self._waiting[caller]

    def _count(self, state: State, more: int) -> None:
        self.in_hand[state] += more
        if self._on_change:
            self._on_change(state, self.in_hand[state])


def _share(places: int) -> int:
    """How many of them one caller may have."""
    return places - max(1, places // 4) if places > 1 else places
