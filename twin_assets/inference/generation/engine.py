"""Writes several texts at once with one model: requests join and leave the batch between two tokens.

Continuous batching as in Orca (Yu et al., OSDI 2022). A step of a batch reads the weights once for all its
rows, which is what a step costs, so eight texts take little longer than one. Rows of the bare model and of several
adapters on it are one batch.
"""

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from twin_assets.core.errors import TwinError
from twin_assets.inference.generation.batch_cache import BatchCache, Read, cache_token_budget
from twin_assets.inference.generation.lora import AdaptedModel, Adapter
from twin_assets.inference.generation.paged.cache import PagedCache
from twin_assets.inference.generation.paged.decoder import PagedAdapters, PagedDecoder
from twin_assets.inference.generation.prefixes import MIN_TOKENS, Prefix, Prefixes
from twin_assets.inference.generation.sampling import (
    TOP_P,
    Sampling,
    TokenLogprob,
    logprob_of,
    new_random,
    next_tokens,
    penalise,
)
from twin_assets.inference.generation.structured.grammar import Constraint, constraint_of
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
    """A step of the model failed, which ended a batch; `__cause__` says how. All readers of the batch get the same one.

    `blames` is False where rows of several versions were in the step: it says nothing of any one of them.
    """

    def __init__(self, error: Exception, blames: bool = True) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.__cause__ = error
        self._told, self._telling = not blames, threading.Lock()

    def first(self) -> bool:
        """True for the first who asks, where it counts against a version."""
        with self._telling:
            told, self._told = self._told, True
        return not told


class GenerationHandle:
    """One text in the making: iterate over its pieces, or let `result` wait for the whole."""

    def __init__(self, prompt: list[int], sampling: Sampling, version: "EngineVersion") -> None:
        self.prompt, self.sampling, self.version = prompt, sampling, version
        self.random = new_random(sampling.seed)
        self.tokens_out, self.last_token = 0, -1
        self.written: Counter[int] = Counter()
        self.logprobs: list[TokenLogprob] = []  # where `sampling` asks for them; grows while it is written
        self.finish_reason: FinishReason | None = None
        self.constraint: Constraint | None = None
        self.started, self.seconds, self.first_token_seconds = time.monotonic(), 0.0, 0.0
        self._text = TextStream(version.tokenizer, sampling.stop, prompt)
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

    def hides(self, token: int) -> bool:
        """Whether the token, were it the next one, would be no part of the text: a thought, or its mark."""
        return self._text.hides(token)

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

    def take(self, token: int) -> bool:
        """Add a token of the model's; True when the text is complete."""
        self.last_token = token
        self.first_token_seconds = self.first_token_seconds or time.monotonic() - self.started
        if self.cancelled:
            return self.finish("cancelled")
        if token in self.version.ends:
            return self.finish("stop")
        if self.constraint and (wrong := self.constraint.take(token)):
            self.fail(wrong)
            return True
        self.tokens_out += 1
        if piece := self._text.add(token):
            self._give(piece)
        if self._text.stopped or (self.constraint and self.constraint.complete):
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


class EngineVersion:
    """One of the models that an engine writes with, the bare one or an adapter on it, with its tokenizer and the tokens that
    end a text. Its queue and its counts are its own: `done` has the steps and reads that it had rows in, tokens, and texts
    by how they ended."""

    def __init__(
        self, engine: "Engine", tokenizer: Any, ends: frozenset[int], adapter: Adapter | None = None
    ) -> None:
        self.tokenizer, self.ends, self.adapter = tokenizer, ends, adapter
        self.done: Counter[str] = Counter()
        self.queue: deque[GenerationHandle] = deque()
        self._engine = engine

    @property
    def waiting(self) -> int:
        """Its requests that are not being written yet."""
        return len(self.queue)

    @property
    def writing(self) -> int:
        """Its rows of the batch, with those whose prompts are being read."""
        return self._engine.rows_of(self)

    def submit(
        self, prompt: list[int], sampling: Sampling, max_waiting: int | None = MAX_WAITING
    ) -> GenerationHandle:
        """Queue a prompt. Raises EngineBusy when the batch is full and `max_waiting` wait; None is no limit. Raises TwinError
        for a `response_format` that can't be kept.

        Where several versions wait, one that has less than its equal part of `max_waiting` may still join.
        """
        ticket = GenerationHandle(prompt, sampling, self)
        if sampling.response_format:
            ticket.constraint = constraint_of(sampling.response_format, self.tokenizer, self.ends)
        return self._engine.enqueue(ticket, max_waiting)


