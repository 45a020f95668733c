"""The OpenAI chat protocol, as far as the services speak it, and our own requests."""

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from serving.refusal import error_body, error_type
from twin_assets.core.errors import TwinError
from twin_assets.core.persona.answer_options import MOST_CANDIDATES
from twin_assets.core.records import StrictTypes
from twin_assets.inference.generation.sampling import REPETITION_PENALTY, TEMPERATURE, Sampling
from twin_assets.inference.generation.structured.schema import ResponseFormat, check_size
from twin_assets.inference.twin.brief import FORM_OF, Brief, Language, WriteKind
from twin_assets.inference.twin.chain.records import ChainEvent, GivenSteps

MAX_CHARACTERS = 20_000
MAX_TURNS = 50
# Of a talk with the twin, whose clients send it whole however long it has grown: what is too old is left out of the prompt.
MAX_TALK_TURNS = 500
MAX_LINKS = 3
MAX_STOPS = 4  # OpenAI's
MAX_CHOICES = 8
MAX_TOP_LOGPROBS = 20  # OpenAI's
DEFAULT_KIND: WriteKind = "linkedin_post"
DONE = "data: [DONE]\n\n"
ALIVE = ": still writing\n\n"  # a comment, which clients of server-sent events pass over

# Limits of what a request may hold, so that nothing further in fails on a number or works long on a text.
Name = Annotated[str, Field(max_length=200)]
ThreadId = Annotated[str, Field(max_length=80)]
PersonaId = Annotated[str, Field(max_length=80)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Seed = Annotated[
    int, Field(ge=-(2**63), lt=2**63)
]  # OpenAI's range, and what generators of random numbers take
TopP = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
RepetitionPenalty = Annotated[float, Field(ge=0.5, le=2, allow_inf_nan=False)]
BestOf = Annotated[int, Field(ge=1, le=MOST_CANDIDATES)]
StopText = Annotated[str, Field(min_length=1, max_length=200)]
LinkUrl = Annotated[str, Field(max_length=2000, pattern=r"^https?://")]
Links = Annotated[list[LinkUrl], Field(max_length=MAX_LINKS)]


def _plain_text(content: Any) -> Any:
    """Text parts joined: clients may send a content as a list of parts. Others, images say, stay an error."""
    if isinstance(content, list) and all(isinstance(p, dict) and p.get("type") == "text" for p in content):
        return "".join(str(part.get("text", "")) for part in content)
    return content


class RequestBody(StrictTypes):
    """A body, or a part of one. Other records that a body may hold are StrictTypes too."""


def has_text(name: str) -> dict[str, Any]:
    """JSON Schema of a body that has more than white space in a field. Rules between fields are told with it."""
    return {"required": [name], "properties": {name: {"type": "string", "pattern": r"\S"}}}


def is_given(name: str) -> dict[str, Any]:
    """The same of one that is not empty."""
    return {"required": [name], "properties": {name: {"type": "string", "minLength": 1}}}


class ChatTurn(RequestBody):
    role: Annotated[
        Literal["system", "user", "assistant"], BeforeValidator(lambda r: "system" if r == "developer" else r)
    ]
    content: Annotated[str, Field(max_length=MAX_CHARACTERS), BeforeValidator(_plain_text)]

    @model_validator(mode="before")
    @classmethod
    def _refused(cls, given: Any) -> Any:
        """Clients send answers back as they got them: one that was declined has its text in `refusal`."""
        if isinstance(given, dict) and given.get("role") == "assistant" and given.get("content") is None:
            return given | {"content": given.get("refusal") or ""}
        return given


# What asks for nothing: clients write such values out.
_ASKS_NOTHING: tuple[Any, ...] = (None, False, [], {}, "none", "auto", ["text"], {"type": "text"})


def _asks_nothing(value: Any) -> bool:
    # 0 is equal to False, and is a number that someone asks for.
    return any(value == nothing and type(value) is type(nothing) for nothing in _ASKS_NOTHING)


def _not_done(value: Any) -> Any:
    if not _asks_nothing(value):
        raise ValueError("this service does not do it: leave it out")
    return value


NotDone = Annotated[
    Any,
    AfterValidator(_not_done),
    WithJsonSchema({"enum": [*_ASKS_NOTHING]}),
    Field(description="Not done here: refused."),
]


class JsonObject(RequestBody):
    type: Literal["json_object"]

    def wanted(self) -> ResponseFormat:
        return ResponseFormat()


class NamedSchema(RequestBody):
    """Unknown fields are ignored; answers are held to the schema whatever `strict` says."""

    name: str = Field(max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    json_schema: dict[str, Any] = Field(alias="schema")

    @field_validator("json_schema")
    @classmethod
    def _of_some_size(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_size(value)
        return value


class JsonOfSchema(RequestBody):
    type: Literal["json_schema"]
    json_schema: NamedSchema

    def wanted(self) -> ResponseFormat:
        schema = json.dumps(self.json_schema.json_schema, ensure_ascii=False)
        return ResponseFormat(schema, self.json_schema.name)


JsonFormat = Annotated[JsonObject | JsonOfSchema, Field(discriminator="type")]


class StreamOptions(RequestBody):
    """Unknown fields are ignored."""

    include_usage: bool = False


class ChatRequest(RequestBody):
    """POST /v1/chat/completions. What would change an answer is done, or refused by name; other fields are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "anyOf": [
                {"properties": {"top_logprobs": {"type": "null"}}},
                {"properties": {"logprobs": {"const": True}}, "required": ["logprobs"]},
            ]
        },
    )

    model: Name = Field(description="A persona; in the LLM service also an exact version.")
    messages: list[ChatTurn] = Field(min_length=1, max_length=MAX_TURNS)
    max_tokens: int | None = Field(None, ge=1, le=8192)
    max_completion_tokens: int | None = Field(
        None, ge=1, le=8192, description="The newer name of max_tokens; of two the smaller."
    )
    temperature: Temperature | None = Field(
        None, description="0.8 without it; of the twin 0.3 for an answer with passages."
    )
    top_p: TopP | None = Field(None, description="Of the 50 likeliest tokens; 0.95 without it.")
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty: RepetitionPenalty | None = Field(
        None, description="vLLM's: holds back tokens that the prompt or the text has. 1 is none."
    )
    n: int = Field(1, ge=1, le=MAX_CHOICES, description="Choices, of seeds that follow each other.")
    seed: Seed | None = None
    logprobs: bool = Field(
        False, description="Log-likelihoods of the model's own, before temperature and penalties."
    )
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    stop: StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: Name | None = None
    response_format: Annotated[
        JsonFormat | None, BeforeValidator(lambda given: None if _asks_nothing(given) else given)
    ] = Field(None, description="Text, a JSON object, or JSON of a schema, to which the answer is held.")
    best_of: NotDone = None
    tools: NotDone = None
    tool_choice: NotDone = None
    functions: NotDone = None
    function_call: NotDone = None
    logit_bias: NotDone = None
    modalities: NotDone = None
    audio: NotDone = None
    prediction: NotDone = None
    reasoning_effort: NotDone = None
    verbosity: NotDone = None
    web_search_options: NotDone = None

    @field_validator("top_logprobs")
    @classmethod
    def _with_logprobs(cls, value: int | None, info: ValidationInfo) -> int | None:
        if not _asks_nothing(value) and not info.data.get("logprobs"):
            raise ValueError("it needs logprobs: true")
        return value

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def sampling(self, tokens: int) -> Sampling:
        """How it is to be written; `tokens` at most where the request sets no limit."""
        return Sampling(
            self.max_tokens or tokens,
            TEMPERATURE if self.temperature is None else self.temperature,
            self.seed,
            self.stops,
            self.top_p,
            self.presence_penalty,
            self.frequency_penalty,
            (self.top_logprobs or 0) if self.logprobs else None,
            repetition_penalty=self.repetition_penalty or REPETITION_PENALTY,
            response_format=self.wanted_format,
        )

    @property
    def wanted_format(self) -> ResponseFormat | None:
        """What the answer is held to; None where it is text."""
        return self.response_format.wanted() if self.response_format else None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its count of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    @model_validator(mode="after")
    def _one_limit(self) -> "ChatRequest":
        limits = [limit for limit in (self.max_tokens, self.max_completion_tokens) if limit]
        self.max_tokens = min(limits, default=None)
        return self


class TwinChatRequest(ChatRequest):
    """POST /v1/chat/completions of the twin: `model` is a persona.

    An answer has its own citations and form, and goes to a log: there is one a request, and no likelihoods of its tokens.
    """

    model_config = ConfigDict(json_schema_extra={})

    messages: list[ChatTurn] = Field(
        min_length=1,
        max_length=MAX_TALK_TURNS,
        description="The whole talk. The last user turn is answered, understood from the turns before it; a system turn is not heard.",
        json_schema_extra={"contains": {"properties": {"role": {"const": "user"}}, "required": ["role"]}},
    )
    n: int = Field(1, ge=1, le=1, description="One answer a request.")
    logprobs: Literal[False] = Field(False, description="Only the LLM service has them.")
    top_logprobs: NotDone = None
    best_of: BestOf | None = Field(
        None,
        description="Texts that are written for it; the best is given. As the persona has it if left out.",
    )
    links: Links = Field([], description="Pages or papers (PDF) to answer from too.")
    thread: ThreadId | None = Field(
        None,
        description="A thread of the caller's (/v1/threads), to which the turn is added once it is answered.",
    )


def _kind_of(*kinds: str, negated: bool = False) -> dict[str, Any]:
    """JSON Schema of a request of one of those kinds, or of none of them. What names no kind is a post."""
    among = [kind for kind in get_args(WriteKind) if (kind in kinds) is not negated]
    rule: dict[str, Any] = {"properties": {"kind": {"enum": among}}}
    return rule if DEFAULT_KIND in among else rule | {"required": ["kind"]}


def _unset(name: str, *nothing: Any) -> dict[str, Any]:
    """JSON Schema of a request that leaves a field out, or gives it what stands for nothing."""
    return {"properties": {name: {"enum": list(nothing)}}}


class WriteRequest(RequestBody):
    """POST /v1/write. A topic or a draft; a reply needs what it replies to, a rewrite its draft."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "allOf": [
                {"anyOf": [_kind_of("reply", negated=True), is_given("reply_to")]},
                {"anyOf": [_kind_of("rewrite", negated=True), is_given("draft")]},
                {"anyOf": [_kind_of(*FORM_OF, negated=True), is_given("topic"), is_given("draft")]},
                {"anyOf": [_unset("chain", False), {"allOf": [_kind_of(*FORM_OF), is_given("topic"), _unset("draft", None, "")]}]},
                {"anyOf": [_unset("given", None), {"required": ["chain"], "properties": {"chain": {"const": True}}}]},
            ]
        },
    )  # fmt: skip

    persona: PersonaId
    kind: WriteKind = DEFAULT_KIND
    topic: str | None = Field(None, min_length=3, max_length=500)
    draft: str | None = Field(None, max_length=MAX_CHARACTERS, description="Text to work from.")
    reply_to: str | None = Field(None, max_length=MAX_CHARACTERS, description="What a reply answers.")
    links: Links = Field([], description="Addresses of pages or papers (PDF) to draw on.")
    formality: Literal["casual", "plain", "formal"] | None = None
    energy: Literal["calm", "lively"] | None = None
    humour: Literal["none", "dry", "playful"] | None = None
    words: int | None = Field(None, ge=10, le=2000, description="About how long.")
    language: Language | None = None
    temperature: Temperature = TEMPERATURE
    seed: int | None = Field(None, ge=0, lt=2**31, description="The same seed gives the same text again.")
    best_of: BestOf | None = Field(None, description="Texts that are written; the best is given.")
    stream: bool = False
    user: Name | None = Field(None, description="Whom the text is for, as in OpenAI's protocol.")
    chain: bool = Field(
        False,
        description="In steps: ideas, outline, draft, check, revise. Server-sent events, one JSON object each.",
    )
    given: GivenSteps | None = Field(
        None,
        description="Of a chain: results of steps, edited or not, to go on from, and the step to end with.",
    )

    @model_validator(mode="after")
    def _chain_has_a_topic(self) -> "WriteRequest":
        if self.given is not None and not self.chain:
            raise ValueError("given steps are a chain's: send chain: true")
        if self.chain and (self.kind not in FORM_OF or not self.topic or self.draft):
            raise ValueError("a chain makes a post or an article of a topic, without a draft")
        return self

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> "WriteRequest":
        if self.kind == "reply" and not self.reply_to:
            raise ValueError("a reply needs reply_to, the text that it answers")
        if self.kind == "rewrite" and not self.draft:
            raise ValueError("a rewrite needs a draft")
        if self.kind in FORM_OF and not (self.topic or self.draft):
            raise ValueError("give a topic or a draft")
        return self

    def brief(self) -> Brief:
        return Brief(**self.model_dump(include=set(Brief.model_fields)))


