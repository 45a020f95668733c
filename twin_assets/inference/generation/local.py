"""Text from models, through one interface: here a model in this process; `remote` has engines by URL."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from jinja2 import TemplateError

from twin_assets.core.errors import TwinError
from twin_assets.core.models.cpu import cpu_has_bfloat16
from twin_assets.core.models.registry import Registry
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.core.records import Message, Record
from twin_assets.inference.generation.engine import MAX_ROWS, MAX_WAITING, Engine, GenerationHandle
from twin_assets.inference.generation.grouped_attention import use_grouped_attention
from twin_assets.inference.generation.sampling import Sampling


class Generation(Record):
    """What a model wrote for one conversation. `seconds` is from asking to the last token."""

    text: str
    tokens_in: int
    tokens_out: int
    finish_reason: str
    seconds: float


class Generator(Protocol):
    model: str

    def generate(self, conversations: list[list[Message]], sampling: Sampling) -> list[Generation]:
        """One text for each conversation, in their order. Temperature 0 is greedy.

        Raises TwinError when a conversation doesn't fit the context, or the engine can't be reached.
        """
        ...

    def stream(self, conversation: list[Message], sampling: Sampling) -> Iterator[str]:
        """The same for one conversation, in pieces as they are written."""
        ...


class LocalGenerator:
    """A model of a Hugging Face folder in this process, on a GPU where there is one."""

    def __init__(
        self,
        path: Path,
        model: str,
        max_rows: int = MAX_ROWS,
        max_waiting: int = MAX_WAITING,
        base: Path | None = None,
    ) -> None:
        """With a `base`, the folder of a whole model, `path` holds an adapter on it.

        At most `max_rows` texts are written at once, and `max_waiting` requests wait for their turn.
        """
        self.path, self.model, self._base = path, model, base
        self._max_rows, self._max_waiting = max_rows, max_waiting

    @classmethod
    def of(
        cls, registry: Registry, tag: str, max_rows: int = MAX_ROWS, max_waiting: int = MAX_WAITING
    ) -> "LocalGenerator":
        """A version of the registry. Raises TwinError when that, or the base that it stands on, isn't there."""
        version = registry.get(tag)
        base = registry.base_of(version)
        return cls(version.path, tag, max_rows, max_waiting, base.path if base else None)

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.path)
        model = AutoModelForCausalLM.from_pretrained(self._base or self.path)
        if self._base:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(self.path)).merge_and_unload()
        if torch.cuda.is_available():
            model = model.to("cuda")
        elif not cpu_has_bfloat16():
            model = model.float()  # a CPU without it emulates it, many times slower
        use_grouped_attention(model)
        return tokenizer, model.eval()

    @cached_property
    def engine(self) -> Engine:
        """What writes the texts, with its counts."""
        tokenizer, model = self.loaded
        ends = model.generation_config.eos_token_id
        also = ends if isinstance(ends, list) else [ends]
        stops = frozenset(t for t in [tokenizer.eos_token_id, *also] if t is not None)
        return Engine(model, tokenizer, stops, self._max_rows)

    def load(self) -> None:
        """Load now rather than at the first request."""
        _ = self.engine

    def count_tokens(self, conversation: list[Message]) -> int:
        """Tokens of a prompt as the model will read it."""
        return len(self.loaded[0](self._prompt(conversation))["input_ids"])

    def _prompt(self, conversation: list[Message]) -> str:
        turns = [m.model_dump() for m in conversation]
        return served_prompt(self.loaded[0], turns)

    def fit(self, conversation: list[Message], max_tokens: int) -> list[Message]:
        """The conversation with its system turn cut at the end as far as the context asks for.

        What stands there last are writing samples: a small context gets fewer of them.
        """
        token_budget = self.loaded[1].config.max_position_embeddings - max_tokens
        while (over := self.count_tokens(conversation) - token_budget) > 0 and conversation[
            0
        ].role == "system":
            words = conversation[0].content.split(" ")
            fitting = words[: max(len(words) - max(over // 3, 1), 0)]
            if not fitting:
                break
            conversation = [Message(role="system", content=" ".join(fitting)), *conversation[1:]]
        return conversation

    def start(
        self, conversation: list[Message], sampling: Sampling, bounded: bool = True
    ) -> GenerationHandle:
        """Queue a text to be written. Raises TwinError for what can't be asked, EngineBusy when `bounded` and as many wait as may."""
        tokenizer, model = self.loaded
        prompt = read_prompt(tokenizer, self.model, conversation)
        check_room(self.model, len(prompt), sampling.max_tokens, model.config.max_position_embeddings)
        return self.engine.submit(prompt, sampling, self._max_waiting if bounded else None)

    def generate(self, conversations: list[list[Message]], sampling: Sampling) -> list[Generation]:
        """Each conversation after the first has a seed of its own, the next number."""
        seeds = [None if sampling.seed is None else sampling.seed + n for n in range(len(conversations))]
        tickets = [
            self.start(conversation, replace(sampling, seed=seed), bounded=False)
            for conversation, seed in zip(conversations, seeds, strict=True)
        ]
        return [finished(ticket) for ticket in tickets]

    def stream(self, conversation: list[Message], sampling: Sampling) -> Iterator[str]:
        return iter(self.start(conversation, sampling))


def read_prompt(tokenizer: Any, model: str, conversation: list[Message]) -> list[int]:
    """The tokens that a model is asked with, whatever writes on from them: those that it was trained on.

    Raises TwinError for turns that its chat template refuses, and for no words at all.
    """
    try:
        text = served_prompt(tokenizer, [m.model_dump() for m in conversation])
    except TemplateError as error:  # some take no system turn, or no two turns of one role after each other
        raise TwinError(
            f"{model} does not take these turns: {error}.", "change their roles or their order."
        ) from None
    prompt: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not prompt:
        raise TwinError("The conversation says nothing.", "give a turn some text.")
    return prompt


def check_room(model: str, tokens: int, max_tokens: int, context: int) -> None:
    """Raises TwinError when a prompt of so many tokens and its answer are more than `context` holds."""
    if tokens + max_tokens > context:
        raise TwinError(
            f"The prompt has {tokens} tokens and {max_tokens} are asked for; {model} holds {context}.",
            "shorten the request, the passages or max_tokens.",
        )


def finished(ticket: GenerationHandle) -> Generation:
    """Waits for the whole text of a ticket that nobody reads in pieces."""
    return Generation(
        text=ticket.result(),
        tokens_in=len(ticket.prompt),
        tokens_out=ticket.tokens_out,
        finish_reason=ticket.finish_reason or "stop",
        seconds=ticket.seconds,
    )
