"""POST /v1/mcp: the twin as tools of the Model Context Protocol, over streamable HTTP, by the protocol's own SDK.

A tool is the HTTP API in another form: its arguments make the same request, and the same function answers it. So keys, scopes,
limits, audience and log are those of the API. Every request stands alone: there is no session to be kept, and any worker answers.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.access.caller import caller_of
from serving.access.front import is_json
from serving.access.needs import needs
from serving.api.completions import whole_answer, whole_text
from serving.api.ideas import IdeasRequest, Limit, ideas_for
from serving.errors import ErrorBody
from serving.protocol import MAX_CHARACTERS, ChatTurn, Links, PersonaId, TwinChatRequest, WriteRequest
from serving.refusal import refusal
from serving.twin.answering import answer_service
from serving.twin.tracing import tool_span
from twin_assets.core.errors import TwinError
from twin_assets.core.tracing.spans import whole
from twin_assets.inference.ideas.records import Ideas
from twin_assets.inference.twin.answer import Answer
from twin_assets.inference.twin.brief import Language
from twin_assets.settings import Settings

MOST_PASSAGES = 20
JSON = "application/json"
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)

router = APIRouter(tags=["twin"])
server = MCPServer(
    "llm-twin",
    title="LLM Twin",
    instructions="Searches what one person wrote, answers from it with citations, and writes in that person's voice. "
    "What the corpus can't support is declined: outcome says `refused` then. Citations name the documents; give their addresses.",
    log_level="WARNING",
)

Persona = Annotated[
    PersonaId, Field(description="Whose twin: an `id` of GET /v1/models. May be left out where there is one.")
]
Words = Annotated[int, Field(ge=10, le=2000, description="About how long.")]


class FoundPassage(BaseModel):
    """A passage of the corpus: `similarity` is in [0, 1], `start` and `end` are offsets in the document."""

    title: str | None
    url: str
    text: str
    similarity: float
    doc_id: str
    start: int
    end: int


class FoundPassages(BaseModel):
    """The nearest first. `note` says what was left out of the search, and why."""

    passages: list[FoundPassage]
    note: str | None


def told(tool: Callable[..., Any]) -> Callable[..., Any]:
    """What a tool can't do is told to the caller with the fix, and to the access log by its kind."""

    @functools.wraps(tool)
    def run(*args: Any, **kwargs: Any) -> Any:
        request = _request(kwargs["ctx"])
        request.state.facts["tool"] = tool.__name__
        try:
            return tool(*args, **kwargs)
        except TwinError as error:
            request.state.facts["outcome"] = type(error).__name__
            raise ToolError(f"{error.problem} Fix: {error.fix}") from None
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            request.state.facts["outcome"] = "invalid_request_error"
            raise ToolError(f"{faults} Fix: change those arguments.") from None

    return run


def _request(ctx: Context[Any]) -> Request:
    """The HTTP request that a call came in, with the caller that the guard found."""
    request = ctx.request_context.request
    assert request is not None, "these tools are called by HTTP only"
    return Request(request.scope)


def _persona(persona: str | None, request: Request) -> str:
    """The one that is named, or the only one that the caller may ask. Raises TwinError where there are several."""
    if persona is not None:
        return persona
    caller = caller_of(request)
    names = [name for name in answer_service(request).askable() if caller.may("read", name)]
    if len(names) != 1:
        raise TwinError(
            "Say whose twin is meant.", f"give persona: one of {', '.join(names) or 'none here'}."
        )
    return names[0]


def _written(ctx: Context[Any], persona: str | None, **given: Any) -> Answer:
    """What POST /v1/write answers to those fields."""
    request = _request(ctx)
    return whole_text(WriteRequest.model_validate({"persona": _persona(persona, request)} | given), request)


@server.tool(annotations=READS)
@told
def search_corpus(
    query: Annotated[
        str, Field(min_length=1, max_length=MAX_CHARACTERS, description="A question or a topic.")
    ],
    ctx: Context[Any],
    persona: Persona | None = None,
    limit: Annotated[int, Field(ge=1, le=MOST_PASSAGES)] = 5,
) -> FoundPassages:
    """Passages of the person's own writing that are nearest to a question, with their addresses, the nearest first."""
    request = _request(ctx)
    caller, name = caller_of(request), _persona(persona, request)
    caller.require("chat", name)
    answers = answer_service(request)
    traced = tool_span(
        answers.tracer,
        "search_corpus",
        answers.persona(name),
        request.state.request_id,
        request.headers.get("traceparent"),
    )
    with whole(traced):
        found = answers.search(name, query, limit, caller.audience)
    request.state.facts |= {"persona": name, "passages": len(found.passages)}
    passages = [FoundPassage(**passage.model_dump()) for passage in found.passages]
    return FoundPassages(passages=passages, note=found.note)


