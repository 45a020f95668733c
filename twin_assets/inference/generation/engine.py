"""Writes several texts at once with one model: requests join and leave the batch between two tokens.

Continuous batching as in Orca (Yu et al., OSDI 2022). A step of a batch reads the weights once for all its
rows, which is what a step costs, so eight texts take little longer than one.
"""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal

from twin_assets.core.errors import TwinError
from twin_assets.inference.generation.batch_cache import BatchCache, cache_token_budget
from twin_assets.inference.generation.sampling import (
    TOP_P,
    Sampling,
    TokenLogprob,
    logprob_of,
    new_random,
    next_tokens,
    penalise,
)
from twin_assets.inference.generation.text_stream import TextStream

MAX_ROWS = 24  # two CPU cores gain nothing from more
MAX_WAITING = 64
# Prompts that are read in one go, so that texts in the making don't stand still for long.
READ_TOKENS = 2048

FinishReason = Literal["stop", "length", "cancelled", "failed"]
TextDelta = str | Exception | None  # text; what ended the batch; the end


class EngineBusy(TwinError):
    """More requests wait than the engine keeps."""


class StepFailed(Exception):
    """A step of the model failed, which ended a batch; `__cause__` says how. All readers of the batch get the same one."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.__cause__ = error
        self._told, self._telling = False, threading.Lock()

    def first(self) -> bool:
        """True for the first who asks."""
        with self._telling:
            told, self._told = self._told, True
        return not told


class GenerationHandle:
    """One text in the making: iterate over its pieces, or let `result` wait for the whole."""

    def __init__(self, prompt: list[int], sampling: Sampling, tokenizer: Any) -> None:
        self.prompt, self.sampling = prompt, sampling
        self.random = new_random(sampling.seed)
        self.tokens_out, self.last_token = 0, -1
        self.written: Counter[int] = Counter()
        self.logprobs: list[TokenLogprob] = []  # where `sampling` asks for them; grows while it is written
        self.finish_reason: FinishReason | None = None
        self.started, self.seconds, self.first_token_seconds = time.monotonic(), 0.0, 0.0
        self._text = TextStream(tokenizer, sampling.stop)
        self._pieces: queue.SimpleQueue[TextDelta] = queue.SimpleQueue()
        self._reader: Callable[[TextDelta], None] = self._pieces.put
        self._handing_over = threading.Lock()
        self._cancelled = threading.Event()

    @property
    def longest(self) -> int:
        """Tokens that it may come to, its prompt included."""
        return len(self.prompt) + self.sampling.max_tokens

    def cancel(self) -> None:
        """Write no further; nothing happens when it is done."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def begun(self) -> bool:
        """Whether anything but space was written."""
        return self._text.begun

    def hand_to(self, reader: Callable[[TextDelta], None]) -> None:
        """Give every piece to `reader`, in the engine's thread, instead of keeping it for an iterator.

        The last is None, or the exception that ended the batch.
        """
        with self._handing_over:
            while not self._pieces.empty():
                reader(self._pieces.get())
            self._reader = reader

    def _give(self, piece: TextDelta) -> None:
        with self._handing_over:
            self._reader(piece)

    def __iter__(self) -> Iterator[str]:
        """Pieces as they are written. Leaving the loop early cancels the rest; raises what ended the batch."""
        try:
            while (piece := self._pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.cancel()

    def result(self) -> str:
        """The whole text."""
        return "".join(self)

    def take(self, token: int, ends: frozenset[int]) -> bool:
        """Add a token of the model's; True when the text is complete."""
        self.last_token = token
        self.first_token_seconds = self.first_token_seconds or time.monotonic() - self.started
        if self.cancelled:
            return self.finish("cancelled")
        if token in ends:
            return self.finish("stop")
        self.tokens_out += 1
        if piece := self._text.add(token):
            self._give(piece)
        if self._text.stopped:
            return self.finish("stop")
        if self.tokens_out >= self.sampling.max_tokens:
            return self.finish("length")
        return False

    def fail(self, error: Exception) -> None:
        """End with an error, which the reader gets."""
        self.finish_reason = "failed"
        self._give(error)

    def finish(self, reason: FinishReason) -> bool:
        """End the text; True."""
        self.finish_reason, self.seconds = reason, time.monotonic() - self.started
        if reason != "cancelled" and (rest := self._text.rest()):
            self._give(rest)
        self._give(None)
        return True


class Engine:
    """One model and the texts it is writing. Its thread lives only while there is something to write."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        ends: frozenset[int],
        max_rows: int = MAX_ROWS,
        token_budget: int | None = None,
    ) -> None:
        """`ends` are the tokens that end a text; at most `max_rows` are written at once, others wait.

        They wait too while the batch could outgrow `token_budget`, the tokens that its cache may hold, padding included;
        without it what a GPU has free when a batch begins. A text alone is always begun.
        """
        self._model, self._tokenizer, self._ends, self._max_rows = model, tokenizer, ends, max_rows
        self._token_budget = token_budget
        self.writing = 0  # rows of the batch, with those whose prompts are being read
        # Reads and steps of the model, tokens, and texts by how they ended.
        self.done: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._waiting: list[GenerationHandle] = []
        self._running = False  # whether there is a thread

    def submit(
        self, prompt: list[int], sampling: Sampling, max_waiting: int | None = MAX_WAITING
    ) -> GenerationHandle:
        """Queue a prompt. Raises EngineBusy when the batch is full and `max_waiting` wait; None is no limit."""
        ticket = GenerationHandle(prompt, sampling, self._tokenizer)
        with self._lock:
            # Free rows count too: a burst that the next step takes up is no queue.
            in_hand = len(self._waiting) + self.writing
            if max_waiting is not None and in_hand >= self._max_rows + max_waiting:
                raise EngineBusy(
                    f"{max_waiting} requests wait for the model already.", "try again in a moment."
                )
            self._waiting.append(ticket)
            if not self._running:
                self._running = True
                threading.Thread(target=self._write, daemon=True, name="engine").start()
        return ticket

    @property
    def waiting(self) -> int:
        """Requests that are not being written yet."""
        return len(self._waiting)

    def _write(self) -> None:
        import torch

        active: list[GenerationHandle] = []
        cache = BatchCache(self._model)
        token_budget = self._token_budget or cache_token_budget(self._model)
        with torch.inference_mode():
            while True:
                fresh = self._admitted(active, token_budget)
                if not active and not fresh:
                    return
                try:
                    active = self._advance(cache, active, fresh)
                except Exception as error:  # out of memory, say: those requests end, later ones may fit
                    failure = StepFailed(error)
                    for ticket in [*active, *fresh]:
                        ticket.fail(failure)
                    self.done["failed"] += len(active) + len(fresh)
                    active, cache = [], BatchCache(self._model)
                self.writing = len(active)

    def _admitted(self, active: list[GenerationHandle], token_budget: int | None) -> list[GenerationHandle]:
        """Those whose turn it is. With nothing left to do, the thread's end is settled under the lock."""
        fresh: list[GenerationHandle] = []
        with self._lock:
            gone = [t for t in self._waiting if t.cancelled]
            self._waiting = [t for t in self._waiting if t not in gone]
            while self._waiting and len(active) + len(fresh) < self._max_rows:
                read = [*fresh, self._waiting[0]]
                if fresh and max(len(t.prompt) for t in read) * len(read) > READ_TOKENS:
                    break
                batch = [*active, *read]
                if (
                    token_budget
                    and len(batch) > 1
                    and max(t.longest for t in batch) * len(batch) > token_budget
                ):
                    break
                fresh.append(self._waiting.pop(0))
            self.writing = len(active) + len(fresh)
            self._running = bool(self.writing)
        for ticket in gone:  # nobody waits for it any more, so its prompt is not even read
            ticket.finish("cancelled")
        self.done["cancelled"] += len(gone)
        return fresh

    def _advance(
        self, cache: BatchCache, active: list[GenerationHandle], fresh: list[GenerationHandle]
    ) -> list[GenerationHandle]:
        """One token more for each of `active` and `fresh`; returns those that go on."""
        import torch

        logits = [cache.step([t.last_token for t in active])] if active else []
        if fresh:
            logits.append(cache.admit([t.prompt for t in fresh]))
        tickets = [*active, *fresh]
        scores = torch.cat(logits)
        logs = {
            row: scores[row].float().log_softmax(dim=-1)
            for row, ticket in enumerate(tickets)
            if ticket.sampling.top_logprobs is not None
        }
        for row, ticket in enumerate(tickets):
            if ticket.written and (ticket.sampling.presence_penalty or ticket.sampling.frequency_penalty):
                penalise(scores[row], ticket.written, ticket.sampling)
        # An answer is never empty: the end can't come before its first word. A sampled one would now and then.
        if silent := [row for row, ticket in enumerate(tickets) if not ticket.begun]:
            scores[
                torch.tensor(silent).unsqueeze(1), torch.tensor(sorted(self._ends), dtype=torch.long)
            ] = -torch.inf
        temperatures, randoms = [t.sampling.temperature for t in tickets], [t.random for t in tickets]
        top_ps = [TOP_P if t.sampling.top_p is None else t.sampling.top_p for t in tickets]
        tokens = next_tokens(scores, cache.seen, temperatures, randoms, top_ps)
        for row, token in enumerate(tokens):
            if token not in self._ends:
                tickets[row].written[token] += 1
                if row in logs:
                    told = logprob_of(logs[row], token, tickets[row].sampling.top_logprobs or 0)
                    tickets[row].logprobs.append(told)
        on = [row for row, token in enumerate(tokens) if not tickets[row].take(token, self._ends)]
        self.done.update({"steps": bool(active), "reads": bool(fresh), "tokens": len(tickets)})
        if len(on) < len(tickets):
            self.done.update(t.finish_reason or "stop" for n, t in enumerate(tickets) if n not in set(on))
            cache.keep(on)
        return [tickets[row] for row in on]
