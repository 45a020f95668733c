"""TwinService: the twin's API and web page. Retrieval and prompts here, the model behind `llm_url`."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import bentoml
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from serving.errors import NothingReleased, Unknown, install_error_handlers
from serving.protocol import ChatRequest, WriteRequest, completion, event_stream
from serving.ui import install_ui
from twin_assets.core.embedder import load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.lake import open_lake
from twin_assets.core.ledger import Ledger
from twin_assets.core.persona import Persona, load_persona, persona_names
from twin_assets.core.profiles import load_profile
from twin_assets.core.vectors import VectorStore, open_store
from twin_assets.inference.answer import Answer, Plan, Twin
from twin_assets.inference.generation import RemoteGenerator
from twin_assets.inference.request_log import RequestLog, RequestRecord
from twin_assets.inference.retrieve import open_retriever
from twin_assets.settings import Settings, load_settings

app = FastAPI(title="LLM Twin", version="1")
install_error_handlers(app)
install_ui(app)


@bentoml.service(name="twin_service", workers=1, traffic={"timeout": 300})
@bentoml.asgi_app(app, path="/")
class TwinService:
    """The business service: which persona, which passages, which prompt."""

    def __init__(self) -> None:
        self.settings: Settings = load_settings()
        self.lake = open_lake(self.settings)
        self.log = RequestLog(self.lake)
        self.stores: dict[str, VectorStore] = {}
        load_embedder(self.settings.embedder).embed(["warm"])

    @app.get("/health")
    def health(self) -> dict[str, Any]:
        """What is in production, and whether request rows were lost."""
        return {"status": "ok", "production": self._production(), "lost_request_rows": self.log.lost}

    @app.get("/v1/personas")
    def personas(self) -> dict[str, Any]:
        """Every persona with the version in production, None where there is none."""
        names = persona_names(self.settings.personas_dir)
        production = self._production()
        people = [load_persona(self.settings.personas_dir, name) for name in names]
        return {
            "personas": [
                {"name": p.name, "full_name": p.full_name, "model": production[p.name]} for p in people
            ]
        }

    @app.get("/v1/models")
    def models(self) -> dict[str, Any]:
        """Personas that can be asked, as OpenAI models."""
        data = [
            {"id": n, "object": "model", "created": 0, "owned_by": t}
            for n, t in self._production().items()
            if t
        ]
        return {"object": "list", "data": data}

    @app.post("/v1/chat/completions", response_model=None)
    def chat(self, request: ChatRequest) -> dict[str, Any] | StreamingResponse:
        """OpenAI's chat completion; `model` is the persona. The last user turn is answered from the corpus."""
        questions = [t.content for t in request.messages if t.role == "user"]
        if not questions:
            raise TwinError("The conversation has no user turn.", "send a message with the role user.")
        persona, twin = self._twin(request.model)
        plan = twin.plan_answer(questions[-1])
        if request.stream:
            return self._stream(persona, twin, plan, questions[-1], request)
        answer = self._run(
            persona, twin, plan, questions[-1], request.temperature, request.seed, request.max_tokens
        )
        return completion(
            answer.model, answer.text, answer.tokens_in, answer.tokens_out, "stop",
            citations=[c.model_dump() for c in answer.citations], outcome=answer.outcome,
        )  # fmt: skip

    @app.post("/v1/write")
    def write(self, request: WriteRequest) -> Answer:
        """A LinkedIn post or an article about a topic, in the persona's voice, with the passages it leans on."""
        persona, twin = self._twin(request.persona)
        plan = twin.plan_write(request.kind, request.topic)
        return self._run(persona, twin, plan, request.topic, request.temperature, request.seed, None)

    def _production(self) -> dict[str, str | None]:
        return {n: Ledger(self.lake, n).production() for n in persona_names(self.settings.personas_dir)}

    def _twin(self, name: str) -> tuple[Persona, Twin]:
        if name not in persona_names(self.settings.personas_dir):
            known = ", ".join(persona_names(self.settings.personas_dir))
            raise Unknown(f"There is no persona {name!r} (known: {known}).", "use one of those names.")
        written = (self.settings.personas_dir / f"{name}.yaml").stat().st_mtime_ns
        persona = _persona(self.settings.personas_dir, name, written)
        production = Ledger(self.lake, name).production()
        if production is None and self.settings.llm_model is None:
            raise NothingReleased(
                f"{name!r} has nothing in production.", "approve an evaluated candidate, or run `make demo`."
            )
        key = self.settings.llm_api_key.get_secret_value() if self.settings.llm_api_key else "none"
        if name not in self.stores:  # kept, since a store on a server has a connection
            self.stores[name] = open_store(self.settings, name)
        embedder = load_embedder(self.settings.embedder)
        retriever = open_retriever(self.settings, persona, self.stores[name], embedder)
        # Our LLM service is asked by persona, so that a release in the middle of a request is no error.
        generator = RemoteGenerator(self.settings.llm_url, self.settings.llm_model or name, key, production)
        profile = load_profile(self.settings.profile)
        return persona, Twin(persona, profile, generator, retriever.retrieve, retriever.find)

    def _run(
        self, persona: Persona, twin: Twin, plan: Plan, asked: str, temperature: float, seed: int | None,
        max_tokens: int | None,
    ) -> Answer:  # fmt: skip
        try:
            answer = twin.run(plan, temperature, seed, max_tokens)
        except TwinError:
            self._record(persona, twin, plan, asked, "failed", "", {})
            raise
        self._record(persona, twin, plan, asked, answer.outcome, answer.text, answer.steps_ms, answer)
        return answer

    def _stream(
        self, persona: Persona, twin: Twin, plan: Plan, asked: str, request: ChatRequest
    ) -> StreamingResponse:
        def pieces() -> Iterator[str]:
            start, parts = time.monotonic(), []
            outcome: Literal["answered", "refused", "failed"] = "failed"
            try:
                for piece in twin.stream(plan, request.temperature, request.seed, request.max_tokens):
                    parts.append(piece)
                    yield piece
                outcome = "refused" if plan.refusal is not None else "answered"
            finally:
                steps = plan.steps_ms | {"generate": (time.monotonic() - start) * 1000}
                self._record(persona, twin, plan, asked, outcome, "".join(parts), steps)

        citations = [] if plan.refusal else [c.model_dump() for c in plan.citations]
        outcome = "refused" if plan.refusal else "answered"
        events = event_stream(lambda: twin.generator.model, pieces(), citations=citations, outcome=outcome)
        return StreamingResponse(events, media_type="text/event-stream")

    def _record(
        self, persona: Persona, twin: Twin, plan: Plan, asked: str,
        outcome: Literal["answered", "refused", "failed"], text: str, steps: dict[str, float],
        answer: Answer | None = None,
    ) -> None:  # fmt: skip
        self.log.append(
            RequestRecord(
                request_id=uuid.uuid4().hex, time=datetime.now(UTC), persona=persona.name, model=twin.generator.model,
                prompt_kind=plan.prompt_kind, retrieved=[c.chunk_id for c in plan.citations],
                scores=[c.score for c in plan.citations], tokens_in=answer.tokens_in if answer else 0,
                tokens_out=answer.tokens_out if answer else 0, steps_ms=steps, outcome=outcome,
                prompt=asked if persona.log_text else None, answer=text if persona.log_text else None,
            )
        )  # fmt: skip


@lru_cache
def _persona(folder: Path, name: str, written: int) -> Persona:
    """Kept until the file is written anew."""
    return load_persona(folder, name)
