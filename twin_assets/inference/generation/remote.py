"""Text from any engine that speaks OpenAI's chat completions by URL: our LLM service, vLLM, a hosted one.

The protocol is spoken directly: a client library costs more time for each request than the rest of the
gateway (benchmarks/serving.py).
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Message
from twin_assets.inference.generation.connections import RenewedConnections, lines
from twin_assets.inference.generation.local import Generation
from twin_assets.inference.generation.sampling import Sampling

# Of the LLM service's streamed answers: the exact version that writes.
MODEL_HEADER = "x-model-version"
# To our LLM service only: a name for who asked, so that one caller's failures are one vote on a version.
CALLER_HEADER = "x-twin-caller"
TIMEOUT = 120.0  # seconds of silence
PASSING = (408, 429, 500, 502, 503, 504)


class EngineUnavailable(TwinError):
    """The LLM engine can't be reached, or has nothing to serve."""


class RemoteGenerator:
    """One request's generator: it keeps what the engine told of the text that it wrote."""

    def __init__(
        self,
        url: str,
        name: str,
        api_key: str = "none",
        model: str | None = None,
        user: str | None = None,
        caller: str | None = None,
        connections: RenewedConnections | None = None,
    ) -> None:
        """`name` is what the engine is asked for; `model` the exact version, corrected by its answers.
        `user` is whom the engine is told that it writes for, `caller` who asked; `connections` those that it shares
        with other requests."""
        self.url, self.name, self._key, self._user = url, name, api_key, user
        self._connections = connections or RenewedConnections(url, TIMEOUT)
        self._caller = {CALLER_HEADER: caller} if caller else {}
        self.model = model or name
        self.tokens = (0, 0)  # read and written, of the last text that ended
        self.finish_reason = "stop"

    def generate(self, conversations: list[list[Message]], sampling: Sampling) -> list[Generation]:
        done = []
        for conversation in conversations:
            start = time.monotonic()
            body = self._body(conversation, sampling)
            with self._asked(body) as response:
                answer = _parsed(response.read())
                choice = answer["choices"][0]
                self._note(answer, choice)
                text = choice["message"]["content"] or ""
            done.append(
                Generation(
                    text=text,
                    tokens_in=self.tokens[0],
                    tokens_out=self.tokens[1],
                    finish_reason=self.finish_reason,
                    seconds=time.monotonic() - start,
                )
            )
        return done

    def stream(self, conversation: list[Message], sampling: Sampling) -> Iterator[str]:
        body = self._body(conversation, sampling)
        ended = False
        with self._asked(body | {"stream": True, "stream_options": {"include_usage": True}}) as response:
            self.model = response.headers.get(MODEL_HEADER, self.model)
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
                ended = ended or bool(choice.get("finish_reason"))
                if text := (choice.get("delta") or {}).get("content"):
                    yield text
            if not ended:
                raise EngineUnavailable(f"The LLM engine at {self.url} stopped in the middle.", "try again.")

    def _body(self, conversation: list[Message], sampling: Sampling) -> dict[str, Any]:
        body = {
            "model": self.name, "messages": [m.model_dump() for m in conversation], "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature, "seed": sampling.seed, "stop": list(sampling.stop) or None, "user": self._user,
            "top_p": sampling.top_p, "presence_penalty": sampling.presence_penalty or None,
            "frequency_penalty": sampling.frequency_penalty or None,
            "response_format": sampling.response_format.as_openai() if sampling.response_format else None,
        }  # fmt: skip
        return {name: value for name, value in body.items() if value is not None}

    def _note(self, answer: dict[str, Any], choice: dict[str, Any]) -> None:
        self.model = answer.get("model") or self.model
        if usage := answer.get("usage"):
            self.tokens = (usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)
        if reason := choice.get("finish_reason"):
            self.finish_reason = "length" if reason == "length" else "stop"

    @contextmanager
    def _asked(self, body: dict[str, Any]) -> Iterator[BaseHTTPResponse]:
        """The answer, its status good. Raises TwinError for all that can go wrong until it is read."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"} | self._caller
        try:
            data = json.dumps(body).encode()
            with self._connections.post(f"{self.url}/chat/completions", data, headers) as response:
                if response.status != 200:
                    raise self._refused(response.status, response.read())
                yield response
        except HTTPError as error:
            raise self._unavailable(
                str(error).splitlines()[0] if str(error) else type(error).__name__
            ) from None
        except (KeyError, IndexError, TypeError, AttributeError, json.JSONDecodeError):
            raise self._unavailable("it does not speak OpenAI's protocol") from None

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
