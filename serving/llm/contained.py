"""The models of a bento that contains what it serves (`twin export bento`), which needs no lake and no registry.

BentoML knows them by the bento's own declaration: each model with its tag, and the alias that it is asked by.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import bentoml

from serving.errors import NotFoundError
from serving.llm.hosting import Counts, InProcess
from serving.llm.released import Pick
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry, weights_hash
from twin_assets.core.records import Message
from twin_assets.inference.generation.engine import GenerationHandle
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.settings import Settings

Piece = TypeVar("Piece")


def contained_in(service: Any) -> dict[str, str]:
    """Versions by the persona that each answers for, of the bento that a BentoML service was loaded from.

    Empty outside of bentos, and in one that contains none. What has no alias, an adapter's base, is asked by nobody.
    """
    models = service.bento.info.all_models if service.bento else []
    return {model.alias: str(model.tag) for model in models if model.alias}


class ContainedModels:
    """A version for each persona, the same from the service's start to its end, in the place of `ReleasedModels`.

    Nothing is written: a version here has none beside or before it that it could be judged against.
    """

    ledger_seconds_old: float | None = None

    def __init__(self, settings: Settings, contained: Mapping[str, str]) -> None:
        """Loads all of them. Raises TwinError when one, or its base, isn't in the bento as it was, and what loading it raises."""
        if settings.vllm_url or settings.vllm_command:
            raise TwinError(
                "A bento that contains its models holds them in its own process, and a vLLM server is set.",
                "unset TWIN_VLLM_URL and TWIN_VLLM_COMMAND, or serve under the ledger with the bento of deploy/bento/llm.yaml.",
            )
        registry = Registry(settings, _store(next(iter(contained.values()))))
        host = InProcess(settings, registry)
        for tag in contained.values():
            check_files(registry, tag)
        self._served = {persona: host.load(tag) for persona, tag in contained.items()}

    def pick(self, name: str, key: str | int | None = None, caller: str = "") -> Pick:
        """The model for a persona's name or an exact version. Raises NotFoundError when it isn't in the bento."""
        for persona, model in self._served.items():
            if name in (persona, model.model):
                return Pick(persona, 0, model, caller)
        names = ", ".join(name for one in self.all() for name in one)
        raise NotFoundError(
            f"No model or persona {name!r} is in this bento (there are: {names}).", "use one of those names."
        )

    def start(self, pick: Pick, conversation: list[Message], sampling: Sampling) -> GenerationHandle:
        """Queue a text with the picked version."""
        return pick.generator.start(conversation, sampling)

    @contextmanager
    def observed(self, pick: Pick) -> Iterator[None]:
        """Counts nothing."""
        yield

    async def stream(self, pick: Pick, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
        """The same pieces."""
        async with aclosing(pieces):  # a client that goes away must be felt at once
            async for piece in pieces:
                yield piece

    def engines(self) -> list[tuple[str, Counts]]:
        """All that is served by version, with its part of the engine's work."""
        return [(model.model, model.engine) for model in self._served.values()]

    def all(self) -> list[tuple[str, str]]:
        """Persona and exact version of all that is served."""
        return sorted((persona, model.model) for persona, model in self._served.items())


def check_files(registry: Registry, tag: str) -> None:
    """Raises TwinError when the files of a version, or of its base, aren't those that it was made with: a bento travels."""
    version = registry.get(tag)
    for one in filter(None, (version, registry.base_of(version))):
        if weights_hash(one.path) != one.weights_hash:
            raise TwinError(
                f"The files of {one.tag} in this bento are not those of the version.",
                "bring the bento again.",
            )


def _store(tag: str) -> Path:
    """The model store that the bento's models are in: its own folder, or that of the machine where it was imported."""
    return Path(bentoml.models.get(tag).path).parents[1]
