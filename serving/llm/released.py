"""The models that serve each persona, as the release ledger says; swapped without a restart.

A new version is loaded before it gets its first request, and an old one is freed after its last: requests
hold the model that they began with.
"""

import gc
import logging
import random
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import NamedTuple, TypeVar

from serving.errors import NotFoundError, NothingReleased
from serving.llm.observations import Observations
from twin_assets.core.hashing import hash_share
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import persona_names
from twin_assets.core.records import Message
from twin_assets.core.release.canary import apply_verdict
from twin_assets.core.release.history import History
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import open_lake
from twin_assets.inference.generation.engine import Engine, GenerationHandle, StepFailed
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.settings import Settings

POLL_SECONDS = 1.0
JUDGE_SECONDS = 2.0
TRIAL = [Message(role="system", content="You are asked."), Message(role="user", content="Are you there?")]

Piece = TypeVar("Piece")

logger = logging.getLogger("serving")


class Route(NamedTuple):
    """The models that serve a persona. `since` is the number of the ledger event that made it so; `whole` is False
    while a canary that the ledger names could not be loaded."""

    since: int
    production: LocalGenerator
    canary: LocalGenerator | None = None
    share: float = 0.0
    whole: bool = True

    def choose(self, key: str | int | None) -> LocalGenerator:
        """The canary for its share of the keys, or of the requests where there is no key."""
        if self.canary is None:
            return self.production
        return self.canary if _fraction(self.since, key) < self.share else self.production


class Pick(NamedTuple):
    """The model that writes one answer."""

    persona: str
    since: int
    generator: LocalGenerator
    caller: str = ""


class ReleasedModels:
    """The models in production and in canaries, by persona."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lake = open_lake(settings)
        self._ledgers: dict[str, Ledger] = {}
        self._routes: dict[str, Route] = {}
        self._retired: list[tuple[str, weakref.ref[LocalGenerator]]] = []
        self._seen = Observations(self._lake)
        self._registry = Registry(settings)
        self._judged: dict[str, float] = {}
        self.refresh()
        threading.Thread(target=self._poll, daemon=True, name="ledger").start()

    def _poll(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self.refresh()

    def refresh(self) -> None:
        """Follow the ledger: load what is new, forget what is not served any more, judge what is watched."""
        for persona in persona_names(self._settings.personas_dir):
            try:
                self._follow(persona)
            except Exception:
                # A lake that can't be read for a moment must not take the serving models away.
                logger.exception(
                    "the release of %s could not be followed; serving goes on as it was", persona
                )
        self._free_retired()

    def _follow(self, persona: str) -> None:
        ledger = self._ledgers.setdefault(persona, Ledger(self._lake, persona))
        self._route(persona, ledger.history())
        if time.monotonic() - self._judged.get(persona, 0.0) < JUDGE_SECONDS:
            return
        self._judged[persona] = time.monotonic()
        self._seen.write(persona)
        if event := apply_verdict(ledger, self._registry, self._settings):
            logger.warning("%s is %s: %s", event.model, event.kind.replace("_", " "), event.reason)
            self._route(persona, ledger.history())

    def _route(self, persona: str, history: History) -> None:
        before = self._routes.get(persona)
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

        def model(tag: str) -> LocalGenerator | None:
            return held.get(tag) or self._load(persona, tag, since)

        production = model(history.production() or "")
        if production is None or canary is None:
            return Route(since, production) if production else None
        beside = model(canary.model)
        return Route(since, production, beside, canary.share or 0.0, whole=beside is not None)

    def _load(self, persona: str, tag: str, since: int) -> LocalGenerator | None:
        try:
            s = self._settings
            fresh = LocalGenerator(self._registry.get(tag).path, tag, s.llm_batch, s.llm_waiting)
            fresh.load()
            # Without a chat template, say, it loads and can't be asked: found out here, no request is hurt.
            fresh.generate([TRIAL], Sampling(1))
        except Exception:
            # The models that serve go on. It counts against the version, so that one that can't be loaded is
            # rolled back while it is watched.
            self._seen.not_loaded(persona, since, tag)
            logger.exception("%s could not be loaded; %s is served as before", tag, persona)
            return None
        return fresh

    def _free_retired(self) -> None:
        """Give back the memory of models whose last request has ended."""
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

        Raises NothingReleased or NotFoundError when there is none.
        """
        if route := self._routes.get(name):
            return Pick(name, route.since, route.choose(key), caller)
        for persona, route in list(self._routes.items()):
            for generator in _models(route):
                if generator.model == name:
                    return Pick(persona, route.since, generator, caller)
        if name in persona_names(self._settings.personas_dir):
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

    def engines(self) -> list[tuple[str, Engine]]:
        """Version and engine of all that is served."""
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


def _models(route: Route) -> list[LocalGenerator]:
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
