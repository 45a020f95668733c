"""Where the models that serve are held: in this process, or in a vLLM server (`vllm`)."""

from collections import Counter
from collections.abc import Collection
from typing import Protocol

from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Message
from twin_assets.inference.generation.engine import GenerationHandle
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.settings import Settings

TRIAL = [Message(role="system", content="You are asked."), Message(role="user", content="Are you there?")]


class Counts(Protocol):
    """What a model is about and has done: `done` counts steps, reads and tokens, and texts by how they ended."""

    done: Counter[str]

    @property
    def waiting(self) -> int: ...

    @property
    def writing(self) -> int: ...


class ServedModel(Protocol):
    """A model that serves."""

    model: str

    @property
    def engine(self) -> Counts: ...

    def start(self, conversation: list[Message], sampling: Sampling) -> GenerationHandle:
        """Queue a text to be written. Raises TwinError for what can't be asked, EngineBusy when as many wait as may."""
        ...


class Host(Protocol):
    """What loads versions and keeps them."""

    @property
    def starting(self) -> bool:
        """Whether something is on its way that versions are to be loaded on."""
        ...

    def load(self, tag: str) -> ServedModel:
        """The version, ready: it has written a word. It is kept while anybody holds the object.

        Raises EngineUnavailable for what is no fault of the version's, and anything else when it can't be served.
        """
        ...

    def tend(self, held: Collection[ServedModel], named: Collection[str] | None) -> None:
        """Called every second: `held` are the models that a request may still ask, `named` the versions that some ledger
        names, None when a ledger can't be read."""
        ...


class InProcess:
    """Models in this process."""

    starting = False

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings, self._registry = settings, registry

    def load(self, tag: str) -> LocalGenerator:
        s = self._settings
        fresh = LocalGenerator.of(self._registry, tag, s.llm_batch, s.llm_waiting)
        fresh.load()
        # Without a chat template, say, it loads and can't be asked: found out here, no request is hurt.
        fresh.generate([TRIAL], Sampling(1))
        return fresh

    def tend(self, held: Collection[ServedModel], named: Collection[str] | None) -> None:
        """Nothing to do: memory is freed with the objects."""
