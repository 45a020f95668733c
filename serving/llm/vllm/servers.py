"""Which server a version is served by: the one that was given, or one that is started for its base."""

import contextlib
import json
import logging
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from serving.llm.vllm import leash
from serving.llm.vllm.server import Refused, VllmServer
from twin_assets.core.errors import TwinError
from twin_assets.core.models.version import ModelVersion
from twin_assets.inference.generation.remote import EngineUnavailable
from twin_assets.settings import Settings

# The ranks that vLLM makes room for; an adapter gets the next one up.
RANKS = (16, 32, 64, 128, 256, 320, 512)
START_SECONDS = 1800.0  # tens of gigabytes from a network disk
PROGRESS_SECONDS = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between an end and the next start
SPARE_SECONDS = 30.0  # that a server stays which nothing is served by and nothing is to be loaded on
TAIL = 5  # lines of its log that are told when it ends

logger = logging.getLogger("serving")


class Servers(Protocol):
    """The vLLM servers of one service."""

    def of(self, version: ModelVersion, base: ModelVersion | None) -> VllmServer:
        """The server for an adapter on `base`, or for a whole model. Raises Refused where there can't be one, and
        EngineUnavailable while there is none yet."""
        ...

    def tend(self, used: Collection[VllmServer]) -> None:
        """Start again what ended, end what is not used."""
        ...

    def all(self) -> list[VllmServer]: ...

    @property
    def starting(self) -> bool:
        """Whether a server that never answered yet is on its way."""
        ...


class Given:
    """The server of TWIN_VLLM_URL: somebody else starts and ends it."""

    starting = False

    def __init__(self, settings: Settings) -> None:
        key = settings.vllm_api_key.get_secret_value() if settings.vllm_api_key else None
        self._server = VllmServer(settings.vllm_url or "", key, settings.llm_timeout)

    def of(self, version: ModelVersion, base: ModelVersion | None) -> VllmServer:
        if base is None:
            raise Refused(
                f"{version.tag} is a whole model, and vLLM at {self._server.url} serves adapters on one base.",
                "set TWIN_VLLM_COMMAND in place of TWIN_VLLM_URL, so that a server can be started on it.",
            )
        return self._server

    def tend(self, used: Collection[VllmServer]) -> None:
        """It is not ours to start or end."""

    def all(self) -> list[VllmServer]:
        return [self._server]


class Started:
    """Servers that TWIN_VLLM_COMMAND starts: one for each base, or whole model, that is served, and another for adapters of a
    higher rank than it has room for. They end with this process."""

    def __init__(self, settings: Settings) -> None:
        """Raises TwinError when the command has no place for the model or the port."""
        if missing := [w for w in ("{model}", "{port}") if w not in (settings.vllm_command or "")]:
            raise TwinError(
                f"TWIN_VLLM_COMMAND does not say {' and '.join(missing)}.",
                "write `vllm serve {model} --host 127.0.0.1 --port {port} --enable-lora --max-lora-rank {rank}`.",
            )
        self._settings = settings
        self._children: list[Child] = []

    def of(self, version: ModelVersion, base: ModelVersion | None) -> VllmServer:
        folder, rank = (base or version).path, _rank(version) if base else 0
        child = next((c for c in self._children if c.folder == folder and c.rank >= rank), None)
        if child is None:
            child = Child(self._settings, folder, rank)
            self._children.append(child)
            child.start()
        child.wanted = time.monotonic()
        child.check()
        return child.server

    def tend(self, used: Collection[VllmServer]) -> None:
        for child in list(self._children):
            if child.server in used or time.monotonic() - child.wanted < SPARE_SECONDS:
                child.mend()
            else:
                logger.info("vLLM on %s is not needed any more", child.folder)
                child.stop()
                self._children.remove(child)

    def all(self) -> list[VllmServer]:
        return [child.server for child in self._children if child.alive and child.answered]

    @property
    def starting(self) -> bool:
        return any(child.alive and not child.answered for child in self._children)


class Child:
    """One server as a process, which holds `rank` at most. Its log is in TWIN_HOME/logs."""

    def __init__(self, settings: Settings, folder: Path, rank: int) -> None:
        self.rank = next((r for r in RANKS if r >= rank), RANKS[-1])
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.folder, self._key = folder, secrets.token_urlsafe(24)
        self._command = _command(settings.vllm_command or "", folder, port, self.rank)
        (settings.home / "logs").mkdir(parents=True, exist_ok=True)
        self._log = settings.home / "logs" / f"vllm-{port}.log"
        self.server = VllmServer(f"http://127.0.0.1:{port}", self._key, settings.llm_timeout)
        self.answered, self.wanted = False, time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._told = self._again = 0.0
        self._pause = FIRST_PAUSE

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, and don't wait for it."""
        # None of our secrets, and none of our packages: it has an environment of its own.
        hidden = ("TWIN_", "PYTHONPATH", "PYTHONHOME")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        environment |= {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_API_KEY": self._key}
        self._began = self._told = time.monotonic()
        logger.info("starting vLLM on %s; its log is %s", self.folder, self._log)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, leash.__file__, *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )

    def check(self) -> None:
        """Raises EngineUnavailable while it doesn't answer; says now and then how far it is."""
        if not self.alive:
            raise EngineUnavailable(
                f"vLLM on {self.folder} ended: {self._tail()}",
                f"read {self._log}, and mend TWIN_VLLM_COMMAND.",
            )
        try:
            self.server.look()
        except EngineUnavailable:
            took = time.monotonic() - self._began
            if time.monotonic() - self._told >= PROGRESS_SECONDS:
                self._told = time.monotonic()
                logger.info("vLLM on %s is starting, %.0f s so far: %s", self.folder, took, self._tail(1))
            if not self.answered and took > START_SECONDS:
                self._end()
            raise EngineUnavailable(
                f"vLLM on {self.folder} is starting, {took:.0f} s so far.", f"wait, or read {self._log}."
            ) from None
        if not self.answered:
            logger.info("vLLM on %s answers after %.0f s", self.folder, time.monotonic() - self._began)
        self.answered, self._pause = True, FIRST_PAUSE

    def mend(self) -> None:
        """Start it again some time after it ended: the longer, the more often it did."""
        if self.alive:
            return
        now = time.monotonic()
        if not self._again:
            self._again = now + self._pause
            logger.error(
                "vLLM on %s ended; it is started again in %g s: %s", self.folder, self._pause, self._tail()
            )
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        elif now >= self._again:
            self._again = 0.0
            self.start()

    def stop(self) -> None:
        self._end()
        self.server.close()

    def _end(self) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.close()  # the leash feels it
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(leash.GRACE_SECONDS + 5)

    def _tail(self, lines: int = TAIL) -> str:
        with contextlib.suppress(OSError):
            told = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
            return " | ".join(line[:200] for line in told[-lines:]) or "it said nothing"
        return "it said nothing"


def _rank(version: ModelVersion) -> int:
    return int(json.loads((version.path / "adapter_config.json").read_text())["r"])


def _command(template: str, folder: Path, port: int, rank: int) -> list[str]:
    values = {"{model}": str(folder), "{port}": str(port), "{rank}": str(rank)}
    words = shlex.split(template)
    for name, value in values.items():
        words = [word.replace(name, value) for word in words]
    return words
