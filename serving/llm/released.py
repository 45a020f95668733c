"""The models that serve each persona, as the release ledger says; swapped without a restart.

A new version is loaded before it gets its first request, and an old one is freed after its last: requests
hold the model that they began with. Versions that are adapters on one base share it in memory, whoever's they are.
"""

import gc
import logging
import random
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from serving.errors import NotFoundError, NothingReleased
from serving.llm.hosting import Counts, Host, InProcess, ServedModel
from serving.llm.observations import Observations
from serving.llm.vllm.host import VllmHost
from serving.llm.vllm.servers import Given, Started
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import hash_share
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import persona_names
from twin_assets.core.records import Message
from twin_assets.core.release.canary import apply_verdict, is_over, is_watched
from twin_assets.core.release.history import History
from twin_assets.core.release.known import KnownLedgers, LedgerTooOld
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import open_lake
from twin_assets.inference.generation.engine import GenerationHandle, StepFailed
from twin_assets.inference.generation.remote import EngineUnavailable
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.settings import Settings

POLL_SECONDS = 1.0
JUDGE_SECONDS = 2.0
COLLECT_SECONDS = 5.0

Piece = TypeVar("Piece")

logger = logging.getLogger("serving")


class Route(NamedTuple):
    """The models that serve a persona. `since` is the number of the ledger event that made it so; `whole` is False
    while a canary that the ledger names could not be loaded."""

    since: int
    production: ServedModel
    canary: ServedModel | None = None
    share: float = 0.0
    whole: bool = True

    def choose(self, key: str | int | None) -> ServedModel:
        """The canary for its share of the keys, or of the requests where there is no key."""
        if self.canary is None:
            return self.production
        return self.canary if _fraction(self.since, key) < self.share else self.production


class Pick(NamedTuple):
    """The model that writes one answer."""

    persona: str
    since: int
    generator: ServedModel
    caller: str = ""


