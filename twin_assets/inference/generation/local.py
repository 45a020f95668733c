"""Text from models, through one interface: here a model in this process; `remote` has engines by URL."""

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from jinja2 import TemplateError

from twin_assets.core.errors import TwinError
from twin_assets.core.models.cpu import CpuOptions, cpu_has_bfloat16, without_gpu_kernels
from twin_assets.core.models.registry import Registry
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.core.records import Message, Record
from twin_assets.inference.generation.engine import (
    MAX_ROWS,
    MAX_WAITING,
    Engine,
    EngineVersion,
    GenerationHandle,
)
from twin_assets.inference.generation.grouped_attention import use_grouped_attention
from twin_assets.inference.generation.lora import AdaptedModel, Adapter
from twin_assets.inference.generation.paged.decoder import PagedDecoder
from twin_assets.inference.generation.sampling import Sampling

log = logging.getLogger(__name__)


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
    """A model of a Hugging Face folder in this process, on a GPU where there is one. Whole models are in memory once: all
    generators of one, and of adapters on it, write in its one batch."""

    def __init__(
        self,
        path: Path,
        model: str,
        max_rows: int = MAX_ROWS,
        max_waiting: int = MAX_WAITING,
        base: Path | None = None,
        content: str | None = None,
        cpu: CpuOptions = CpuOptions(),
    ) -> None:
        """With a `base`, the folder of a whole model, `path` holds an adapter on it. `content` is the hash of the whole
        model, by which one that is in memory is known; without it, that is by its folder.

        At most `max_rows` texts are written at once with one whole model, as `cpu` says where there is no GPU (all as the
        first to load it says), and `max_waiting` requests wait for their turn.
        """
        self.path, self.model, self._base = path, model, base
        self._content = content or str((base or path).resolve())
        self._max_rows, self._max_waiting, self._cpu = max_rows, max_waiting, cpu

    @classmethod
    def of(
        cls, registry: Registry, tag: str, max_rows: int = MAX_ROWS, max_waiting: int = MAX_WAITING
    ) -> "LocalGenerator":
        """A version of the registry. Raises TwinError when that, or the base that it stands on, isn't there."""
        version = registry.get(tag)
        base = registry.base_of(version)
        content = (base or version).weights_hash
        return cls(
            version.path,
            tag,
            max_rows,
            max_waiting,
            base.path if base else None,
            content,
            registry.cpu,
        )

    @cached_property
    def _whole(self) -> "WholeModel":
        folder = self._base or self.path
        return HELD.model(self._content, folder, self._max_rows, self._cpu)

    @cached_property
    def tokenizer(self) -> Any:
        """The version's own, an adapter's too."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.path)

    @cached_property
    def engine(self) -> EngineVersion:
        """What writes the texts, with its counts."""
        return self._whole.version(self.tokenizer, self.path if self._base else None)

    @contextmanager
    def scoring(self) -> Iterator[tuple[Any, Any]]:
        """Tokenizer and model of torch, which is this version's for the passes of this thread inside the block."""
        adapted, adapter = self._scored_by
        with adapted.written_by([adapter]):
            yield self.tokenizer, self._whole.model

    @cached_property
    def _scored_by(self) -> tuple[AdaptedModel, Adapter | None]:
        adapted = self._whole.scoring
        return adapted, adapted.load(self.path) if self._base else None

    def load(self) -> None:
        """Load now rather than at the first request."""
        _ = self.engine

    def count_tokens(self, conversation: list[Message]) -> int:
        """Tokens of a prompt as the model will read it."""
        return len(self.tokenizer(self._prompt(conversation))["input_ids"])

    def _prompt(self, conversation: list[Message]) -> str:
        turns = [m.model_dump() for m in conversation]
        return served_prompt(self.tokenizer, turns)

    def fit(self, conversation: list[Message], max_tokens: int) -> list[Message]:
        """The conversation with its system turn cut at the end as far as the context asks for.

        What stands there last are writing samples: a small context gets fewer of them.
        """
        token_budget = self._whole.context - max_tokens
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
        prompt = read_prompt(self.tokenizer, self.model, conversation)
        check_room(self.model, len(prompt), sampling.max_tokens, self._whole.context)
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


