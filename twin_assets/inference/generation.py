"""Text from models: a model in this process, or any OpenAI-compatible engine by URL. One interface."""

import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from twin_assets.core.cpu import cpu_has_bfloat16
from twin_assets.core.errors import TwinError
from twin_assets.core.llm import open_litellm
from twin_assets.core.prompts import served_prompt
from twin_assets.core.records import Message, Record
from twin_assets.inference.engine import MAX_WAITING, Engine, Ticket
from twin_assets.inference.sampling import Sampling

# Of the LLM service's streamed answers: the exact version that writes.
MODEL_HEADER = "x-model-version"


class Generation(Record):
    """What a model wrote for one conversation. `seconds` is from asking to the last token."""

    text: str
    tokens_in: int
    tokens_out: int
    finish_reason: str
    seconds: float


class Generator(Protocol):
    model: str

    def generate(
        self,
        conversations: list[list[Message]],
        max_tokens: int,
        temperature: float = 0.8,
        seed: int | None = None,
        stop: list[str] | None = None,
    ) -> list[Generation]:
        """One text for each conversation, in their order. Temperature 0 is greedy.

        Raises TwinError when a conversation doesn't fit the context, or the engine can't be reached.
        """
        ...  # fmt: skip

    def stream(
        self,
        conversation: list[Message],
        max_tokens: int,
        temperature: float = 0.8,
        seed: int | None = None,
        stop: list[str] | None = None,
    ) -> Iterator[str]:
        """The same for one conversation, in pieces as they are written."""
        ...  # fmt: skip


