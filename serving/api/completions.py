"""POST /v1/chat/completions and POST /v1/write: the twin answers and writes.

The way of a request reads down: the route makes it whole, `twin/answering.py` finds passages, has them put into a
prompt and asks the engine, and the answer goes out with what it cites.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from serving.access.caller import caller_of
from serving.access.needs import needs
from serving.api.threads import threads_of
from serving.completions import EVENTS, TOLD, TwinChatCompletion
from serving.event_stream import EventStream
from serving.protocol import (
    Events,
    TwinChatRequest,
    WriteRequest,
    chain_events,
    completion,
    event_stream,
    usage,
)
from serving.twin.answering import answer_service
from serving.twin.chaining import ChainRun
from serving.twin.request import TwinRequest
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Message
from twin_assets.inference.twin.answer import Answer
from twin_assets.inference.twin.brief import Brief
from twin_assets.inference.twin.chain.records import GivenSteps

DEGRADED_HEADER = "X-Twin-Degraded"
STREAMS: dict[int | str, dict[str, Any]] = {
    200: {"content": EVENTS, "description": "One JSON object, or events with `stream`."}
}
CHATS: dict[int | str, dict[str, Any]] = {200: STREAMS[200] | {"model": TwinChatCompletion}}

router = APIRouter(tags=["twin"])


@router.post("/v1/chat/completions", response_model=None, responses=CHATS)
@needs("chat", queued=True)
def chat(given: TwinChatRequest, request: Request) -> Response:
    """OpenAI's chat completion; `model` is the persona. The last user turn is answered from the corpus, understood from the
    turns before it."""
    if given.stream:
        return _streamed(_question(given, request), request, given.wants_usage)
    answer = whole_answer(given, request)
    body = completion(
        answer.model,
        answer.text,
        answer.tokens_in,
        answer.tokens_out,
        answer.finish_reason,
        **answer.model_dump(include=set(TOLD)),
    )
    if given.wanted_format and answer.outcome == "refused":  # it is no JSON, which OpenAI says so
        body["choices"][0]["message"] |= {"content": None, "refusal": answer.text}
    return _json(answer, body)


@router.post("/v1/write", response_model=Answer, responses=STREAMS)
@needs("write", queued=True)
def write(given: WriteRequest, request: Request) -> Response:
    """A post, an article, a reply or a rewritten draft in the persona's voice, with the passages it leans on.

    With `stream` the events of a chat completion, whose last one has what is not text. With `chain` the text is made in
    steps, and every event is one of a step.
    """
    if given.chain:
        return _chained(_piece(given, request), request, given.given or GivenSteps())
    if given.stream:
        return _streamed(_piece(given, request), request)
    answer = whole_text(given, request)
    return _json(answer, answer.model_dump())


def whole_answer(given: TwinChatRequest, request: Request) -> Answer:
    """The answer to the last turn of a talk, of whoever asks by HTTP or by a tool."""
    return _whole(_question(given, request), request)


def whole_text(given: WriteRequest, request: Request) -> Answer:
    """A piece of writing, the same way."""
    return _whole(_piece(given, request), request)


def _question(given: TwinChatRequest, request: Request) -> TwinRequest:
    asked = [at for at, turn in enumerate(given.messages) if turn.role == "user"]
    if not asked:
        raise TwinError("The conversation has no user turn.", "send a message with the role user.")
    caller_of(request).require("chat", given.model)
    question = given.messages[asked[-1]].content
    if given.thread:
        threads_of(request, given.model, given.user).require_room(given.thread, len(question))
    before = [Message(**t.model_dump()) for t in given.messages[: asked[-1]] if t.role != "system"]
    return _made_whole(given, request, given.model, question, max_tokens=given.max_tokens, before=before)


def _piece(given: WriteRequest, request: Request) -> TwinRequest:
    caller_of(request).require("write", given.persona)
    text = next(text for text in (given.topic, given.draft, given.reply_to) if text)
    return _made_whole(given, request, given.persona, text, brief=given.brief())


def _chained(twin_request: TwinRequest, request: Request, given: GivenSteps) -> EventStream:
    run = ChainRun(answer_service(request), twin_request, given)
    request.state.facts |= {"persona": twin_request.persona, "kind": "write_chain", "stream": True}
    events = run.events()
    return EventStream(
        chain_events(events, lambda: run.answer().model_dump(mode="json")),
        {"X-Accel-Buffering": "no"},
        events.close,
    )


def _made_whole(
    given: TwinChatRequest | WriteRequest,
    request: Request,
    persona: str,
    text: str,
    *,
    max_tokens: int | None = None,
    brief: Brief | None = None,
    before: Sequence[Message] = (),
) -> TwinRequest:
    """The request with its sender, and with a seed where none was given: the answer names it, so that it can be had again."""
    caller = caller_of(request)
    further: dict[str, Any] = {}
    if isinstance(given, TwinChatRequest):
        further = {
            "thread": given.thread,
            "stop": given.stops,
            "response_format": given.wanted_format,
        } | given.model_dump(include={"top_p", "presence_penalty", "frequency_penalty", "repetition_penalty"})
    if given.links:
        caller.require("links", persona)
    return TwinRequest(
        request_id=request.state.request_id,
        persona=persona,
        text=text,
        caller=caller.id,
        audience=caller.audience,
        user=given.user,
        links=tuple(given.links),
        temperature=given.temperature,
        seed=secrets.randbelow(2**31) if given.seed is None else given.seed,
        max_tokens=max_tokens,
        best_of=given.best_of,
        brief=brief,
        before=tuple(before),
        traceparent=request.headers.get("traceparent"),
        **further,
    )


def _whole(twin_request: TwinRequest, request: Request) -> Answer:
    answer = answer_service(request).answer(twin_request)
    request.state.facts |= {
        "persona": twin_request.persona,
        "model": answer.model,
        "kind": answer.prompt_kind,
        "passages": len(answer.citations),
        "degraded": answer.degraded,
        "outcome": answer.outcome,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
    }
    return answer


def _json(answer: Answer, body: dict[str, Any]) -> JSONResponse:
    """Written here, in the request's thread: FastAPI would walk the body once more, on the event loop."""
    headers = {DEGRADED_HEADER: ",".join(answer.degraded)} if answer.degraded else {}
    return JSONResponse(body, headers=headers)


