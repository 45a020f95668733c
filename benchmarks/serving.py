"""The gateway against bare servers, and the engine against `model.generate`, each in one run.

    python -m benchmarks.serving gateway [--requests 600] [--rounds 3] [--clients 1 8 32]
    python -m benchmarks.serving tails   [--requests 4000]
    python -m benchmarks.serving llm     [--tokens 64] [--prompt 128] [--rounds 3] [--model FOLDER]
                                         [--shape llama-8b] [--at-once 1 8 32 64]
                                         [--gguf KIND=FILE ... --peer ENGINE=PYTHON ...]

gateway: an echo of a chat completion behind a bare uvicorn app, a bare BentoML service, a bare BentoML gateway in
front of the uvicorn echo (two hops, as ours) as BentoML comes and with the settings of ours, and our TwinService in
front of it: without passages ("Hello there!" needs none), and with retrieval, of a tenth of the requests. Servers take
turns in each round, so that load from elsewhere meets all.
tails: bare BentoML with parts taken out, for where its long tail comes from.
llm: a model of SmolLM2-135M's shape, or of the profile --shape, with random weights unless --model names a folder;
greedy speed is the same. On a GPU where there is one. With --gguf and --peer every engine is a row, ours, transformers' two and
those of other projects, with ratios in one run: benchmarks/engines.py, whose options hold then.
Prints the load average, since ratios travel and figures of a busy machine don't; CPU time for each request and
token travels better still.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from benchmarks.http_load import measure
from twin_assets.core.persona.definition import save_persona
from twin_assets.settings import ROOT, Settings

BIN = Path(sys.executable).parent
PERSONA, QUESTION, SMALL_TALK = "bench", "Why was the tide table a day old?", "Hello there!"

NUMBER = itertools.count(1)
Figures = dict[str, list[tuple[float, ...]]]


class Server(NamedTuple):
    """A running server, and what it is asked."""

    name: str
    port: int
    content: str
    process: psutil.Process

    def bodies(self, requests: int) -> list[dict[str, object]]:
        """A question is never asked twice, since its vector would be kept; small talk is always the same."""
        several = [f"{self.content} {next(NUMBER)}" if self.asks else self.content for _ in range(requests)]
        return [
            {"model": PERSONA, "messages": [{"role": "user", "content": c}], "max_tokens": 16}
            for c in several
        ]

    @property
    def asks(self) -> bool:
        return self.content == QUESTION

    @property
    def megabytes(self) -> float:
        """Memory of its processes."""
        return sum(p.memory_info().rss for p in self._family) / 1e6

    @property
    def cpu_seconds(self) -> float:
        """That its processes have used: unlike the clock, hardly touched by what else runs."""
        return sum(p.cpu_times().user + p.cpu_times().system for p in self._family)

    @property
    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def measured(self, clients: int, requests: int) -> tuple[float, ...]:
        """The figures of `Load`, and milliseconds of CPU for each request."""
        before = self.cpu_seconds
        load = measure(self.port, self.bodies(requests), clients)
        return (*load, (self.cpu_seconds - before) * 1000 / requests)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(home: Path, name: str, content: str, command: list[str], **environment: str) -> Iterator[Server]:
    """Runs a server until the end of the block. `{port}` in the command is a free one."""
    port = free_port()
    given = os.environ | {"BENTOML_HOME": str(home / f"run-{port}"), "PYTHONPATH": str(ROOT)} | environment
    with (home / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [part.format(port=port) for part in command], cwd=ROOT, env=given, stdout=log, stderr=log
        )
    try:
        wait_until_it_answers(port, process)
        yield Server(name, port, content, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


def wait_until_it_answers(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=5).status_code in (200, 404):
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit(f"a server ended with {process.returncode}; read its log")


def uvicorn(app: str) -> list[str]:
    return [sys.executable, "-m", "uvicorn", app, "--port", "{port}", "--no-access-log"]


def bento(service: str) -> list[str]:
    return [str(BIN / "bentoml"), "serve", "--host", "127.0.0.1", "-p", "{port}", service]


def installed(home: Path) -> dict[str, str]:
    """A persona with an index and three releases, for our service; its environment."""
    from twin_assets.core.embedding.embedder import load_embedder
    from twin_assets.core.records import EmbeddedChunk
    from twin_assets.core.release.ledger import Ledger
    from twin_assets.core.storage.lake import open_lake
    from twin_assets.core.vectors import open_store

    settings = Settings(home=home, personas_dir=home / "personas", profile="smoke")
    settings.personas_dir.mkdir()
    save_persona(settings.personas_dir, {
        "name": PERSONA, "full_name": "Runa Hollis", "license": "CC-BY-4.0", "about": "Keeps the boats' data.",
        "medium": {"feed": "https://medium.com/feed/@x"},
    })  # fmt: skip
    embedder = load_embedder(settings.embedder)
    files = sorted((ROOT / "demo" / "writing").glob("*/*.md"))
    texts = [p for f in files for p in f.read_text().split("\n\n") if len(p.split()) > 20]
    open_store(settings, PERSONA).sync([
        EmbeddedChunk(
            chunk_id=f"c{n}", doc_id=f"d{n}", persona=PERSONA, source="medium", category="article",
            url=f"https://bench.example/{n}", text=text, start=0, end=len(text), tokens=80, split="train",
            content_hash=str(n), vector=vector.tolist(), embedder=embedder.fingerprint,
        )
        for n, (text, vector) in enumerate(zip(texts, embedder.embed(texts), strict=True))
    ])  # fmt: skip
    ledger = Ledger(open_lake(settings), PERSONA)
    for model in ("twin-bench:one", "twin-bench:two", "twin-bench:three"):
        ledger.append(model, "proposed", "benchmark", "new")
        ledger.append(model, "evaluated", "benchmark", "passed", passed=True)
        ledger.append(model, "approved", "benchmark", "good")
        ledger.append(model, "deployed", "benchmark", "approved")
    return {
        "TWIN_HOME": str(home), "TWIN_PERSONAS_DIR": str(settings.personas_dir), "TWIN_PROFILE": "smoke",
        "TWIN_LLM_MODEL": "echo", "TWIN_RATE_PER_MINUTE_ADDRESS": "0", "TWIN_MAX_RUNNING": "32",
    }  # fmt: skip


def gateway(requests: int, rounds: int, clients: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        home = Path(folder)

        def serve(name: str, content: str, command: list[str], **environment: str) -> Server:
            return running.enter_context(served(home, name, content, command, **environment))

        ours = installed(home)
        echo = serve("uvicorn", SMALL_TALK, uvicorn("benchmarks.echo_services:bare"))
        engine = {
            "ECHO_URL": f"http://127.0.0.1:{echo.port}/v1",
            "TWIN_LLM_URL": f"http://127.0.0.1:{echo.port}/v1",
        }
        twin = serve(
            "ours, two hops", SMALL_TALK, bento("serving.twin_service:TwinService"), **ours, **engine
        )
        servers = [
            echo,
            serve("BentoML", SMALL_TALK, bento("benchmarks.echo_services:Echo")),
            serve("BentoML, two hops", SMALL_TALK, bento("benchmarks.echo_services:Gateway"), **engine),
            serve(
                "- set as ours",
                SMALL_TALK,
                bento("benchmarks.echo_services:Gateway"),
                ECHO_WITHOUT="access-log,tracing,gc",
                **engine,
            ),
            twin,
            twin._replace(name="ours, with retrieval", content=QUESTION),
        ]
        for server in servers:
            measure(server.port, server.bodies(100), 8)  # warm
        for many in clients:
            loads: Figures = {server.name: [] for server in servers}
            for _ in range(rounds):
                for server in servers:
                    asked = requests // 10 if server.asks else requests
                    loads[server.name].append(server.measured(many, asked))
            show(f"{many} client{'s' if many > 1 else ''}", loads)


def show(title: str, figures: Figures) -> None:
    """Medians over the rounds, and ratios to uvicorn and to bare BentoML with as many hops, where that is there."""
    middle = {
        name: [statistics.median(column) for column in zip(*several, strict=True)]
        for name, several in figures.items()
    }
    two_hops = middle.get("BentoML, two hops", middle["BentoML"])
    (_, _, uvicorn_p99, _), (_, peer_p50, peer_p99, peer_cpu) = middle["uvicorn"], two_hops
    print(f"\n{title}, load average {os.getloadavg()[0]:.1f}")
    peer = "two hops" if "BentoML, two hops" in middle else "BentoML"
    print(f"{'':22}   req/s   p50 ms   p99 ms   CPU ms  to {peer}: p50    p99    CPU  p99/uvicorn")
    for name, (rate, p50, p99, cpu) in middle.items():
        print(
            f"{name:22} {rate:7.0f} {p50:8.2f} {p99:8.2f} {cpu:8.2f} {p50 / peer_p50:17.2f} {p99 / peer_p99:6.2f} "
            f"{cpu / peer_cpu:6.2f} {p99 / uvicorn_p99:12.2f}",
            flush=True,
        )


def tails(requests: int) -> None:
    variants = {"BentoML": "", "- access log": "access-log", "- metrics": "metrics", "- tracing": "tracing",
                "- collector": "gc", "- all four": "access-log,metrics,tracing,gc"}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        home = Path(folder)
        servers = [
            running.enter_context(
                served(home, "uvicorn", SMALL_TALK, uvicorn("benchmarks.echo_services:bare"))
            )
        ]
        servers += [
            running.enter_context(served(home, name, SMALL_TALK, bento("benchmarks.echo_services:Echo"), ECHO_WITHOUT=what))
            for name, what in variants.items()
        ]  # fmt: skip
        loads: Figures = {server.name: [] for server in servers}
        before = {server.name: server.megabytes for server in servers}
        for _ in range(3):
            for server in servers:
                loads[server.name].append(server.measured(8, requests))
        show("8 clients", loads)
        grown = {server.name: server.megabytes - before[server.name] for server in servers}
        print("\nmemory gained: " + ", ".join(f"{name} {mb:+.0f} MB" for name, mb in grown.items()))


def every_engine(arguments: list[str]) -> None:
    """All engines as rows."""
    from benchmarks import engines

    sys.argv[1:] = arguments
    engines.main()


def main() -> None:
    if sys.argv[1:2] == ["llm"] and {word.split("=")[0] for word in sys.argv} & {"--gguf", "--peer"}:
        every_engine(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_subparsers(dest="what", required=True)
    one = what.add_parser("gateway")
    one.add_argument("--requests", type=int, default=600)
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    two = what.add_parser("tails")
    two.add_argument("--requests", type=int, default=4000)
    three = what.add_parser("llm")
    three.add_argument("--tokens", type=int, default=64)
    three.add_argument("--prompt", type=int, default=128)
    three.add_argument("--rounds", type=int, default=3)
    three.add_argument("--model", type=Path)
    three.add_argument("--shape", default="pocket")
    three.add_argument("--at-once", type=int, nargs="+", default=[8])
    given = parser.parse_args()
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    if given.what == "gateway":
        gateway(given.requests, given.rounds, given.clients)
    elif given.what == "tails":
        tails(given.requests)
    else:
        from benchmarks.engine_speed import engine_speed

        engine_speed(given.model, given.prompt, given.tokens, given.rounds, given.shape, given.at_once)


if __name__ == "__main__":
    main()