@server.tool(annotations=READS)
@told
def ask(
    question: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)],
    ctx: Context[Any],
    persona: Persona | None = None,
    before: Annotated[
        list[ChatTurn] | None,
        Field(description="The turns of the talk before, oldest first, for a follow-up."),
    ] = None,
    links: Annotated[Links | None, Field(description="Pages or papers (PDF) to answer from too.")] = None,
) -> Answer:
    """The person's answer to a question, from what they wrote, with numbered citations; declined where nothing supports one."""
    request = _request(ctx)
    turns = [*(turn.model_dump() for turn in before or []), {"role": "user", "content": question}]
    given = TwinChatRequest.model_validate(
        {"model": _persona(persona, request), "messages": turns, "links": links or []}
    )
    return whole_answer(given, request)


@server.tool()
@told
def write(
    topic: Annotated[str, Field(min_length=3, max_length=500)],
    ctx: Context[Any],
    persona: Persona | None = None,
    kind: Literal["linkedin_post", "x_post", "article"] = "linkedin_post",
    words: Words | None = None,
    language: Language | None = None,
    links: Annotated[Links | None, Field(description="Pages or papers (PDF) to draw on.")] = None,
) -> Answer:
    """A post or an article about a topic, in the person's voice, with the passages that it leans on. It is published nowhere."""
    return _written(ctx, persona, kind=kind, topic=topic, words=words, language=language, links=links or [])


@server.tool()
@told
def rewrite(
    draft: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)],
    ctx: Context[Any],
    persona: Persona | None = None,
    wish: Annotated[
        str | None, Field(min_length=3, max_length=500, description="What to say or change.")
    ] = None,
    words: Words | None = None,
    language: Language | None = None,
) -> Answer:
    """A draft written anew in the person's voice."""
    return _written(ctx, persona, kind="rewrite", draft=draft, topic=wish, words=words, language=language)


@server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=True))
@told
def ideas(
    ctx: Context[Any],
    persona: Persona | None = None,
    limit: Limit = 5,
    links: Annotated[
        Links | None, Field(description="Pages or papers (PDF) that one could write about.")
    ] = None,
) -> Ideas:
    """What the person could write about and never did, each with the passages it stands on and why: give an idea's title to
    `write` as its topic."""
    request = _request(ctx)
    given = IdeasRequest(persona=_persona(persona, request), limit=limit, links=links or [])
    return ideas_for(given, request)


class ProtocolFault(BaseModel):
    code: int
    message: str


class ProtocolError(BaseModel):
    """An error as JSON-RPC has it."""

    jsonrpc: Literal["2.0"]
    id: str | int | None
    error: ProtocolFault


class _ByProtocol(Response):
    """An answer that the SDK writes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Origin and host are the guard's to look at (serving/access), as on every other route.
        manager = StreamableHTTPSessionManager(server._lowlevel_server, json_response=True, stateless=True)
        async with manager.run():
            await manager.handle_request(scope, receive, send)


_MESSAGE: dict[str, Any] = {
    "type": "object",
    "required": ["jsonrpc", "method"],
    "properties": {
        "jsonrpc": {"const": "2.0"},
        # No body is longer than this unless the settings say so.
        "method": {"type": "string", "maxLength": Settings.model_fields["max_request_bytes"].default},
        "params": {"type": ["object", "null"]},
    },
}
_REPLY = {"type": "object", "required": ["jsonrpc", "id"], "properties": {"jsonrpc": {"const": "2.0"}}}
_SAID: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON-RPC, as the protocol has it.",
        "content": {"application/json": {"schema": _REPLY}},
    },
    202: {"description": "A notification was taken; there is no body."},
    400: {
        "description": "No message of the protocol, which says so itself.",
        "model": ErrorBody | ProtocolError,
    },
    406: {"description": "The answer is JSON, which the request doesn't accept.", "model": ProtocolError},
}


@router.post(
    "/v1/mcp",
    response_model=None,
    responses=_SAID,
    openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": _MESSAGE}}}},
)
@needs("read", queued=True)
async def mcp(request: Request) -> Response:
    """The Model Context Protocol over streamable HTTP: `search_corpus`, `ask`, `write`, `rewrite` and `ideas` as tools. Each
    asks for its own scope."""
    if not is_json(request):
        return refusal(
            415, "NotJson", "A message of the protocol is sent as JSON.", f"send Content-Type: {JSON}."
        )
    return _ByProtocol()
