"""The twin's application on a real HTTP server, with a real index, ledger and lake; only the engine is a double."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from serving.app import create_app
from serving.twin.answering import AnswerService
from tests.serving.engine_double import EngineDouble
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.persona.definition import save_persona
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.vectors import open_store
from twin_assets.settings import Settings

MODEL = "twin-runa-dpo:one"
TEXTS = {
    "tides": "The tide table for Stenna was a day old, since the import trusted the clock.",
    "backups": "We rehearse restores on Tuesdays. A backup that was never restored is a hope.",
    "sql": "Plain SQL outlives every framework that promised to hide it from us.",
}
QUESTION = "Why was the tide table a day old?"


def install(home: Path, engine: str, **changes: Any) -> Settings:
    """A persona with an index and a model in production; a second one, `ola`, without."""
    settings = Settings(home=home, personas_dir=home / "personas", profile="smoke", llm_url=engine, **changes)
    settings.personas_dir.mkdir(parents=True)
    for name in ("runa", "ola"):
        save_persona(settings.personas_dir, {
            "name": name, "full_name": name.title(), "license": "CC-BY-4.0", "about": "Keeps the boats' data.",
            "medium": {"feed": "https://medium.com/feed/@x"},
        })  # fmt: skip
    ledger = Ledger(open_lake(settings), "runa")
    ledger.append(MODEL, "proposed", "pipeline", "new")
    ledger.append(MODEL, "evaluated", "pipeline", "passed", passed=True)
    ledger.append(MODEL, "approved", "Ines", "good")
    ledger.append(MODEL, "deployed", "pipeline", "approved")
    fill_index(settings)
    return settings


def fill_index(settings: Settings) -> None:
    embedder = load_embedder(settings.embedder)
    open_store(settings, "runa").sync([
        EmbeddedChunk(
            chunk_id=name, doc_id=f"doc-{name}", persona="runa", source="medium", category="article", url=f"https://runa.example/{name}",
            text=text, start=0, end=len(text), tokens=20, split="train", content_hash=name,
            vector=vector.tolist(), embedder=embedder.fingerprint,
        )
        for (name, text), vector in zip(TEXTS.items(), embedder.embed(list(TEXTS.values())), strict=True)
    ])  # fmt: skip


@dataclass
class Server:
    """A running application and a client of it."""

    settings: Settings
    answers: AnswerService
    client: httpx.Client
    url: str

    def write(self, **body: Any) -> httpx.Response:
        return self.client.post("/v1/write", json={"persona": "runa", "topic": "tides"} | body)

    def ask(self, question: str = QUESTION, **body: Any) -> httpx.Response:
        messages = [{"role": "user", "content": question}]
        return self.client.post("/v1/chat/completions", json={"model": "runa", "messages": messages} | body)


@contextmanager
def serving(settings: Settings) -> Iterator[Server]:
    """The application on a free port, until the end of the block."""
    app = create_app(settings)
    answers = app.state.answers = AnswerService(settings)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    with httpx.Client(base_url=url, timeout=60) as client:
        yield Server(settings, answers, client, url)
    server.should_exit = True
    thread.join(10)
    answers.close()


@contextmanager
def twin(home: Path, **changes: Any) -> Iterator[tuple[Server, EngineDouble]]:
    """A server with its engine."""
    with EngineDouble() as engine, serving(install(home, engine.url, **changes)) as server:
        yield server, engine


def events(answer: httpx.Response) -> list[Any]:
    """The JSON of each server-sent event; the stream must have been ended as OpenAI's are."""
    import json

    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def streamed_text(answer: httpx.Response) -> str:
    return "".join(e["choices"][0]["delta"].get("content", "") for e in events(answer) if "choices" in e)
