"""Text from any engine that speaks OpenAI's chat completions by URL: our LLM service, vLLM, a hosted one.

The protocol is spoken directly: a client library costs more time for each request than the rest of the
gateway (benchmarks/serving.py).
"""

import json
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Message
from twin_assets.core.tracing.chat import ChatCall, chat_call
from twin_assets.inference.generation.connections import RenewedConnections, lines
from twin_assets.inference.generation.local import Generation
from twin_assets.inference.generation.sampling import REPETITION_PENALTY, Sampling, following_seed

# Of the LLM service's streamed answers: the exact version that writes.
MODEL_HEADER = "x-model-version"
# To our LLM service only: a name for who asked, so that one caller's failures are one vote on a version.
CALLER_HEADER = "x-twin-caller"
TIMEOUT = 120.0  # seconds of silence
PROVIDER = "openai"  # to OpenTelemetry: the protocol, which is all that is known of an engine by URL
ALIVE_SECONDS = 0.5  # how often whoever waits for several texts hears that they are being written
PASSING = (408, 429, 500, 502, 503, 504)


class EngineUnavailable(TwinError):
    """The LLM engine can't be reached, or has nothing to serve."""


class RemoteGenerator:
    """One request's generator: it keeps what the engine told of the texts that it wrote."""

    def __init__(
        self,
        url: str,
        name: str,
        api_key: str = "none",
        model: str | None = None,
        user: str | None = None,
        caller: str | None = None,
        connections: RenewedConnections | None = None,
        ours: bool = False,
    ) -> None:
        """`name` is what the engine is asked for; `model` the exact version, corrected by its answers.
        `user` is whom the engine is told that it writes for, `caller` who asked; `connections` those that it shares
        with other requests. Our own LLM service (`ours`) writes several texts for one request."""
        self.url, self.name, self._key, self._user = url, name, api_key, user
        self._connections = connections or RenewedConnections(url, TIMEOUT)
        self._caller = {CALLER_HEADER: caller} if caller else {}
        self.model = model or name
        self.finish_reason, self._ours = "stop", ours
        # Tokens of earlier texts, and of the one that was told of last.
        self._before, self._last = (0, 0), (0, 0)
        self._finishes: list[str] = []  # of several texts
        self._broken: set[int] = set()

    @property
    def tokens(self) -> tuple[int, int]:
        """Read and written, of all texts that ended."""
        return self._before[0] + self._last[0], self._before[1] + self._last[1]

    def generate(self, conversations: list[list[Message]], sampling: Sampling) -> list[Generation]:
        done = []
        for conversation in conversations:
            start = time.monotonic()
            body = self._body(conversation, sampling)
            with self._asked(body) as (response, call):
                answer = _parsed(response.read())
                choice = answer["choices"][0]
                self._note(answer, choice)
                text = choice["message"]["content"] or ""
                if call:
                    call.wrote(0, text)
            done.append(
                Generation(
                    text=text,
                    tokens_in=self._last[0],
                    tokens_out=self._last[1],
                    finish_reason=self.finish_reason,
                    seconds=time.monotonic() - start,
                )
            )
        return done

    def stream(self, conversation: list[Message], sampling: Sampling) -> Iterator[str]:
        with closing(self._one(conversation, sampling)) as pieces:
            yield from (text for _, text in pieces if text)

    def candidates(
        self, conversation: list[Message], sampling: Sampling, n: int
    ) -> Generator[str, None, list[str]]:
        """Several texts for one conversation, written at the same time, of seeds that follow each other; gives "" while they
        are written, and at once when the engine has begun. Leaving early cancels them all.

        An engine that is not ours is asked for each; those that it gave are returned, and the first error where it gave none.
        """
        texts, self._finishes, self._broken = [""] * n, ["stop"] * n, set()
        pieces = self._several(conversation, sampling, n)
        with closing(pieces):
            heard = 0.0
            for index, text in pieces:
                if text:
                    texts[index] += text
                if time.monotonic() - heard >= ALIVE_SECONDS:
                    heard = time.monotonic()
                    yield ""
        whole = [index for index in range(n) if index not in self._broken]
        self._finishes = [self._finishes[index] for index in whole]
        return [texts[index] for index in whole]

    def settle(self, chosen: int) -> None:
        """Of several texts this is the answer."""
        self.finish_reason = self._finishes[chosen]

    def _several(
        self, conversation: list[Message], sampling: Sampling, n: int
    ) -> Generator[tuple[int, str], None, None]:
        if self._ours:
            yield from self._deltas(self._body(conversation, sampling) | {"n": n}, n)
            return
        heard: SimpleQueue[tuple[int, str | Exception | None]] = SimpleQueue()
        gone, written = Event(), n
        writers = [
            RemoteGenerator(
                self.url, self.name, self._key, self.model, self._user, connections=self._connections
            )
            for _ in range(n)
        ]

        def write(index: int) -> None:
            seed = following_seed(sampling.seed, index)
            try:
                with closing(writers[index]._one(conversation, replace(sampling, seed=seed))) as pieces:
                    for _, text in pieces:
                        if gone.is_set():
                            return
                        heard.put((index, text))
            except Exception as error:
                heard.put((index, error))
            else:
                heard.put((index, None))

        for index in range(n):
            Thread(target=copy_context().run, args=(write, index), daemon=True, name="candidate").start()
        errors: list[Exception] = []
        try:
            while written:
                try:
                    index, piece = heard.get(timeout=ALIVE_SECONDS)
                except Empty:
                    yield 0, ""
                    continue
                if isinstance(piece, str):
                    yield index, piece
                    continue
                written -= 1
                if piece is not None:
                    errors.append(piece)
                    self._broken.add(index)
        finally:
            gone.set()
            for writer in writers:
                self._spend(writer.tokens)
        if len(errors) == n:
            raise errors[0]
        self.model = writers[0].model
        self._finishes = [writer.finish_reason for writer in writers]

    def _one(self, conversation: list[Message], sampling: Sampling) -> Generator[tuple[int, str], None, None]:
        return self._deltas(self._body(conversation, sampling), 1)

    def _deltas(self, body: dict[str, Any], n: int) -> Generator[tuple[int, str], None, None]:
        """Pieces of the texts that a body asks for, each with the place of its text; the first, of nothing, when the engine has begun."""
        ended = set[int]()
        with self._asked(body | {"stream": True, "stream_options": {"include_usage": True}}) as (
            response,
            call,
        ):
            self.model = response.headers.get(MODEL_HEADER, self.model)
            yield 0, ""
            for line in lines(response):
                told = line.removeprefix("data:").strip()
                if not line.startswith("data:"):
                    continue
                if told == "[DONE]":
                    return
                event = _parsed(told)
                if "error" in event:
                    raise EngineUnavailable(
                        f"The LLM engine at {self.url} broke off: {_reason(event)}.", "try again."
                    )
                choice: dict[str, Any] = next(iter(event.get("choices") or []), {})
                self._note(event, choice)
                index = choice.get("index") or 0
                if choice.get("finish_reason"):
                    ended.add(index)
                if (text := (choice.get("delta") or {}).get("content")) and 0 <= index < n:
                    if call:
                        call.wrote(index, text)
                    yield index, text
            if len(ended) < n:
                raise EngineUnavailable(f"The LLM engine at {self.url} stopped in the middle.", "try again.")

    def _body(self, conversation: list[Message], sampling: Sampling) -> dict[str, Any]:
        body = {
            "model": self.name, "messages": [m.model_dump() for m in conversation], "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature, "seed": sampling.seed, "stop": list(sampling.stop) or None, "user": self._user,
            "top_p": sampling.top_p, "presence_penalty": sampling.presence_penalty or None,
            "frequency_penalty": sampling.frequency_penalty or None,
            "response_format": sampling.response_format.as_openai() if sampling.response_format else None,
            # Not of OpenAI's protocol: asked of our own service, which is told what is not its habit.
            "repetition_penalty": sampling.repetition_penalty if self._ours and sampling.repetition_penalty != REPETITION_PENALTY else None,
        }  # fmt: skip
        return {name: value for name, value in body.items() if value is not None}

    def _note(self, answer: dict[str, Any], choice: dict[str, Any]) -> None:
        self.model = answer.get("model") or self.model
        if usage := answer.get("usage"):
            self._last = (usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)
        if reason := choice.get("finish_reason"):
            self.finish_reason = "length" if reason == "length" else "stop"
            if 0 <= (index := choice.get("index") or 0) < len(self._finishes):
                self._finishes[index] = self.finish_reason

    def _spend(self, tokens: tuple[int, int]) -> None:
        self._before = (self._before[0] + tokens[0], self._before[1] + tokens[1])

    @contextmanager
    def _asked(self, body: dict[str, Any]) -> Iterator[tuple[BaseHTTPResponse, ChatCall | None]]:
        """The answer, its status good, and its span where the request is traced. Raises TwinError for all that can go wrong until
        it is read."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"} | self._caller
        self._spend(self._last)
        self._last = (0, 0)
        with chat_call(self.url, PROVIDER, body) as call:
            if call:
                headers |= call.headers()
            try:
                data = json.dumps(body).encode()
                with self._connections.post(f"{self.url}/chat/completions", data, headers) as response:
                    if response.status != 200:
                        raise self._refused(response.status, response.read())
                    yield response, call
            except HTTPError as error:
                raise self._unavailable(
                    str(error).splitlines()[0] if str(error) else type(error).__name__
                ) from None
            except (KeyError, IndexError, TypeError, AttributeError, json.JSONDecodeError):
                raise self._unavailable("it does not speak OpenAI's protocol") from None
            if call:
                reasons = self._finishes if body.get("n") else [self.finish_reason]
                call.ended(self.model, self._last, reasons)

    def _refused(self, status: int, body: bytes) -> TwinError:
        try:
            reason = _reason(_parsed(body))
        except ValueError:
            reason = body.decode(errors="replace")[:300]
        if status in (401, 403):
            return EngineUnavailable(
                f"The LLM engine at {self.url} does not let us in: {status}, {reason}.",
                "set TWIN_LLM_API_KEY to the key that it asks for.",
            )
        if status in PASSING:
            return self._unavailable(f"{status}, {reason}")
        return TwinError(
            f"The LLM engine at {self.url} refused the request ({status}): {reason}.", "change the request."
        )

    def _unavailable(self, reason: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"The LLM engine at {self.url} does not answer: {reason[:300]}.", "start it, or set TWIN_LLM_URL."
        )


def _parsed(text: str | bytes) -> dict[str, Any]:
    return dict(json.loads(text))


def _reason(body: dict[str, Any]) -> str:
    """What an engine says went wrong: OpenAI's `error.message`, or FastAPI's `detail`."""
    error = body.get("error", body)
    told = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    return str(told)[:300].rstrip(".")