class LinkRequest(RequestBody):
    """POST /v1/links: read a page or paper; with `add_to_library` keep it for the persona."""

    model_config = ConfigDict(extra="forbid")

    persona: PersonaId
    url: LinkUrl
    add_to_library: bool = False


def completion(
    model: str, text: str, tokens_in: int, tokens_out: int, finish: str, **extra: Any
) -> dict[str, Any]:
    """A chat completion of one choice; `extra` fields stand beside OpenAI's own."""
    return completion_of(model, [choice(0, text, finish)], tokens_in, tokens_out, **extra)


def choice(
    index: int, text: str, finish: str, logprobs: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """One of a completion's choices."""
    said = {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return said | {"logprobs": None if logprobs is None else {"content": logprobs}}


def completion_of(
    model: str, choices: Sequence[dict[str, Any]], tokens_in: int, tokens_out: int, **extra: Any
) -> dict[str, Any]:
    """A chat completion; `extra` fields stand beside OpenAI's own."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": list(choices),
        "usage": usage(tokens_in, tokens_out),
    } | extra


def usage(tokens_in: int, tokens_out: int) -> dict[str, int]:
    """OpenAI's count of tokens."""
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }


class Events:
    """The server-sent events of one streamed completion.

    A callable is asked when its turn comes: an engine behind us names the version that writes with its
    first piece, so nothing is sent before that. `last` goes into the final event; with `counts` they follow
    in an event of their own. When the text breaks off, an event with `error` follows, as OpenAI's servers
    send it. Of several choices `finish_of` says how each ended; `logprobs` gives those of a choice's tokens that it has not
    given yet. `said_as` is `refusal` where OpenAI has a refusal in place of `content`.
    """

    def __init__(
        self,
        model: str | Callable[[], str],
        finish: str | Callable[[], str] = "stop",
        counts: Callable[[], dict[str, int]] | None = None,
        *,
        choices: int = 1,
        finish_of: Callable[[int], str] | None = None,
        logprobs: Callable[[int], list[dict[str, Any]]] | None = None,
        said_as: Literal["content", "refusal"] = "content",
        **last: Any,
    ) -> None:
        self._said_as = said_as
        self._finish_of, self._logprobs, self._choices = finish_of, logprobs, choices
        self._model, self._finish, self._counts, self._last = model, finish, counts, last
        self._shared = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
        }
        self._begun: set[int] = set()

    def piece(self, text: str, index: int = 0) -> str:
        return self._beginning(index) + self._said({self._said_as: text}, index=index)

    def end(self) -> str:
        last = {name: _now(value) for name, value in self._last.items()}
        done = ""
        for index in range(self._choices):
            finish = self._finish_of(index) if self._finish_of else _now(self._finish)
            done += self._beginning(index) + self._said({}, finish, index, **last)
        return done + (self._event([], usage=self._counts()) if self._counts else "") + DONE

    def error(self, error: TwinError) -> str:
        return _data(error_body(error_type(error), error.problem, error.fix)) + DONE

    def _beginning(self, index: int) -> str:
        if index in self._begun:
            return ""
        self._begun.add(index)
        return self._event(
            [{"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
        )

    def _said(self, delta: dict[str, str], finish: str | None = None, index: int = 0, **extra: Any) -> str:
        said: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": finish}
        if self._logprobs and (told := self._logprobs(index)):
            said["logprobs"] = {"content": told}
        return self._event([said], **extra)

    def _event(self, choices: list[dict[str, Any]], **extra: Any) -> str:
        return _data(self._shared | {"model": _now(self._model), "choices": choices} | extra)


def event_stream(events: Events, pieces: Iterable[str]) -> Iterator[str]:
    """The events of a text that comes in pieces, of which empty ones only say that it is being written."""
    try:
        for piece in pieces:
            yield events.piece(piece) if piece else ALIVE
    except TwinError as error:
        yield events.error(error)
    else:
        yield events.end()


async def async_event_stream(events: Events, pieces: AsyncGenerator[tuple[int, str]]) -> AsyncIterator[str]:
    """The same on the event loop, of pieces that say of which choice they are. Leaving it early leaves `pieces` too."""
    async with aclosing(pieces):
        try:
            async for index, piece in pieces:
                yield events.piece(piece, index)
        except TwinError as error:
            yield events.error(error)
        else:
            yield events.end()


def chain_events(events: Iterable[ChainEvent | None], last: Callable[[], dict[str, Any]]) -> Iterator[str]:
    """The server-sent events of a chain: what happens in it, at its end `last`, its whole text.

    Where it breaks off, an event with `error` follows, and `last` all the same: what was made is not lost.
    """
    error: TwinError | None = None
    try:
        for event in events:
            yield _data(event.model_dump(mode="json", exclude_none=True)) if event else ALIVE
    except TwinError as raised:
        error = raised
    broken = error_body(error_type(error), error.problem, error.fix) if error else {}
    yield _data({"event": "end"} | last() | broken) + DONE


def _data(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


def _now(value: Any) -> Any:
    return value() if callable(value) else value
