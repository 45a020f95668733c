"""LLMService: OpenAI-compatible chat completions from the models that are in production, or that its bento contains."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import bentoml
from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.requests import HTTPConnection
from starlette.routing import Route

from serving.access.front import Front
from serving.access.needs import ENGINE_KEY, needs
from serving.access.session import same_secret
from serving.access.this_machine import from_this_machine
from serving.api.document import Documented
from serving.completions import EVENTS, ChatCompletion, ModelList
from serving.errors import ERRORS, install_error_handlers
from serving.llm.contained import ContainedModels, contained_in
from serving.llm.gc_tuning import UNTRACED, keep_steady
from serving.llm.image import pinned_image
from serving.llm.metrics import EngineMetrics
from serving.llm.released import Pick, ReleasedModels
from serving.llm.tracing import writing, written
from serving.llm.waiting import pieces_of, whole_texts
from serving.metrics.endpoint import NOT_BENTOMLS, LedgerAge, serve_metrics
from serving.metrics.state import DiskMetrics
from serving.probes import only_probes
from serving.protocol import ChatRequest, Events, async_event_stream, choice, completion_of, usage
from serving.refusal import refusal
from twin_assets.core.records import Message
from twin_assets.core.tracing import open_tracer
from twin_assets.core.tracing.spans import Span, begun
from twin_assets.inference.generation.engine import GenerationHandle
from twin_assets.inference.generation.remote import CALLER_HEADER, MODEL_HEADER
from twin_assets.inference.generation.sampling import following_seed
from twin_assets.settings import load_settings

DEFAULT_TOKENS = 256
WRITTEN: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ChatCompletion,
        "content": EVENTS,
        "description": "One JSON object, or events with `stream`.",
    }
}

Models = ReleasedModels | ContainedModels

settings = load_settings()
app = Documented(title="LLM service", version="1", responses=ERRORS)
for route in app.routes:  # FastAPI's own: its pages of the API
    if isinstance(route, Route):
        needs(ENGINE_KEY)(route.endpoint)
install_error_handlers(app)


# One process holds the models, and more requests than `concurrency` find its batch full: scale by replicas.
@only_probes(app)
@bentoml.service(
    name="llm_service",
    workers=1,
    traffic={"timeout": 300, "concurrency": settings.llm_batch},
    tracing=UNTRACED,
    metrics=NOT_BENTOMLS,
    image=pinned_image("hashes.txt", "libgomp1"),
)
@bentoml.asgi_app(app, path="/")
class LLMService:
    """Requests for one model are written together, in one batch."""

    def __init__(self) -> None:
        contained = contained_in(LLMService)
        self.models: Models = ContainedModels(settings, contained) if contained else ReleasedModels(settings)
        age = LedgerAge(lambda: self.models.ledger_seconds_old)
        engines, disk = EngineMetrics(self.models.engines), DiskMetrics(settings.home)
        serve_metrics(settings.metrics_host, settings.llm_metrics_port, engines, disk, age)
        self.tracer = open_tracer(settings, "llm_service")
        keep_steady()

    @bentoml.on_shutdown
    def close(self) -> None:
        """Send the spans that still wait."""
        if self.tracer:
            self.tracer.close()

    @app.get("/v1/models", response_model=ModelList)
    @needs(ENGINE_KEY)
    async def list_models(self) -> dict[str, Any]:
        """Exact versions that are served, canaries too; `owned_by` is the persona."""
        data = [{"id": tag, "object": "model", "created": 0, "owned_by": p} for p, tag in self.models.all()]
        return {"object": "list", "data": data}

    @app.post("/v1/chat/completions", response_model=None, responses=WRITTEN)
    @needs(ENGINE_KEY)
    async def complete(self, given: ChatRequest, request: Request) -> dict[str, Any] | StreamingResponse:
        """OpenAI's chat completion; `model` is a persona's name or an exact version.

        While a canary runs, one `user` (or one `seed`) is answered by the same version every time.
        """
        caller = request.headers.get(CALLER_HEADER) or (request.client.host if request.client else "")
        own = self.tracer.request("chat", request.headers.get("traceparent")) if self.tracer else None
        with begun(own):
            pick = self.models.pick(given.model, given.user or given.seed, caller)
            # In a thread: templates and tokenizers take milliseconds.
            tickets = await run_sync(_begin, self.models, pick, given)
        if given.stream:
            return _streamed(self.models, pick, tickets, given, own)
        with writing(own, pick.generator.model, tickets), self.models.observed(pick):
            texts = await whole_texts(tickets, request)
        told = _logprobs(tickets)
        choices = [
            choice(index, text, ticket.finish_reason or "stop", told(index) if given.logprobs else None)
            for index, (text, ticket) in enumerate(zip(texts, tickets, strict=True))
        ]
        return completion_of(pick.generator.model, choices, *_counts(tickets))


def admit(request: HTTPConnection) -> str | Response:
    """Whoever has the key; where there is none, this machine."""
    if settings.llm_api_key:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and same_secret(token.strip(), settings.llm_api_key.get_secret_value()):
            return "key"
        return refusal(
            401,
            "WrongKey",
            "The LLM service needs its key.",
            "send the value of TWIN_LLM_API_KEY as a bearer token.",
            {"WWW-Authenticate": "Bearer"},
        )
    if settings.allow_anonymous or from_this_machine(request):
        return "this machine"
    return refusal(
        403,
        "NotOpen",
        "Without a key the LLM service answers this machine only.",
        "set TWIN_LLM_API_KEY to the same value for it and for the twin.",
    )


# All but probes comes to `app`, BentoML's own paths too.
app.add_middleware(Front, hosts=settings.allowed_hosts, admit=admit)


def _begin(models: Models, pick: Pick, given: ChatRequest) -> list[GenerationHandle]:
    """Every choice is queued, or none: they are rows of one batch like other requests."""
    conversation = [Message(role=t.role, content=t.content) for t in given.messages]
    sampling = given.sampling(DEFAULT_TOKENS)
    tickets: list[GenerationHandle] = []
    try:
        for n in range(given.n):
            # The first choice is what the seed writes alone.
            seed = following_seed(given.seed, n)
            tickets.append(models.start(pick, conversation, replace(sampling, seed=seed)))
    except BaseException:
        for ticket in tickets:
            ticket.cancel()
        raise
    return tickets


def _counts(tickets: list[GenerationHandle]) -> tuple[int, int]:
    """Tokens of the prompt, and of all choices."""
    return len(tickets[0].prompt), sum(ticket.tokens_out for ticket in tickets)


def _logprobs(tickets: list[GenerationHandle]) -> Callable[[int], list[dict[str, Any]]]:
    """What OpenAI tells of a choice's tokens, those that were not told yet."""
    tokenizer, told = tickets[0].version.tokenizer, [0] * len(tickets)

    def entry(token: int, logprob: float) -> dict[str, Any]:
        text = tokenizer.decode([token])
        whole = None if "\ufffd" in text else list(text.encode())  # a part of a character has no text
        return {"token": text, "logprob": logprob, "bytes": whole}

    def of_choice(index: int) -> list[dict[str, Any]]:
        fresh = tickets[index].logprobs[told[index] :]
        told[index] += len(fresh)
        return [entry(t.token, t.logprob) | {"top_logprobs": [entry(*one) for one in t.top]} for t in fresh]

    return of_choice


def _streamed(
    models: Models,
    pick: Pick,
    tickets: list[GenerationHandle],
    given: ChatRequest,
    own: Span | None,
) -> StreamingResponse:
    model = pick.generator.model
    events = Events(
        model,
        counts=(lambda: usage(*_counts(tickets))) if given.wants_usage else None,
        choices=len(tickets),
        finish_of=lambda index: tickets[index].finish_reason or "stop",
        logprobs=_logprobs(tickets) if given.logprobs else None,
    )
    pieces = written(own, model, tickets, models.stream(pick, pieces_of(tickets)))
    body = async_event_stream(events, pieces)
    return StreamingResponse(body, media_type="text/event-stream", headers={MODEL_HEADER: model})
