"""Waits for texts in the making on the event loop: hundreds of requests wait without a thread each."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from fastapi import Request

from twin_assets.inference.generation.engine import GenerationHandle, TextDelta

GONE_SECONDS = 0.5  # how often a silent connection is looked at


async def pieces_of(tickets: Sequence[GenerationHandle]) -> AsyncGenerator[tuple[int, str]]:
    """Pieces of several texts as they are written, each with the number of its text. Leaving early, for any reason, cancels
    the rest; raises what ended the batch."""
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue[tuple[int, TextDelta]]()

    def pass_on(index: int, piece: TextDelta) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the service stops
            loop.call_soon_threadsafe(pieces.put_nowait, (index, piece))

    for index, ticket in enumerate(tickets):
        ticket.hand_to(partial(pass_on, index))
    written = len(tickets)
    try:
        while written:
            index, piece = await pieces.get()
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                written -= 1
            else:
                yield index, piece
    finally:
        for ticket in tickets:
            ticket.cancel()


async def whole_texts(tickets: Sequence[GenerationHandle], request: Request) -> list[str]:
    """All of each; the writing ends early when the client goes away."""
    watch = asyncio.create_task(_cancel_when_gone(tickets, request))
    texts = [""] * len(tickets)
    try:
        async for index, piece in pieces_of(tickets):
            texts[index] += piece
    finally:
        watch.cancel()
    return texts


async def _cancel_when_gone(tickets: Sequence[GenerationHandle], request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(GONE_SECONDS)
    for ticket in tickets:
        ticket.cancel()
