"""`twin up`: Dagster's fronted webserver and its daemon, and both BentoML services, as one thing to start and stop."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from serving.access.kept_secret import kept_secret
from serving.access.this_machine import names_this_machine
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.dagster_home import ensure_dagster_home
from twin_assets.settings import ROOT, WORK_DIR, Settings

START_SECONDS = 180
STOP_SECONDS = 20
LOG_LINES = 15
LLM_KEY = "llm_key"  # in the home


@dataclass(frozen=True)
class Part:
    """One process: how it is started, and the port and path that answer when it is ready, if it has one."""

    name: str
    command: list[str]
    port: int | None = None
    setting: str = ""
    ready: str = ""


def parts(settings: Settings) -> list[Part]:
    """Everything that `twin up` starts. What has no port begins when those before it are ready: a Dagster home that two
    processes make at once is damaged."""
    binaries = Path(sys.executable).parent
    bento = [str(binaries / "bentoml"), "serve", "--host", "127.0.0.1"]
    workspace = ["-w", str(ROOT / "twin_assets" / "workspace.yaml")]
    dagster = [sys.executable, "-m", "serving.dagster_web", *workspace, "-h", "127.0.0.1"]
    return [
        Part(
            "dagster",
            [*dagster, "-p", str(settings.dagster_port)],
            settings.dagster_port,
            "TWIN_DAGSTER_PORT",
            "/server_info",
        ),
        Part("daemon", [str(binaries / "dagster-daemon"), "run", *workspace]),
        Part(
            "llm",
            [*bento, "-p", str(settings.llm_port), "serving.llm.service:LLMService"],
            settings.llm_port,
            "TWIN_LLM_PORT",
            "/readyz",
        ),
        Part(
            "twin",
            [*bento, "-p", str(settings.twin_port), "serving.twin_service:TwinService"],
            settings.twin_port,
            "TWIN_TWIN_PORT",
            "/readyz",
        ),
    ]


def check_ports(services: list[Part]) -> None:
    """Raise TwinError for the first port that is in use."""
    for part in services:
        if part.port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", part.port))
            except OSError:
                raise TwinError(
                    f"Port {part.port}, which {part.name} needs, is in use.",
                    f"stop what listens there, or set {part.setting} to a free port.",
                ) from None


class Running:
    """The started processes, each in a group of its own, with its log in a file."""

    def __init__(self, settings: Settings) -> None:
        self.logs = settings.home / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        # A service empties the counters of its BENTOML_HOME at the start, so each has one of its own.
        self.counters = settings.home / "run"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "DAGSTER_HOME": str(settings.dagster_home),
            "BENTOML_DO_NOT_TRACK": "True",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        # Our LLM service and the twin share a key; another engine has its own, which is not for ours.
        own, engine = f"http://127.0.0.1:{settings.llm_port}/v1", urlsplit(settings.llm_url)
        here = names_this_machine(engine.hostname or "") and engine.port == settings.llm_port
        ours = here or "llm_url" not in settings.model_fields_set
        given = settings.llm_api_key.get_secret_value() if ours and settings.llm_api_key else None
        self.key_in = "TWIN_LLM_API_KEY" if given else str(settings.home / LLM_KEY)
        key = {"TWIN_LLM_API_KEY": given or kept_secret(settings.home / LLM_KEY).decode()}
        self.of_part = {"llm": key, "twin": key | {"TWIN_LLM_URL": own} if ours else {}}

    def start(self, part: Part) -> None:
        with (self.logs / f"{part.name}.log").open("wb") as log:
            self.processes[part.name] = subprocess.Popen(
                part.command,
                cwd=WORK_DIR,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self.environment
                | {"BENTOML_HOME": str(self.counters / part.name)}
                | self.of_part.get(part.name, {}),
            )

    def check(self) -> None:
        """Raise TwinError, with its last lines, if a process has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = self.logs / f"{name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
                raise TwinError(f"{name} stopped (status {process.returncode}):\n{tail}\n", f"read {log}.")

    def wait_ready(self, part: Part) -> None:
        if part.port is None:
            return
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            try:
                if httpx.get(f"http://127.0.0.1:{part.port}{part.ready}", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise TwinError(
            f"{part.name} was not ready after {START_SECONDS} s.", f"read {self.logs / part.name}.log."
        )

    def stop(self) -> None:
        """End every process group: politely, then not."""
        for process in self.processes.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.1))
            _signal(process, signal.SIGKILL)  # what is left of the group, if anything


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def run_until_stopped(settings: Settings) -> None:
    """Start, say where everything is, and wait for Ctrl-C. Raises TwinError when a port is in use or a part ends."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    running = Running(settings)
    try:
        services = parts(settings)
        check_ports(services)
        ensure_dagster_home(settings)
        for part in services:
            if part.port:
                running.start(part)
        for part in services:
            print(f"starting {part.name} ...", flush=True)
            if not part.port:
                running.start(part)
            running.wait_ready(part)
        print(_where(settings, running.logs, running.key_in), flush=True)
        while not stopped.wait(1):
            running.check()
    finally:
        running.stop()
    print("stopped")


def _where(settings: Settings, logs: Path, key_in: str) -> str:
    twin = f"http://127.0.0.1:{settings.twin_port}"
    return f"""
  twin (web page and API)   {twin}
  LLM service               http://127.0.0.1:{settings.llm_port}/v1   (its key: {key_in})
  Dagster                   http://127.0.0.1:{settings.dagster_port}
  logs                      {logs}

  curl {twin}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "runa", "messages": [{{"role": "user", "content": "What did Lantern cost to buy?"}}]}}'
  curl {twin}/v1/write -H 'content-type: application/json' \\
    -d '{{"persona": "runa", "kind": "linkedin_post", "topic": "why we rehearse restores"}}'

  Ctrl-C stops everything."""
