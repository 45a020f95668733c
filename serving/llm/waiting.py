"""Waits for texts in the making on the event loop: hundreds of requests wait without a thread each."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from fastapi import Request

from twin_assets.inference.generation.engine import GenerationHandle, TextDelta

GONE_SECONDS = 0.5  # how often a silent connection is looked at


async def pieces_of(ticket: GenerationHandle) -> AsyncGenerator[str]:
    """Pieces as they are written. Leaving early, for any reason, cancels the rest; raises what ended the batch."""
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue[TextDelta]()

    def pass_on(piece: TextDelta) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the service stops
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

    ticket.hand_to(pass_on)
    try:
        while (piece := await pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        ticket.cancel()


async def whole_text(ticket: GenerationHandle, request: Request) -> str:
    """All of it; the writing ends early when the client goes away."""
    watch = asyncio.create_task(_cancel_when_gone(ticket, request))
    try:
        return "".join([piece async for piece in pieces_of(ticket)])
    finally:
        watch.cancel()


async def _cancel_when_gone(ticket: GenerationHandle, request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(GONE_SECONDS)
    ticket.cancel()
