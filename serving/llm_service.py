"""LLMService: OpenAI-compatible chat completions from the models that are in production."""

from typing import Any

import bentoml
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from serving.engine_metrics import engine_metrics
from serving.errors import install_error_handlers
from serving.protocol import ChatRequest, Events, async_event_stream, completion, usage
from serving.released import Pick, ReleasedModels
from serving.steady import UNTRACED, keep_steady
from serving.writing import pieces_of, whole_text
from twin_assets.core.records import Message
from twin_assets.inference.engine import Ticket
from twin_assets.inference.remote import CALLER_HEADER, MODEL_HEADER
from twin_assets.settings import load_settings

DEFAULT_TOKENS = 256

app = FastAPI(title="LLM service", version="1")
install_error_handlers(app)


# One process holds the models, and more requests than `concurrency` find its batch full: scale by replicas.
@bentoml.service(
    name="llm_service", workers=1, traffic={"timeout": 300, "concurrency": load_settings().llm_batch},
    tracing=UNTRACED,
)  # fmt: skip
@bentoml.asgi_app(app, path="/")
class LLMService:
    """Requests for one model are written together, in one batch."""

    def __init__(self) -> None:
        self.models = ReleasedModels(load_settings())
        keep_steady()

    def __metrics__(self, bentoml_metrics: str) -> str:
        return bentoml_metrics + engine_metrics(self.models.engines())

    @app.get("/v1/models")
    async def list_models(self) -> dict[str, Any]:
        """Exact versions that are served, canaries too; `owned_by` is the persona."""
        data = [{"id": tag, "object": "model", "created": 0, "owned_by": p} for p, tag in self.models.all()]
        return {"object": "list", "data": data}

    @app.post("/v1/chat/completions", response_model=None)
    async def complete(self, given: ChatRequest, request: Request) -> dict[str, Any] | StreamingResponse:
        """OpenAI's chat completion; `model` is a persona's name or an exact version.

        While a canary runs, one `user` (or one `seed`) is answered by the same version every time.
        """
        caller = request.headers.get(CALLER_HEADER) or (request.client.host if request.client else "")
        pick = self.models.pick(given.model, given.user or given.seed, caller)
        # In a thread: templates and tokenizers take milliseconds.
        ticket = await run_sync(_begin, self.models, pick, given)
        if given.stream:
            return _streamed(self.models, pick, ticket, given)
        with self.models.observed(pick):
            text = await whole_text(ticket, request)
        return completion(
            pick.generator.model, text, len(ticket.prompt), ticket.tokens_out, ticket.finish_reason or "stop"
        )


def _begin(models: ReleasedModels, pick: Pick, given: ChatRequest) -> Ticket:
    conversation = [Message(role=t.role, content=t.content) for t in given.messages]
    stop = [given.stop] if isinstance(given.stop, str) else given.stop
    limit = given.max_tokens or DEFAULT_TOKENS
    return models.start(pick, conversation, limit, given.temperature, given.seed, stop)


def _streamed(models: ReleasedModels, pick: Pick, ticket: Ticket, given: ChatRequest) -> StreamingResponse:
    model = pick.generator.model
    counts = (lambda: usage(len(ticket.prompt), ticket.tokens_out)) if given.wants_usage else None
    events = Events(model, lambda: ticket.finish_reason or "stop", counts)
    body = async_event_stream(events, models.stream(pick, pieces_of(ticket)))
    return StreamingResponse(body, media_type="text/event-stream", headers={MODEL_HEADER: model})
