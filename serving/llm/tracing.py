"""The span of a request of the LLM service, which lies below that of the call when the twin asks."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager

from twin_assets.core.tracing.spans import Attribute, Span, ending
from twin_assets.inference.generation.engine import GenerationHandle

Piece = tuple[int, str]


@contextmanager
def writing(own: Span | None, model: str, tickets: Sequence[GenerationHandle]) -> Iterator[None]:
    """For a block in which a request's texts are written: its span ends with it, and says what became of them."""
    if own is None:
        yield
        return
    with ending(own):
        try:
            yield
        finally:
            own.note(_told(model, tickets))


def _told(model: str, tickets: Sequence[GenerationHandle]) -> dict[str, Attribute]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "llm_twin",
        "gen_ai.request.max_tokens": tickets[0].sampling.max_tokens,
        "gen_ai.request.choice.count": len(tickets) if len(tickets) > 1 else None,
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": len(tickets[0].prompt),
        "gen_ai.usage.output_tokens": sum(ticket.tokens_out for ticket in tickets),
        "gen_ai.response.finish_reasons": [t.finish_reason or "stop" for t in tickets],
        # From the request to its first token: the wait for a place in the batch, and the reading of the prompt.
        "gen_ai.response.time_to_first_chunk": min(t.first_token_seconds for t in tickets) or None,
    }


def written(
    own: Span | None, model: str, tickets: Sequence[GenerationHandle], pieces: AsyncGenerator[Piece]
) -> AsyncGenerator[Piece]:
    """The same pieces, with the span of their request."""
    return pieces if own is None else _written(own, model, tickets, pieces)


async def _written(
    own: Span, model: str, tickets: Sequence[GenerationHandle], pieces: AsyncGenerator[Piece]
) -> AsyncGenerator[Piece]:
    with writing(own, model, tickets):
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
