"""Constant requests from several threads, and what came of each."""

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

QUESTION = "What did the sturgeon ledger cost?"
TOKENS = 24


@dataclass
class Outcome:
    """One request. `models` are all the names that its answer gave; times are of the monotonic clock."""

    address: str
    began: float
    ended: float
    streamed: bool
    models: set[str] = field(default_factory=set)
    pieces: int = 0
    trouble: str | None = None


class Load:
    """`with Load([...])` asks each of the addresses from a thread of its own, turn by turn streamed and not,
    until the end of the block."""

    def __init__(self, addresses: list[str], **body: Any) -> None:
        self.addresses, self.body = addresses, body
        self.outcomes: list[Outcome] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Load":
        for number, address in enumerate(self.addresses):
            thread = threading.Thread(target=self._ask_on, args=(address, number), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def wait_for(self, model: str, address: str, seconds: float) -> Outcome:
        """The first answer of a version from an address."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = [o for o in list(self.outcomes) if model in o.models and o.address == address]
            if found:
                return min(found, key=lambda o: o.ended)
            time.sleep(0.05)
        raise AssertionError(f"no answer of {model} from {address} in {seconds} s; {self.summary()}")

    def summary(self) -> str:
        models = Counter(model for o in self.outcomes for model in o.models)
        troubles = Counter(o.trouble for o in self.outcomes if o.trouble)
        return f"{len(self.outcomes)} requests, {sum(o.streamed for o in self.outcomes)} streamed; {dict(models)}; troubles {dict(troubles)}"

    def troubles(self) -> list[str]:
        return [o.trouble for o in self.outcomes if o.trouble]

    def _ask_on(self, address: str, number: int) -> None:
        with httpx.Client(timeout=120) as client:
            while not self._stop.is_set():
                streamed = (number + len(self.outcomes)) % 2 == 0
                outcome = Outcome(address, time.monotonic(), 0.0, streamed)
                try:
                    (_streamed if streamed else _whole)(client, address, self.body, outcome)
                except Exception as error:
                    outcome.trouble = f"{type(error).__name__}: {error}"[:200]
                outcome.ended = time.monotonic()
                self.outcomes.append(outcome)


def _body(body: dict[str, Any]) -> dict[str, Any]:
    return {"model": "runa", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": TOKENS} | body


def _whole(client: httpx.Client, address: str, body: dict[str, Any], outcome: Outcome) -> None:
    answer = client.post(f"{address}/v1/chat/completions", json=_body(body)).raise_for_status().json()
    outcome.models.add(answer["model"])
    outcome.pieces = answer["usage"]["completion_tokens"]


def _streamed(client: httpx.Client, address: str, body: dict[str, Any], outcome: Outcome) -> None:
    given, finished = _body(body) | {"stream": True}, False
    with client.stream("POST", f"{address}/v1/chat/completions", json=given) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if line == "data: [DONE]":
                finished = True
            elif line.startswith("data: "):
                event = json.loads(line[6:])
                outcome.models.add(event["model"])
                outcome.pieces += bool(event["choices"][0]["delta"].get("content"))
    if not finished:
        raise RuntimeError("the stream broke off")
