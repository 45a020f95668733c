"""Which model each persona has in production, as the release ledger says; swapped without a restart."""

import logging
import threading
import time

from serving.errors import NothingReleased, Unknown
from twin_assets.core.lake import open_lake
from twin_assets.core.ledger import Ledger
from twin_assets.core.persona import persona_names
from twin_assets.core.registry import Registry
from twin_assets.inference.generation import LocalGenerator
from twin_assets.settings import Settings

POLL_SECONDS = 1.0

logger = logging.getLogger("serving")


class ReleasedModels:
    """Generators by persona. A new release is loaded first and then swapped in; running requests finish."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lake = open_lake(settings)
        self._serving: dict[str, LocalGenerator] = {}
        self.refresh()
        threading.Thread(target=self._poll, daemon=True, name="ledger").start()

    def _poll(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            try:
                self.refresh()
            except Exception:
                # A lake that can't be read for a moment must not take the serving model away.
                logger.exception("the release ledger could not be read; serving goes on as it was")

    def refresh(self) -> None:
        """Read the ledger, load what is new in production, forget what is not."""
        wanted = {p: Ledger(self._lake, p).production() for p in persona_names(self._settings.personas_dir)}
        for persona, tag in wanted.items():
            serving = self._serving.get(persona)
            if tag is None:
                self._serving.pop(persona, None)
            elif serving is None or serving.model != tag:
                fresh = LocalGenerator(Registry(self._settings).get(tag).path, tag)
                fresh.load()
                self._serving[persona] = fresh
                logger.info("%s is now served by %s", persona, tag)

    def find(self, name: str) -> LocalGenerator:
        """The generator for a persona's name or an exact version. Raises when it is not in production."""
        if name in self._serving:
            return self._serving[name]
        for generator in list(self._serving.values()):
            if generator.model == name:
                return generator
        if name in persona_names(self._settings.personas_dir):
            raise NothingReleased(
                f"{name!r} has nothing in production.", "approve an evaluated candidate, or run `make demo`."
            )
        known = ", ".join(persona_names(self._settings.personas_dir))
        raise Unknown(
            f"No model or persona {name!r} is in production (personas: {known}).", "use one of those names."
        )

    def all(self) -> dict[str, str]:
        """Exact version by persona."""
        return {persona: generator.model for persona, generator in sorted(self._serving.items())}
