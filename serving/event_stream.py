"""A response of server-sent events that is ended with its reader."""

from collections.abc import Callable, Iterator, Mapping

from anyio import CancelScope
from anyio.to_thread import run_sync
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class EventStream(StreamingResponse):
    """Events from an iterator that blocks, read in threads. `close` ends what makes them, however the response ended: an
    iterator alone is ended by the garbage collector only, minutes later, and an engine writes on meanwhile."""

    def __init__(self, events: Iterator[str], headers: Mapping[str, str], close: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await run_sync(self._close)