class Engine:
    """One model and the texts that it and the adapters on it are writing. Its thread lives only while there is something
    to write. Versions that wait take turns, so that the burst of one does not shut out the others."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        ends: frozenset[int],
        max_rows: int = MAX_ROWS,
        token_budget: int | None = None,
        adapted: AdaptedModel | PagedAdapters | None = None,
    ) -> None:
        """`model` is one of transformers or a PagedDecoder. `ends` are the tokens that end a text; at most `max_rows` are written at once, others wait.

        They wait too while the batch could outgrow `token_budget`, the tokens that its cache may hold, padding included;
        without it what a GPU has free when a batch begins. A text alone is always begun.
        """
        self._model, self._max_rows, self._adapted = model, max_rows, adapted
        self._token_budget = token_budget
        self.bare = EngineVersion(self, tokenizer, ends)
        self.writing = 0  # rows of the batch, with those whose prompts are being read
        # Reads and steps of the model, tokens, and texts by how they ended; of all versions.
        self.done: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._turns: deque[EngineVersion] = deque()  # those that have requests waiting, the next first
        self._rows: Counter[EngineVersion] = Counter()
        self._running = False  # whether there is a thread
        self._prefixes = Prefixes()

    def submit(
        self, prompt: list[int], sampling: Sampling, max_waiting: int | None = MAX_WAITING
    ) -> GenerationHandle:
        """Queue a prompt for the bare model."""
        return self.bare.submit(prompt, sampling, max_waiting)

    def enqueue(self, ticket: GenerationHandle, max_waiting: int | None) -> GenerationHandle:
        """What `EngineVersion.submit` does."""
        version = ticket.version
        with self._lock:
            # Free rows count too: a burst that the next step takes up is no queue.
            full = max_waiting is not None and self.waiting + self.writing >= self._max_rows + max_waiting
            if full and len(version.queue) >= self._share(version, max_waiting or 0):
                raise EngineBusy(
                    f"{max_waiting} requests wait for the model already.", "try again in a moment."
                )
            if not version.queue:
                self._turns.append(version)
            version.queue.append(ticket)
            if not self._running:
                self._running = True
                threading.Thread(target=self._write, daemon=True, name="engine").start()
        return ticket

    def _share(self, version: EngineVersion, max_waiting: int) -> int:
        others = sum(1 for other in self._turns if other is not version)
        return max(max_waiting // (others + 1), 1) if others else max_waiting

    @property
    def waiting(self) -> int:
        """Requests that are not being written yet."""
        return sum(len(version.queue) for version in list(self._turns))

    def rows_of(self, version: EngineVersion) -> int:
        """Rows of the batch that a version has."""
        return self._rows[version]

    def _write(self) -> None:
        import torch

        active: list[GenerationHandle] = []
        cache = self._new_cache()
        token_budget = self._token_budget
        if isinstance(cache, BatchCache):
            token_budget = token_budget or cache_token_budget(self._model)
        with torch.inference_mode():
            while True:
                fresh = self._admitted(active, token_budget)
                if not active and not fresh:
                    return
                try:
                    active = self._advance(cache, active, fresh)
                except Exception as error:  # out of memory, say: those requests end, later ones may fit
                    self._fail([t for t in [*active, *fresh] if t.finish_reason is None], error)
                    active, cache = [], self._new_cache()
                self._now_writing(active)

    def _new_cache(self) -> BatchCache | PagedCache:
        return self._model.new_cache() if isinstance(self._model, PagedDecoder) else BatchCache(self._model)

    def _now_writing(self, tickets: list[GenerationHandle]) -> None:
        self.writing, self._rows = len(tickets), Counter(t.version for t in tickets)

    def _admitted(self, active: list[GenerationHandle], token_budget: int | None) -> list[GenerationHandle]:
        """Those whose turn it is. With nothing left to do, the thread's end is settled under the lock."""
        fresh: list[GenerationHandle] = []
        gone: list[GenerationHandle] = []
        with self._lock:
            for version in self._turns:
                gone += [t for t in version.queue if t.cancelled]
                version.queue = deque(t for t in version.queue if not t.cancelled)
            self._turns = deque(version for version in self._turns if version.queue)
            while self._turns and len(active) + len(fresh) < self._max_rows:
                read = [*fresh, self._turns[0].queue[0]]
                if fresh and max(len(t.prompt) for t in read) * len(read) > READ_TOKENS:
                    break
                batch = [*active, *read]
                if (
                    token_budget
                    and len(batch) > 1
                    and max(t.longest for t in batch) * len(batch) > token_budget
                ):
                    break
                version = self._turns.popleft()
                fresh.append(version.queue.popleft())
                if version.queue:
                    self._turns.append(version)
            self._now_writing([*active, *fresh])
            self._running = bool(self.writing)
        for ticket in gone:  # nobody waits for it any more, so its prompt is not even read
            ticket.finish("cancelled")
        self._count(gone, "cancelled")
        return fresh

    def _advance(
        self, cache: BatchCache | PagedCache, active: list[GenerationHandle], fresh: list[GenerationHandle]
    ) -> list[GenerationHandle]:
        """One token more for each of `active` and `fresh`; returns those that go on."""
        import torch

        logits, everyone = [], [*active, *fresh]
        if active:
            with self._written_by(active, everyone):
                logits.append(cache.step([t.last_token for t in active]))
            self._count_passes(active, "steps")
        tickets = list(active)
        for own, read in self._read(cache, fresh, everyone):
            cache.join(read)
            logits.append(read.logits)
            tickets += own
            self._count_passes(own, "reads")
        if not tickets:
            return []
        scores = torch.cat(logits)
        logs = {
            row: scores[row].float().log_softmax(dim=-1)
            for row, ticket in enumerate(tickets)
            if ticket.sampling.top_logprobs is not None
        }
        for row, ticket in enumerate(tickets):
            if ticket.written and (ticket.sampling.presence_penalty or ticket.sampling.frequency_penalty):
                penalise(scores[row], ticket.written, ticket.sampling)
            if ticket.constraint:
                ticket.constraint.mask(scores[row])
        # An answer is never empty: the end can't come before its first word. A sampled one would now and then.
        silent = [
            (row, end) for row, t in enumerate(tickets) if not t.begun for end in sorted(t.version.ends)
        ]
        if silent:
            rows, ends = torch.tensor(silent, dtype=torch.long).T
            scores[rows, ends] = -torch.inf
        temperatures, randoms = [t.sampling.temperature for t in tickets], [t.random for t in tickets]
        top_ps = [TOP_P if t.sampling.top_p is None else t.sampling.top_p for t in tickets]
        penalties = [t.sampling.repetition_penalty for t in tickets]
        tokens = next_tokens(scores, cache.seen, temperatures, randoms, top_ps, penalties)
        for row, (ticket, token) in enumerate(zip(tickets, tokens, strict=True)):
            if token not in ticket.version.ends:
                ticket.written[token] += 1
                if row in logs and not ticket.hides(token):
                    ticket.logprobs.append(logprob_of(logs[row], token, ticket.sampling.top_logprobs or 0))
        on = [row for row, token in enumerate(tokens) if not tickets[row].take(token)]
        self._count(tickets, "tokens")
        if len(on) < len(tickets):
            for ended in (t for n, t in enumerate(tickets) if n not in set(on)):
                self._count([ended], ended.finish_reason or "stop")
            cache.keep(on)
        return [tickets[row] for row in on]

    def _read(
        self, cache: BatchCache | PagedCache, fresh: list[GenerationHandle], everyone: list[GenerationHandle]
    ) -> list[tuple[list[GenerationHandle], Read]]:
        """Prompts as they were read: in one go, but for versions of which a prefix is known. Where that fails each version's are
        read by themselves, so that what one can't read ends only its own."""
        by_version: dict[EngineVersion, list[GenerationHandle]] = {}
        for ticket in fresh:
            by_version.setdefault(ticket.version, []).append(ticket)
        reads, together = [], []
        for version, own in by_version.items():
            try:
                with self._written_by(own, everyone):
                    prefix = self._prefix(cache, version, [t.prompt for t in own])
                    if prefix:
                        reads.append((own, cache.read([t.prompt for t in own], prefix)))
                    else:
                        together += own
            except Exception as error:
                self._fail(own, error)
        return reads + self._read_together(cache, together, everyone)

    def _prefix(
        self, cache: BatchCache | PagedCache, version: EngineVersion, prompts: list[list[int]]
    ) -> Prefix | None:
        """What the version's prompts begin with, read now where it was not yet and is worth it."""
        if not cache.keeps_prefixes:
            return None
        known, shared = self._prefixes.known(version, prompts), self._prefixes.worth_keeping(version, prompts)
        if shared >= (len(known.tokens) if known else 0) + MIN_TOKENS:
            known = cache.read_prefix(prompts[0][:shared], known)
            self._prefixes.keep(version, known)
        return known

    def _read_together(
        self, cache: BatchCache | PagedCache, fresh: list[GenerationHandle], everyone: list[GenerationHandle]
    ) -> list[tuple[list[GenerationHandle], Read]]:
        if not fresh:
            return []
        try:
            with self._written_by(fresh, everyone):
                return [(fresh, cache.read([t.prompt for t in fresh]))]
        except Exception as error:
            versions = list(dict.fromkeys(t.version for t in fresh))
            if len(versions) == 1:
                self._fail(fresh, error)
                return []
        return [
            read
            for version in versions
            for read in self._read_together(cache, [t for t in fresh if t.version is version], everyone)
        ]

    def _written_by(
        self, tickets: list[GenerationHandle], everyone: list[GenerationHandle]
    ) -> AbstractContextManager[None]:
        if self._adapted is None:
            return nullcontext()
        writers, beside = ([t.version.adapter for t in some] for some in (tickets, everyone))
        return self._adapted.written_by(writers, beside)

    def _fail(self, tickets: list[GenerationHandle], error: Exception) -> None:
        failure = StepFailed(error, blames=len({t.version for t in tickets}) == 1)
        for ticket in tickets:
            ticket.fail(failure)
        self._count(tickets, "failed")

    def _count(self, tickets: list[GenerationHandle], what: str) -> None:
        self.done[what] += len(tickets)
        for ticket in tickets:
            ticket.version.done[what] += 1

    def _count_passes(self, tickets: list[GenerationHandle], what: str) -> None:
        self.done[what] += 1
        for version in {t.version for t in tickets}:
            version.done[what] += 1
