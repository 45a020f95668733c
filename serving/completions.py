"""The shape of a chat completion, for both OpenAPI documents. Bodies are made in `protocol.py`, not of these: they are written
as they are, without being walked once more."""

from typing import Any, Literal

from pydantic import BaseModel, create_model

from twin_assets.inference.twin.answer import Answer

# What a completion of the twin tells beside OpenAI's fields.
TOLD = (
    "citations", "outcome", "seed", "degraded", "unsupported_links", "request_id", "notice", "written", "left_out",
    "checks", "understood_as", "turns_left_out", "thread_kept",
)  # fmt: skip


class TokenLogprob(BaseModel):
    """A token and the natural logarithm of its likelihood; `bytes` is None for a part of a character."""

    token: str
    logprob: float
    bytes: list[int] | None


class WrittenToken(TokenLogprob):
    top_logprobs: list[TokenLogprob]


class Logprobs(BaseModel):
    content: list[WrittenToken]


class AnswerMessage(BaseModel):
    """`refusal` stands in the place of `content` where an answer that was to be JSON is declined."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None


class Choice(BaseModel):
    index: int
    message: AnswerMessage
    finish_reason: str
    logprobs: Logprobs | None


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(BaseModel):
    """OpenAI's chat completion; `model` is the version that wrote it."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


_FIELDS: dict[str, Any] = {name: (Answer.model_fields[name].annotation, ...) for name in TOLD}
TwinChatCompletion = create_model(
    "TwinChatCompletion",
    __base__=ChatCompletion,
    __doc__="A chat completion, and beside it what an answer of the twin tells.",
    **_FIELDS,
)


class ModelEntry(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """OpenAI's list of models."""

    object: Literal["list"]
    data: list[ModelEntry]


# Each event as OpenAPI 3.2 describes those of a stream: a JSON object as text, and at the end `[DONE]`.
EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string"}, "event": {"const": "message"}},
}
EVENTS: dict[str, Any] = {"text/event-stream": {"itemSchema": EVENT}}