class WholeModel:
    """A whole model in memory, and the engine that writes with it and with adapters on it: torch, or on a CPU OpenVINO."""

    def __init__(
        self,
        model: Any,
        max_rows: int,
        cpu: CpuOptions = CpuOptions(),
        again: Callable[[], Any] | None = None,
    ) -> None:
        """`again` loads the model once more: with it one of torch is not kept beside OpenVINO's, and an adapter that goes on
        writing alone may be merged into a copy.

        Raises TwinError for a model that OpenVINO can't take, if it is to be the engine; with "auto" it is torch then.
        """
        import torch

        if torch.cuda.is_available():
            model, cpu = model.to("cuda"), CpuOptions("torch")
        else:
            model = _on_cpu(model)
        model = model.eval()
        self._config, self._ends = model.config, model.generation_config.eos_token_id
        self._again = (lambda: _on_cpu(again()).eval()) if again else None
        paged = None if cpu.engine == "torch" else self._paged(model, cpu)
        self._model = None if paged and again else model
        self._loading = threading.Lock()
        self.adapted = paged.adapted if paged else self.scoring
        self.engine = Engine(paged or self.model, None, frozenset(), max_rows, adapted=self.adapted)

    def _paged(self, model: Any, cpu: CpuOptions) -> PagedDecoder | None:
        try:
            return PagedDecoder(model, self._again, cpu.merged_gb, int8=cpu.int8)
        except Exception as error:  # OpenVINO fails in many ways, and torch writes with any model
            name = model.config._name_or_path or model.config.model_type
            if cpu.engine == "openvino":
                also = ", or TWIN_CPU_WEIGHTS=model" if cpu.int8 else ""
                raise TwinError(
                    f"OpenVINO can't write with {name}: {error}.", f"set TWIN_CPU_ENGINE=auto{also}."
                ) from error
            log.warning("torch writes with %s, since OpenVINO can't: %s", name, error)
            return None

    @classmethod
    def load(cls, folder: Path, max_rows: int, cpu: CpuOptions = CpuOptions()) -> "WholeModel":
        """The model of a Hugging Face folder."""
        from transformers import AutoModelForCausalLM

        without_gpu_kernels()

        def again() -> Any:
            return AutoModelForCausalLM.from_pretrained(folder)

        return cls(again(), max_rows, cpu, again)

    @property
    def model(self) -> Any:
        """The model of torch, loaded where only OpenVINO's is there."""
        with self._loading:
            if self._model is None and self._again:
                self._model = self._again()
            return self._model

    @cached_property
    def scoring(self) -> AdaptedModel:
        """The model of torch for adapters."""
        use_grouped_attention(self.model)
        return AdaptedModel(self.model)

    @property
    def context(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        return int(self._config.max_position_embeddings)

    def version(self, tokenizer: Any, adapter: Path | None) -> EngineVersion:
        """The bare model or the adapter of a folder, for the engine. Raises TwinError when the adapter doesn't fit."""
        also = self._ends if isinstance(self._ends, list) else [self._ends]
        stops = frozenset(t for t in [tokenizer.eos_token_id, *also] if t is not None)
        return EngineVersion(self.engine, tokenizer, stops, self.adapted.load(adapter) if adapter else None)


def _on_cpu(model: Any) -> Any:
    """In 32 bits where the CPU would emulate bfloat16, many times slower."""
    return model if cpu_has_bfloat16() else model.float()


class HeldModels:
    """The whole models of this process by their content; one goes with the last generator that uses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: weakref.WeakValueDictionary[str, WholeModel] = weakref.WeakValueDictionary()

    def model(self, content: str, folder: Path, max_rows: int, cpu: CpuOptions) -> WholeModel:
        """The one in memory, or the folder's, loaded now."""
        with self._lock:
            if (held := self._models.get(content)) is None:
                held = self._models[content] = WholeModel.load(folder, max_rows, cpu)
            return held

    def contents(self) -> list[str]:
        """What is in memory."""
        return sorted(self._models)


HELD = HeldModels()


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
