"""Versions on vLLM servers, as the release ledger names them: one base, an adapter a version.

An adapter's name on the server is made from the version's tag and its weights. So a name never stands for other weights than
it did, replicas agree on names without a word, and blocks of prompts that vLLM keeps for a name stay true. What the server
holds is asked of the server, so that it may be started anew, or shared, at any time.
"""

import logging
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from serving.llm.hosting import TRIAL, ServedModel
from serving.llm.vllm.model import Places, VllmModel
from serving.llm.vllm.server import Held, Refused, VllmServer
from serving.llm.vllm.servers import Servers
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry, weights_hash
from twin_assets.core.models.version import ModelVersion
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.settings import Settings

TEND_SECONDS = 2.0
# An adapter that no ledger names stays for so long: longer than any request of any replica lasts.
UNLOAD_SECONDS = 600.0
_MARK = "@"  # between tag and weights in an adapter's name

logger = logging.getLogger("serving")


class VllmHost:
    """Loads adapters on the server for their base, again where it has lost them, and unloads them long after."""

    def __init__(
        self, settings: Settings, registry: Registry, servers: Servers, unload_seconds: float = UNLOAD_SECONDS
    ) -> None:
        self._registry, self._servers, self._unload_seconds = registry, servers, unload_seconds
        self._places = Places(settings.llm_batch + settings.llm_waiting)
        self._tended = 0.0
        self._trouble: dict[str, str] = {}  # by server, what was told of it last
        self._hashes: dict[str, str] = {}  # by folder
        self._unnamed: dict[tuple[str, str], float] = {}  # server and adapter by since when nobody names it

    @property
    def starting(self) -> bool:
        return self._servers.starting

    def load(self, tag: str) -> VllmModel:
        version = self._registry.get(tag)
        base = self._registry.base_of(version)
        server = self._servers.of(version, base)
        held = server.look()
        self._check_base(version, base or version, server, held)
        name = adapter_name(version) if base else held.base
        path = str(version.path) if base else None
        if path and name not in held.adapters:
            server.load(name, path)
            logger.info("vLLM at %s holds %s", server.url, name)
        tokenizer, ends = _read_tokenizer(version, base or version)
        model = VllmModel(tag, tokenizer, ends, server, name, path, held.context, self._places)
        # Where it can't be asked, that is found out here, and no request is hurt; however many are on their way.
        model.start(TRIAL, Sampling(1), bounded=False).result()
        return model

    def tend(self, held: Collection[ServedModel], named: Collection[str] | None) -> None:
        if time.monotonic() - self._tended < TEND_SECONDS:
            return
        self._tended = time.monotonic()
        models = [model for model in held if isinstance(model, VllmModel)]
        self._servers.tend([model.server for model in models])
        for server in self._servers.all():
            own = [model for model in models if model.server is server]
            try:
                self._tend(server, own, named)
            except TwinError as error:
                self._tell(server, error)
            else:
                self._trouble.pop(server.url, None)

    def _tend(self, server: VllmServer, models: list[VllmModel], named: Collection[str] | None) -> None:
        there = server.look().adapters
        for model in models:
            if model.path and model.name not in there:
                server.load(model.name, model.path)
                logger.warning("vLLM at %s had lost %s and holds it again", server.url, model.name)
        if named is None:
            return
        kept = {model.name for model in models}
        idle = {n for n in there - kept if _MARK in n and n.startswith("twin-") and _tag(n) not in named}
        now = time.monotonic()
        for key in [k for k in self._unnamed if k[0] == server.url and k[1] not in idle]:
            del self._unnamed[key]
        for name in idle:
            if now - self._unnamed.setdefault((server.url, name), now) >= self._unload_seconds:
                server.unload(name)
                del self._unnamed[server.url, name]
                logger.info("vLLM at %s has unloaded %s", server.url, name)

    def _tell(self, server: VllmServer, error: TwinError) -> None:
        """Once, not every second."""
        if self._trouble.get(server.url) != error.problem:
            self._trouble[server.url] = error.problem
            logger.error("%s", str(error))

    def _check_base(self, version: ModelVersion, base: ModelVersion, server: VllmServer, held: Held) -> None:
        """Raises Refused when the server serves another base than the version stands on. By its path, its weights where
        they are within sight, or the hub's name for it."""
        root = Path(held.root)
        same = root == base.path or held.root == base.about.base_model.split("@")[0]
        if not same and root.is_dir():
            if held.root not in self._hashes:
                self._hashes[held.root] = weights_hash(root)
            same = self._hashes[held.root] == base.weights_hash
        if not same:
            raise Refused(
                f"vLLM at {server.url} serves {held.root}, and {version.tag} stands on {base.tag} "
                f"({base.about.base_model or 'of no hub'}, weights {base.weights_hash}).",
                f"start it on {base.path}.",
            )


def adapter_name(version: ModelVersion) -> str:
    """What a version's adapter is called on the server."""
    return f"{version.tag}{_MARK}{version.weights_hash}"


def _tag(name: str) -> str:
    return name.rpartition(_MARK)[0]


def _read_tokenizer(version: ModelVersion, base: ModelVersion) -> tuple[Any, frozenset[int]]:
    """The tokenizer that the version was trained with, and the tokens that end a text."""
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(version.path)
    ends = tokenizer.eos_token_id
    also: Any = None
    if (base.path / "generation_config.json").is_file():
        also = GenerationConfig.from_pretrained(base.path).eos_token_id
    also = also if isinstance(also, list) else [also]
    return tokenizer, frozenset(t for t in [ends, *also] if t is not None)
