"""A version that a vLLM server writes for: prompts and texts as with our own engine, only the tokens come from there."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from serving.llm.vllm.server import NotHeld, Refused, VllmServer
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Message
from twin_assets.inference.generation.engine import EngineBusy, EngineVersion, GenerationHandle
from twin_assets.inference.generation.local import check_room, read_prompt
from twin_assets.inference.generation.remote import EngineUnavailable
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.generation.structured.grammar import check_schema


class _Handle(GenerationHandle):
    """One text. Cancelling it breaks off the request, upon which vLLM stops writing."""

    def __init__(self, prompt: list[int], sampling: Sampling, work: "Work") -> None:
        # Of a version it reads what `Work` has: the tokenizer, and the tokens that end a text.
        super().__init__(prompt, sampling, cast(EngineVersion, work))
        self._work = work
        self.break_off: Callable[[], None] = lambda: None

    def cancel(self) -> None:
        super().cancel()
        self.break_off()

    def take(self, token: int) -> bool:
        if not self.first_token_seconds:
            self._work.waiting, self._work.writing = self._work.waiting - 1, self._work.writing + 1
        self._work.done["tokens"] += 1
        return super().take(token)


class Places:
    """How many texts this service has with one server, of all versions together; at most `most`."""

    def __init__(self, most: int) -> None:
        self._most, self._taken, self._lock = most, 0, threading.Lock()

    def take(self, bounded: bool) -> None:
        """Raises EngineBusy when `bounded` and all are taken."""
        with self._lock:
            if bounded and self._taken >= self._most:
                raise EngineBusy(f"{self._taken} requests are with vLLM already.", "try again in a moment.")
            self._taken += 1

    def give(self) -> None:
        with self._lock:
            self._taken -= 1


class Work:
    """One version's tokenizer, the tokens that end its texts, and its counts. A text is waiting until its first token; steps
    and reads are vLLM's own affair, so those counts stay at nought."""

    def __init__(self, tokenizer: Any, ends: frozenset[int]) -> None:
        self.tokenizer, self.ends = tokenizer, ends
        self.waiting, self.writing = 0, 0
        self.done: Counter[str] = Counter()


class VllmModel:
    """A version on a server, under a name there. It is unloaded some time after nobody holds the object any more."""

    def __init__(
        self,
        model: str,
        tokenizer: Any,
        ends: frozenset[int],
        server: VllmServer,
        name: str,
        path: str | None,
        context: int,
        places: Places,
    ) -> None:
        """`model` is the version's tag; `ends` are the tokens that end a text, `context` how many tokens prompt and text
        may have; `path` the folder of its adapter, None of a whole model."""
        self.model, self.name, self.path, self.server = model, name, path, server
        self.engine = Work(tokenizer, ends)
        self._context, self._places = context, places

    def start(
        self, conversation: list[Message], sampling: Sampling, bounded: bool = True
    ) -> GenerationHandle:
        """Ask for a text. Raises TwinError for what can't be asked, EngineBusy when `bounded` and as many wait as may."""
        if sampling.top_logprobs is not None:
            raise TwinError(
                "Likelihoods of tokens are told by the platform's own engine only.", "leave logprobs out."
            )
        if sampling.response_format:
            check_schema(sampling.response_format.schema)  # vLLM writes past some keywords
        prompt = read_prompt(self.engine.tokenizer, self.model, conversation)
        check_room(self.model, len(prompt), sampling.max_tokens, self._context)
        handle = _Handle(prompt, sampling, self.engine)
        self._places.take(bounded)
        self.server.begin(self._write(handle))
        return handle

    async def _write(self, handle: _Handle) -> None:
        """On the server's loop, as is everything that counts."""
        loop, work = asyncio.get_running_loop(), self.engine
        work.waiting += 1
        writing = asyncio.ensure_future(self._written(handle))

        def break_off() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the service stops
                loop.call_soon_threadsafe(writing.cancel)

        handle.break_off = break_off
        if handle.cancelled:
            writing.cancel()
        [failure] = await asyncio.gather(writing, return_exceptions=True)
        handle.break_off = lambda: None  # a failure holds what it passed through, this model too
        if handle.first_token_seconds:
            work.writing -= 1
        else:
            work.waiting -= 1
        self._places.give()
        if handle.finish_reason is None:
            if isinstance(failure, Exception):
                handle.fail(failure)
            else:
                handle.finish("cancelled")
        work.done[handle.finish_reason or "failed"] += 1

    async def _written(self, handle: _Handle) -> None:
        for _ in range(2):
            try:
                return await self.server.write(handle, self.name)
            except NotHeld:  # the server was started anew since it was last looked at
                await self._hold()
        raise EngineUnavailable(
            f"vLLM at {self.server.url} does not keep {self.name}.",
            "see that nobody else unloads adapters there.",
        )

    async def _hold(self) -> None:
        try:
            if self.path:
                await self.server.load_adapter(self.name, self.path)
        except Refused as refused:
            raise EngineUnavailable(refused.problem, refused.fix) from None