class ReleasedModels:
    """The models in production and in canaries, by persona."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lake = open_lake(settings)
        self.ledgers = KnownLedgers(self._lake, settings.ledger_hours)
        self._too_old: LedgerTooOld | None = None
        self._unread: dict[str, str] = {}  # by persona, why its ledger could not be followed
        self._unjudged = set[str]()  # personas of which something was seen since the last verdict
        self._routes: dict[str, Route] = {}
        self._retired: list[tuple[str, weakref.ref[ServedModel]]] = []
        self._seen = Observations(self._lake)
        self._registry = Registry(settings)
        self._host = _host(settings, self._registry)
        self._judged: dict[str, float] = {}
        self._collected = 0.0
        self._named: dict[str, set[str]] = {}  # by persona, what its ledger has serve
        self._troubles: dict[str, tuple[str, str]] = {}  # by persona, why its version can't be loaded yet
        self.refresh()
        while self._host.starting:
            time.sleep(POLL_SECONDS)
            self.refresh()
        threading.Thread(target=self._poll, daemon=True, name="ledger").start()

    def _poll(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self.refresh()

    def refresh(self) -> None:
        """Follow the ledger: load what is new, forget what is not served any more, judge what is watched."""
        read = True
        for persona in persona_names(self._settings.personas_dir):
            try:
                self._follow(persona)
            except Exception as error:
                read = False
                # A lake that can't be read for a moment must not take the serving models away.
                if self._unread.get(persona) != str(error):  # once, not every second
                    logger.exception(
                        "the release of %s could not be followed; serving goes on as it was", persona
                    )
                self._unread[persona] = str(error)
            else:
                self._unread.pop(persona, None)
        self._too_old = self._age_trouble()
        self._free_retired()
        try:
            self._host.tend(self._held(), set().union(*self._named.values()) if read else None)
        except Exception:
            logger.exception("what holds the models could not be looked after")

    def _held(self) -> list[ServedModel]:
        """Models that a request may still ask."""
        serving = [model for route in self._routes.values() for model in _models(route)]
        return serving + [model for _, ref in self._retired if (model := ref()) is not None]

    def _age_trouble(self) -> LedgerTooOld | None:
        try:
            self.ledgers.check()
        except LedgerTooOld as error:
            return error
        except Exception:  # nothing is known yet, so that nothing is served
            return None
        return None

    def _follow(self, persona: str) -> None:
        history = self.ledgers.history(persona)
        self._route(persona, history)
        if time.monotonic() - self._judged.get(persona, 0.0) < JUDGE_SECONDS:
            return
        self._judged[persona] = time.monotonic()
        if self.ledgers.lake_fails:
            return  # what was seen is kept until it can be stored
        if self._seen.write(persona):
            self._unjudged.add(persona)
        now = datetime.now(UTC)
        if not is_watched(history, self._settings, now):
            self._unjudged.discard(persona)
        # Each process judges what it has seen itself, with all that the others have stored: without anything new, and
        # before a canary ends, no verdict is another than it was.
        elif persona in self._unjudged or is_over(history, self._settings, now):
            event = apply_verdict(Ledger(self._lake, persona), self._registry, self._settings)
            self._unjudged.discard(persona)
            if event:
                logger.warning("%s is %s: %s", event.model, event.kind.replace("_", " "), event.reason)
                self.ledgers.forget()
                self._route(persona, self.ledgers.history(persona))

    def _route(self, persona: str, history: History) -> None:
        before, canary = self._routes.get(persona), history.canary()
        self._named[persona] = {tag for tag in (history.production(), canary and canary.model) if tag}
        if history.production() is None:
            self._routes.pop(persona, None)
        elif (before is None or not before.whole or before.since != history.served_since()[-1]) and (
            route := self._made(persona, history, before)
        ):
            self._routes[persona] = route
            logger.info("%s is served by %s", persona, _words(route))
        after = self._routes.get(persona)
        if before and before is not after:
            staying = _models(after) if after else []
            self._retired += [(g.model, weakref.ref(g)) for g in _models(before) if g not in staying]

    def _made(self, persona: str, history: History, before: Route | None) -> Route | None:
        """The route that the history asks for; None when production can't be loaded."""
        since, canary = history.served_since()[-1], history.canary()
        held = {g.model: g for g in _models(before)} if before else {}

        def model(tag: str) -> ServedModel | None:
            return held.get(tag) or self._load(persona, tag, since)

        production = model(history.production() or "")
        if production is None or canary is None:
            return Route(since, production) if production else None
        beside = model(canary.model)
        return Route(since, production, beside, canary.share or 0.0, whole=beside is not None)

    def _load(self, persona: str, tag: str, since: int) -> ServedModel | None:
        try:
            fresh = self._host.load(tag)
        except EngineUnavailable as error:  # no fault of the version's, and the ledger still wants it
            told = self._troubles.get(persona)
            # Its words only: an error holds the frames that it passed through, and these the models that were served.
            self._troubles[persona] = (error.problem, error.fix)
            if told is None or told[1] != error.fix:  # once, not every second
                logger.warning("%s is not loaded yet: %s", tag, str(error))
            return None
        except Exception:
            # The models that serve go on. It counts against the version, so that one that can't be loaded is
            # rolled back while it is watched.
            self._seen.not_loaded(persona, since, tag)
            logger.exception("%s could not be loaded; %s is served as before", tag, persona)
            return None
        self._troubles.pop(persona, None)
        return fresh

    def _free_retired(self) -> None:
        """Give back the memory of models whose last request has ended."""
        if self._retired and time.monotonic() - self._collected >= COLLECT_SECONDS:
            # Errors hold the frames that they passed through, in circles that only a collection finds.
            self._collected = time.monotonic()
            gc.collect()
        gone = [tag for tag, model in self._retired if model() is None]
        if gone:
            self._retired = [(tag, model) for tag, model in self._retired if model() is not None]
            gc.collect()
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            logger.info("freed %s", ", ".join(gone))

    def pick(self, name: str, key: str | int | None = None, caller: str = "") -> Pick:
        """The model for a persona's name or an exact version; with a `key`, the same for the same key. `caller` is whose
        vote it is when the model fails.

        Raises NothingReleased or NotFoundError when there is none, LedgerTooOld when nobody knows whether it still is.
        """
        if self._too_old:
            raise LedgerTooOld(self._too_old.problem, self._too_old.fix)
        if route := self._routes.get(name):
            return Pick(name, route.since, route.choose(key), caller)
        for persona, route in list(self._routes.items()):
            for generator in _models(route):
                if generator.model == name:
                    return Pick(persona, route.since, generator, caller)
        if name in persona_names(self._settings.personas_dir):
            if trouble := self._troubles.get(name):
                raise EngineUnavailable(*trouble)
            raise NothingReleased(
                f"{name!r} has nothing in production.", "approve an evaluated candidate, or run `twin demo`."
            )
        personas = ", ".join(persona_names(self._settings.personas_dir))
        raise NotFoundError(
            f"No model or persona {name!r} is in production (personas: {personas}).",
            "use one of those names.",
        )

    def start(self, pick: Pick, conversation: list[Message], sampling: Sampling) -> GenerationHandle:
        """Queue a text with the picked version. What goes wrong already here is of the request, and never counts."""
        return pick.generator.start(conversation, sampling)

    @contextmanager
    def observed(self, pick: Pick) -> Iterator[None]:
        """Counts what happens inside for or against the picked version: an answer, and a step of the model that failed. A
        step is counted once, however many texts it was to write on."""
        start = time.monotonic()
        try:
            yield
        except StepFailed as failure:
            if failure.first():
                self._seen.failed(pick.persona, pick.since, pick.generator.model, pick.caller)
            raise
        took = time.monotonic() - start
        self._seen.answered(pick.persona, pick.since, pick.generator.model, took, pick.caller)

    async def stream(self, pick: Pick, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
        """The same pieces, counted."""
        with self.observed(pick):
            async with aclosing(pieces):  # a client that goes away must be felt at once
                async for piece in pieces:
                    yield piece

    @property
    def ledger_seconds_old(self) -> float | None:
        """How long ago the ledgers were known to be so; None when nothing is known yet."""
        return self.ledgers.seconds_old

    def engines(self) -> list[tuple[str, Counts]]:
        """All that is served by version, with its part of the engine's work."""
        return [(g.model, g.engine) for route in list(self._routes.values()) for g in _models(route)]

    def all(self) -> list[tuple[str, str]]:
        """Persona and exact version of all that is served."""
        return [
            (persona, generator.model)
            for persona, route in sorted(self._routes.items())
            for generator in _models(route)
        ]

    def held(self) -> list[str]:
        """Versions in memory: served ones, and those whose last request has not ended."""
        return [tag for _, tag in self.all()] + [tag for tag, model in self._retired if model() is not None]


def _host(settings: Settings, registry: Registry) -> Host:
    if settings.vllm_url and settings.vllm_command:
        raise TwinError("TWIN_VLLM_URL and TWIN_VLLM_COMMAND are both set.", "unset one of them.")
    if settings.vllm_url:
        return VllmHost(settings, registry, Given(settings))
    return (
        VllmHost(settings, registry, Started(settings))
        if settings.vllm_command
        else InProcess(settings, registry)
    )


def _models(route: Route) -> list[ServedModel]:
    return [route.production] + ([route.canary] if route.canary else [])


def _fraction(since: int, key: str | int | None) -> float:
    """A number in [0, 1): the same in every process for the same canary and key; random without a key."""
    if key is None:
        return random.random()
    return hash_share(f"{since}:{key}")


def _words(route: Route) -> str:
    if route.canary is None:
        return route.production.model
    return f"{route.production.model}, and {route.canary.model} for {route.share:.0%} of the requests"
