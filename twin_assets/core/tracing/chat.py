"""The span of one call of a language model, as OpenTelemetry's conventions for generative AI have it.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from twin_assets.core.tracing.spans import Span, current_span, ending

# Of a chat completion's body, what an attribute of that name tells.
_WISHES = (
    "max_tokens", "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "stream",
)  # fmt: skip


class ChatCall:
    """A call that is being made. `texts` says whether `wrote` is of use."""

    def __init__(self, own: Span, streams: bool) -> None:
        self._own, self._streams, self.texts = own, streams, own.texts
        self._written, self._start, self._first = dict[int, str](), time.monotonic(), 0.0

    def headers(self) -> dict[str, str]:
        """What carries the trace to whoever is called."""
        return self._own.headers()

    def wrote(self, index: int, text: str) -> None:
        """More of the text of that place, which is kept where texts are wanted."""
        self._first = self._first or time.monotonic() - self._start
        if self.texts:
            self._written[index] = self._written.get(index, "") + text

    def ended(self, model: str, tokens: tuple[int, int], reasons: list[str]) -> None:
        """What the model told of it: itself, tokens read and written, and why each text ended."""
        self._own.note(
            {
                "gen_ai.response.model": model,
                "gen_ai.usage.input_tokens": tokens[0] or None,
                "gen_ai.usage.output_tokens": tokens[1] or None,
                "gen_ai.response.finish_reasons": reasons,
                "gen_ai.response.time_to_first_chunk": self._first if self._streams else None,
            }
        )
        if self._written:
            said = [_message("assistant", text) for _, text in sorted(self._written.items())]
            self._own.note({"gen_ai.output.messages": json.dumps(said, ensure_ascii=False)})


@contextmanager
def chat_call(url: str | None, provider: str, body: Mapping[str, Any]) -> Iterator[ChatCall | None]:
    """The span of a call with the body of a chat completion; None where nothing is traced.

    It isn't the current one of the block, which may be one of a generator: nothing of ours is below a call.
    """
    parent = current_span()
    if parent is None:
        yield None
        return
    own = parent.child(f"chat {body['model']}", "client")
    own.note(_asked(url, provider, body))
    if own.texts:
        turns = [_message(m["role"], m["content"]) for m in body["messages"]]
        own.note({"gen_ai.input.messages": json.dumps(turns, ensure_ascii=False)})
    with ending(own):
        yield ChatCall(own, bool(body.get("stream")))


def _asked(url: str | None, provider: str, body: Mapping[str, Any]) -> dict[str, Any]:
    parts = urlsplit(url or "")
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": body["model"],
        "gen_ai.request.choice.count": n if (n := body.get("n", 1)) > 1 else None,
        "gen_ai.output.type": "json" if body.get("response_format") else "text",
        "server.address": parts.hostname,
        "server.port": parts.port or {"https": 443, "http": 80}.get(parts.scheme),
    }
    return told | {f"gen_ai.request.{name}": body.get(name) for name in _WISHES}


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}