def _streamed(twin_request: TwinRequest, request: Request, with_usage: bool = False) -> EventStream:
    answer = answer_service(request).stream(twin_request)
    writing = answer.writing
    plan, writers = writing.plan, writing.writers
    request.state.facts |= {
        "persona": twin_request.persona,
        "model": writers.model,
        "kind": plan.prompt_kind,
        "passages": len(plan.citations),
        "degraded": answer.degraded,
        "outcome": writing.outcome,
        "stream": True,
    }
    refused = twin_request.response_format and writers.outcome == "refused"
    events = Events(
        writers.model,
        lambda: writers.finish_reason,
        (lambda: usage(*writers.tokens)) if with_usage else None,
        said_as="refusal" if refused else "content",
        citations=lambda: [c.model_dump() for c in writing.citations],
        outcome=lambda: writing.outcome,
        seed=twin_request.seed,
        degraded=answer.degraded,
        request_id=twin_request.request_id,
        prompt_kind=plan.prompt_kind,
        unsupported_links=answer.ending.unsupported_links,
        notice=answer.notice,
        written=lambda: writing.written,
        left_out=lambda: writing.left_out,
        checks=lambda: writing.checks and writing.checks.model_dump(),
        understood_as=plan.understood_as,
        turns_left_out=plan.turns_left_out,
        thread_kept=lambda: answer.ending.thread_kept,
    )
    # A proxy that gathers the whole answer first would take the point out of it.
    headers = {"X-Accel-Buffering": "no"}
    if answer.degraded:
        headers[DEGRADED_HEADER] = ",".join(answer.degraded)
    return EventStream(event_stream(events, answer.pieces), headers, answer.close)