class LocalGenerator:
    """A Hugging Face model folder in this process, on a GPU where there is one."""

    def __init__(self, path: Path, model: str) -> None:
        self.path, self.model = path, model

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.path)
        model = AutoModelForCausalLM.from_pretrained(self.path)
        if torch.cuda.is_available():
            return tokenizer, model.to("cuda").eval()
        # A CPU without bfloat16 emulates it, many times slower than float32.
        return tokenizer, (model if cpu_has_bfloat16() else model.float()).eval()

    @cached_property
    def _engine(self) -> Engine:
        tokenizer, model = self._loaded
        ends = model.generation_config.eos_token_id
        also = ends if isinstance(ends, list) else [ends]
        return Engine(
            model, tokenizer, frozenset(t for t in [tokenizer.eos_token_id, *also] if t is not None)
        )

    @property
    def loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model."""
        return self._loaded

    def load(self) -> None:
        """Load now rather than at the first request."""
        _ = self._engine

    def count_tokens(self, conversation: list[Message]) -> int:
        """Tokens of a prompt as the model will read it."""
        return len(self._loaded[0](self._prompt(conversation))["input_ids"])

    def _prompt(self, conversation: list[Message]) -> str:
        turns = [m.model_dump() for m in conversation]
        return served_prompt(self._loaded[0], turns)

    def fit(self, conversation: list[Message], max_tokens: int) -> list[Message]:
        """The conversation with its system turn cut at the end as far as the context asks for.

        What stands there last are writing samples: a small context gets fewer of them.
        """
        room = self._loaded[1].config.max_position_embeddings - max_tokens
        while (over := self.count_tokens(conversation) - room) > 0 and conversation[0].role == "system":
            words = conversation[0].content.split(" ")
            kept = words[: max(len(words) - max(over // 3, 1), 0)]
            if not kept:
                break
            conversation = [Message(role="system", content=" ".join(kept)), *conversation[1:]]
        return conversation

    def start(
        self, conversation: list[Message], max_tokens: int, temperature: float = 0.8, seed: int | None = None,
        stop: list[str] | None = None, max_waiting: int | None = MAX_WAITING,
    ) -> Ticket:  # fmt: skip
        """Queue a text to be written. Raises EngineBusy when `max_waiting` wait already; None is no limit."""
        tokenizer, model = self._loaded
        prompt = tokenizer(self._prompt(conversation), add_special_tokens=False)["input_ids"]
        context = model.config.max_position_embeddings
        if len(prompt) + max_tokens > context:
            raise TwinError(
                f"The prompt has {len(prompt)} tokens and {max_tokens} are asked for; {self.model} holds {context}.",
                "shorten the request, the passages or max_tokens.",
            )
        sampling = Sampling(max_tokens, temperature, seed, tuple(stop or ()))
        return self._engine.submit(prompt, sampling, max_waiting)

    def generate(
        self, conversations: list[list[Message]], max_tokens: int, temperature: float = 0.8,
        seed: int | None = None, stop: list[str] | None = None,
    ) -> list[Generation]:  # fmt: skip
        """Each conversation after the first has a seed of its own, the next number."""
        seeds = [None if seed is None else seed + n for n in range(len(conversations))]
        tickets = [
            self.start(conversation, max_tokens, temperature, own, stop, max_waiting=None)
            for conversation, own in zip(conversations, seeds, strict=True)
        ]
        return [finished(ticket) for ticket in tickets]

    def stream(
        self, conversation: list[Message], max_tokens: int, temperature: float = 0.8,
        seed: int | None = None, stop: list[str] | None = None,
    ) -> Iterator[str]:  # fmt: skip
        return iter(self.start(conversation, max_tokens, temperature, seed, stop))


def finished(ticket: Ticket) -> Generation:
    """Waits for the whole text of a ticket that nobody reads in pieces."""
    return Generation(
        text=ticket.result(), tokens_in=len(ticket.prompt), tokens_out=ticket.tokens_out,
        finish_reason=ticket.finish_reason or "stop", seconds=ticket.seconds,
    )  # fmt: skip


class RemoteGenerator:
    """An OpenAI-compatible engine (our LLM service, vLLM, a hosted one) through LiteLLM."""

    def __init__(
        self, url: str, name: str, api_key: str = "none", model: str | None = None, timeout: float = 120.0
    ) -> None:
        """`name` is what the engine is asked for; `model` the exact version, corrected by its answers.
        `timeout` is in seconds, of silence."""
        self.url, self.name, self._key, self._timeout = url, name, api_key, timeout
        self.model = model or name
        self.tokens = (0, 0)  # read and written, of the last stream that ended

    def _complete(self, conversation: list[Message], stream: bool, **options: Any) -> Any:
        litellm = open_litellm()
        try:
            return litellm.completion(
                model=f"openai/{self.name}", api_base=self.url, api_key=self._key, stream=stream, num_retries=0,
                timeout=self._timeout,
                messages=[m.model_dump() for m in conversation],
                **{name: value for name, value in options.items() if value is not None},
            )  # fmt: skip
        except _engine_failures() as error:
            raise _engine_error(self.url, error) from None

    def generate(
        self, conversations: list[list[Message]], max_tokens: int, temperature: float = 0.8,
        seed: int | None = None, stop: list[str] | None = None,
    ) -> list[Generation]:  # fmt: skip
        done = []
        for conversation in conversations:
            start = time.monotonic()
            answer = self._complete(
                conversation, False, max_tokens=max_tokens, temperature=temperature, seed=seed, stop=stop
            )
            self.model = answer.model.removeprefix("openai/") or self.model
            done.append(
                Generation(
                    text=answer.choices[0].message.content or "",
                    tokens_in=answer.usage.prompt_tokens, tokens_out=answer.usage.completion_tokens,
                    finish_reason=answer.choices[0].finish_reason or "stop", seconds=time.monotonic() - start,
                )
            )  # fmt: skip
        return done

    def stream(
        self, conversation: list[Message], max_tokens: int, temperature: float = 0.8,
        seed: int | None = None, stop: list[str] | None = None,
    ) -> Iterator[str]:  # fmt: skip
        pieces = self._complete(
            conversation, True, max_tokens=max_tokens, temperature=temperature, seed=seed, stop=stop,
            stream_options={"include_usage": True},
        )  # fmt: skip
        # LiteLLM puts the name that it asked for into every piece; our LLM service names the version in a header.
        headers = getattr(pieces, "_response_headers", None) or {}
        self.model = headers.get(MODEL_HEADER, self.model)
        try:
            for piece in pieces:
                if usage := getattr(piece, "usage", None):
                    self.tokens = (usage.prompt_tokens, usage.completion_tokens)
                if piece.choices and (text := piece.choices[0].delta.content):
                    yield text
        except _engine_failures() as error:
            raise _engine_error(self.url, error) from None


class EngineUnavailable(TwinError):
    """The LLM engine can't be reached, or has nothing to serve."""


def _engine_failures() -> tuple[type[Exception], ...]:
    """What LiteLLM raises for a failed request, all of it of the OpenAI client's, and for a broken stream."""
    import httpx
    import openai

    return openai.OpenAIError, httpx.HTTPError


def _engine_error(url: str, error: Exception) -> TwinError:
    status = getattr(error, "status_code", None)
    reason = str(error).splitlines()[0][:300]
    if status in (None, 408, 429, 500, 502, 503, 504):
        return EngineUnavailable(
            f"The LLM engine at {url} does not answer: {reason}.", "start it, or set TWIN_LLM_URL."
        )
    return TwinError(
        f"The LLM engine at {url} refused the request ({status}): {reason}.", "change the request."
    )
