"""A stronger reference model that writes when the engine is down, or when a question is beyond the twin.

Off unless TWIN_FALLBACK_MODEL names one. It gets the twin's own prompt, passages included, and is bound by a
budget for each day.
"""

import json
import threading
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from typing import Literal

from twin_assets.core.errors import TwinError
from twin_assets.core.llm.hosted import HostedModel, read_reply
from twin_assets.core.records import Message
from twin_assets.inference.generation.local import Generation
from twin_assets.inference.generation.remote import EngineUnavailable, RemoteGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.settings import Settings

FALLBACK = "fallback"  # in `degraded`: not the twin wrote this


class Fallback:
    """The reference model of one process. Raises TwinError when its price is not known."""

    def __init__(self, settings: Settings) -> None:
        self.hosted = HostedModel(settings, FALLBACK)
        self._day, self._lock = datetime.now(UTC).date(), threading.Lock()

    @property
    def affordable(self) -> bool:
        """Whether today's budget is not spent."""
        with self._lock:
            if (today := datetime.now(UTC).date()) != self._day:
                self._day, self.hosted.spent = today, 0.0
        return not 0 < self.hosted.budget <= self.hosted.spent


class FallbackGenerator:
    """One request's generator. `cost` is in US dollars."""

    def __init__(self, fallback: Fallback) -> None:
        self._hosted = fallback.hosted
        self.model = self._hosted.model
        self.tokens, self.cost, self.finish_reason = (0, 0), 0.0, "stop"  # of all texts

    def generate(self, conversations: list[list[Message]], sampling: Sampling) -> list[Generation]:
        """Raises EngineUnavailable when it is busy or ill, and TwinError when it refuses."""
        return [self._written(c, sampling) for c in conversations]

    def stream(self, conversation: list[Message], sampling: Sampling) -> Iterator[str]:
        """The whole text in one piece."""
        yield self._written(conversation, sampling).text

    def candidates(
        self, conversation: list[Message], sampling: Sampling, n: int
    ) -> Generator[str, None, list[str]]:
        """One text, whatever `n` is: its budget is for answers."""
        yield ""
        return [self._written(conversation, sampling).text]

    def settle(self, chosen: int) -> None:
        """Nothing to do: there is one."""

    def _written(self, conversation: list[Message], sampling: Sampling) -> Generation:
        messages = [m.model_dump() for m in conversation]
        wishes = {
            "seed": sampling.seed, "stop": list(sampling.stop) or None, "top_p": sampling.top_p,
            "presence_penalty": sampling.presence_penalty or None,
            "frequency_penalty": sampling.frequency_penalty or None,
            "response_format": sampling.response_format.as_openai() if sampling.response_format else None,
        }  # fmt: skip
        given = {name: value for name, value in wishes.items() if value is not None}
        try:
            answer = self._hosted.complete(
                messages, sampling.max_tokens, sampling.temperature, attempts=1, drop_params=True, **given
            )
        except TwinError as error:
            raise EngineUnavailable(error.problem, error.fix) from None
        if answer is None:
            raise EngineUnavailable(f"Neither the engine nor {self.model} answers.", "try again later.")
        usage, reply = getattr(answer, "usage", None), read_reply(answer)
        used = (getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0)
        self.tokens = (self.tokens[0] + used[0], self.tokens[1] + used[1])
        self.cost += self._hosted.cost(*used)
        if not reply.text:
            raise EngineUnavailable(
                f"The fallback {self.model} wrote no text ({reply.fault}).",
                "choose another TWIN_FALLBACK_MODEL; one that reasons needs more tokens than an answer has."
                if reply.fault == "cut_off"
                else "try again, or choose another TWIN_FALLBACK_MODEL.",
            )
        if sampling.response_format and reply.fault != "cut_off" and not _is_json(reply.text):
            # LiteLLM leaves out what a model has no parameter for.
            raise EngineUnavailable(
                f"The fallback {self.model} did not write JSON.", "choose another TWIN_FALLBACK_MODEL."
            )
        self.finish_reason = "length" if reply.fault == "cut_off" else "stop"
        return Generation(
            text=reply.text,
            tokens_in=used[0],
            tokens_out=used[1],
            finish_reason=self.finish_reason,
            seconds=0.0,
        )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class Writers:
    """Who writes one answer: the first in line, and the next where that one is down. It keeps what was told of the text.

    The last in line may be None: nobody writes, and the twin declines.
    """

    def __init__(
        self, own: RemoteGenerator, line: Iterator[RemoteGenerator | FallbackGenerator | None]
    ) -> None:
        self._own, self._line = own, line
        self.expected = own.model  # in production when the request came
        self.current = next(line)

    def hand_over(self) -> bool:
        """The next in line is to write; False, and all stays, when there is nobody else."""
        for writer in self._line:
            self.current = writer
            return True
        return False

    @property
    def outcome(self) -> Literal["answered", "refused"]:
        return "refused" if self.current is None else "answered"

    @property
    def model(self) -> str:
        """The version that writes, as far as it is known by now."""
        return (self.current or self._own).model

    @property
    def degraded(self) -> list[str]:
        return [FALLBACK] if isinstance(self.current, FallbackGenerator) else []

    @property
    def tokens(self) -> tuple[int, int]:
        """Read and written, of a text that has ended."""
        return self.current.tokens if self.current else (0, 0)

    @property
    def finish_reason(self) -> str:
        return self.current.finish_reason if self.current else "stop"

    @property
    def cost(self) -> float | None:
        """US dollars, where the writer knows its own price."""
        return self.current.cost if isinstance(self.current, FallbackGenerator) else None


class FallbackPolicy:
    """When the reference model writes: where there is one (TWIN_FALLBACK_MODEL) and its budget is not spent."""

    def __init__(self, settings: Settings) -> None:
        """Raises TwinError when the price of the model is not known."""
        self._beyond = settings.fallback_beyond
        self._fallback = Fallback(settings) if settings.fallback_model else None

    def writers(self, own: RemoteGenerator, declines: bool) -> Writers:
        """Who writes what the twin plans to answer, or `declines`."""
        return Writers(own, self._line(own, declines))

    def _line(
        self, own: RemoteGenerator, declines: bool
    ) -> Iterator[RemoteGenerator | FallbackGenerator | None]:
        if not declines:
            yield own
        # What the twin would decline it answers only where that is wished: without a source.
        if self._fallback and self._fallback.affordable and (self._beyond or not declines):
            yield FallbackGenerator(self._fallback)
        if declines:
            yield None
