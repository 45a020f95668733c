"""LLMService: OpenAI-compatible chat completions from the models that are in production."""

from typing import Any

import bentoml
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from serving.errors import install_error_handlers
from serving.protocol import ChatRequest, completion, event_stream, usage
from serving.released import ReleasedModels
from twin_assets.core.records import Message
from twin_assets.inference.generation import MODEL_HEADER, finished
from twin_assets.settings import load_settings

DEFAULT_TOKENS = 256

app = FastAPI(title="LLM service", version="1")
install_error_handlers(app)


@bentoml.service(name="llm_service", workers=1, traffic={"timeout": 300})
@bentoml.asgi_app(app, path="/")
class LLMService:
    """One process holds the models; requests for one model are written together, in one batch."""

    def __init__(self) -> None:
        self.models = ReleasedModels(load_settings())

    @app.get("/v1/models")
    def list_models(self) -> dict[str, Any]:
        """Exact versions that are served, canaries too; `owned_by` is the persona."""
        data = [{"id": tag, "object": "model", "created": 0, "owned_by": p} for p, tag in self.models.all()]
        return {"object": "list", "data": data}

    @app.post("/v1/chat/completions", response_model=None)
    def complete(self, request: ChatRequest) -> dict[str, Any] | StreamingResponse:
        """OpenAI's chat completion; `model` is a persona's name or an exact version.

        While a canary runs, one `user` (or one `seed`) is answered by the same version every time.
        """
        pick = self.models.pick(request.model, request.user or request.seed)
        generator = pick.generator
        conversation = [Message(role=t.role, content=t.content) for t in request.messages]
        stop = [request.stop] if isinstance(request.stop, str) else request.stop
        limit = request.max_tokens or DEFAULT_TOKENS
        ticket = self.models.start(pick, conversation, limit, request.temperature, request.seed, stop)
        if not request.stream:
            with self.models.observed(pick):
                written = finished(ticket)
            return completion(
                generator.model, written.text, written.tokens_in, written.tokens_out, written.finish_reason
            )
        wants_usage = request.stream_options is not None and request.stream_options.include_usage
        events = event_stream(
            generator.model, self.models.stream(pick, iter(ticket)), lambda: ticket.finish_reason or "stop",
            (lambda: usage(len(ticket.prompt), ticket.tokens_out)) if wants_usage else None,
        )  # fmt: skip
        named = {MODEL_HEADER: generator.model}
        return StreamingResponse(events, media_type="text/event-stream", headers=named)
