"""The OpenAI chat protocol, as far as the services speak it, and our own requests."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_CHARACTERS = 20_000
MAX_TURNS = 50


class ChatTurn(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=MAX_CHARACTERS)


class ChatRequest(BaseModel):
    """POST /v1/chat/completions. Unknown fields of the protocol are ignored."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[ChatTurn] = Field(min_length=1, max_length=MAX_TURNS)
    max_tokens: int | None = Field(None, ge=1, le=8192)
    temperature: float = Field(0.8, ge=0, le=2)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    user: str | None = Field(None, max_length=200)


class WriteRequest(BaseModel):
    """POST /v1/write."""

    persona: str
    kind: Literal["linkedin_post", "article"] = "linkedin_post"
    topic: str = Field(min_length=3, max_length=500)
    temperature: float = Field(0.8, ge=0, le=2)
    seed: int | None = None


def completion(
    model: str, text: str, tokens_in: int, tokens_out: int, finish: str, **extra: Any
) -> dict[str, Any]:
    """A chat completion; `extra` fields stand beside OpenAI's own."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion", "created": int(time.time()), "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out},
    } | extra  # fmt: skip


def event_stream(model: str | Callable[[], str], pieces: Iterator[str], **last: Any) -> Iterator[str]:
    """Server-sent events of a streamed completion; `last` goes into the final one.

    `model` may be asked for it: an engine behind us names the version that writes with its first piece, so
    nothing is sent before that.
    """
    shared = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
    }

    def event(delta: dict[str, str], finish: str | None = None, **extra: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        named = {"model": model if isinstance(model, str) else model()}
        return f"data: {json.dumps(shared | named | {'choices': [choice]} | extra)}\n\n"

    first = next(pieces, None)
    yield event({"role": "assistant", "content": ""})
    if first is not None:
        yield event({"content": first})
    for piece in pieces:
        yield event({"content": piece})
    yield event({}, "stop", **last)
    yield "data: [DONE]\n\n"
