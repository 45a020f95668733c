"""The first span of a request of the twin, where requests are traced."""

from typing import TYPE_CHECKING

from serving.twin.request import TwinRequest
from twin_assets.core.persona.definition import Persona
from twin_assets.core.tracing.spans import Span, current_span
from twin_assets.inference.twin.request_log import RequestRecord

if TYPE_CHECKING:
    from twin_assets.core.tracing.export import RequestTracer


def first_span(tracer: "RequestTracer | None", request: TwinRequest) -> Span | None:
    """A request of the twin, below the span of whoever asks."""
    if tracer is None:
        return None
    own = tracer.request(f"invoke_agent {request.persona}", request.traceparent)
    own.note(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": request.persona,
            "gen_ai.conversation.id": request.thread,
            "gen_ai.request.seed": request.seed,
            "twin.request_id": request.request_id,
            "twin.turns_before": len(request.before),
            "twin.links": len(request.links),
        }
    )
    return own


def tool_span(
    tracer: "RequestTracer | None", tool: str, persona: Persona, request_id: str, traceparent: str | None
) -> Span | None:
    """A look into a persona's writing that asks no engine, below the span of whoever asks."""
    if tracer is None:
        return None
    own = tracer.request(f"execute_tool {tool}", traceparent)
    own.note(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.agent.name": persona.name,
            "twin.request_id": request_id,
        }
    )
    own.texts = own.texts and persona.log_text == "kept"
    return own


def keep_texts(persona: Persona) -> None:
    """Spans below the current one hold texts only of a persona whose log keeps them as they are."""
    if (own := current_span()) is not None:
        own.texts = own.texts and persona.log_text == "kept"


def tell(row: RequestRecord, degraded: list[str]) -> None:
    """The current span says what the request log does, without texts and without who asked."""
    if (own := current_span()) is None:
        return
    own.note(
        {
            "gen_ai.prompt.name": row.prompt_kind,
            "gen_ai.response.model": row.model,
            "gen_ai.usage.input_tokens": row.tokens_in,
            "gen_ai.usage.output_tokens": row.tokens_out,
            "twin.outcome": row.outcome,
            "twin.canary": row.canary,
            "twin.cost_usd": row.cost,
            "twin.degraded": degraded,
        }
    )
