"""Text from models: a model in this process, or any OpenAI-compatible engine by URL. One interface."""

import threading
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from twin_assets.core.errors import TwinError
from twin_assets.core.llm import open_litellm
from twin_assets.core.prompts import served_prompt
from twin_assets.core.records import Message, Record

BATCH = 16
# A small model left to itself repeats: the usual mild settings against it.
TOP_P, REPETITION_PENALTY = 0.95, 1.1


class Generation(Record):
    """What a model wrote for one conversation. `seconds` is the time of the whole batch it was in."""

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
        self._lock = threading.Lock()  # sampling seeds the global generator

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.path, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        model = AutoModelForCausalLM.from_pretrained(self.path)
        return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    @property
    def loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model."""
        return self._loaded

    def load(self) -> None:
        """Load now rather than at the first request."""
        _ = self._loaded

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

    def _inputs(self, conversations: list[list[Message]], max_tokens: int) -> Any:
        tokenizer, model = self._loaded
        inputs = tokenizer(
            [self._prompt(c) for c in conversations], return_tensors="pt", padding=True, add_special_tokens=False,
            return_token_type_ids=False,
        )  # fmt: skip
        context, length = model.config.max_position_embeddings, inputs["input_ids"].shape[1]
        if length + max_tokens > context:
            raise TwinError(
                f"The prompt has {length} tokens and {max_tokens} are asked for; {self.model} holds {context}.",
                "shorten the request, the passages or max_tokens.",
            )
        return inputs.to(model.device)

    def _options(
        self, max_tokens: int, temperature: float, seed: int | None, stop: list[str] | None
    ) -> dict[str, Any]:
        import torch

        tokenizer, _ = self._loaded
        if seed is not None:
            torch.manual_seed(seed)
        options: dict[str, Any] = {
            "max_new_tokens": max_tokens, "repetition_penalty": REPETITION_PENALTY,
            "pad_token_id": tokenizer.pad_token_id, "do_sample": temperature > 0,
        }  # fmt: skip
        if temperature > 0:
            options |= {"temperature": temperature, "top_p": TOP_P}
        if stop:
            options |= {"stop_strings": stop, "tokenizer": tokenizer}
        return options

    def generate(
        self, conversations: list[list[Message]], max_tokens: int, temperature: float = 0.8,
        seed: int | None = None, stop: list[str] | None = None,
    ) -> list[Generation]:  # fmt: skip
        done: list[Generation] = []
        for at in range(0, len(conversations), BATCH):
            done += self._batch(conversations[at : at + BATCH], max_tokens, temperature, seed, stop)
        return done

    def _batch(
        self, conversations: list[list[Message]], max_tokens: int, temperature: float, seed: int | None,
        stop: list[str] | None,
    ) -> list[Generation]:  # fmt: skip
        import torch

        tokenizer, model = self._loaded
        start = time.monotonic()
        inputs = self._inputs(conversations, max_tokens)
        with self._lock, torch.inference_mode():
            output = model.generate(**inputs, **self._options(max_tokens, temperature, seed, stop))
        seconds = time.monotonic() - start
        read = inputs["attention_mask"].sum(dim=1).tolist()
        done = []
        for tokens_in, written in zip(read, output[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
            ended = tokenizer.eos_token_id in written
            kept = written[: written.index(tokenizer.eos_token_id)] if ended else written
            text = _before_stop(tokenizer.decode(kept, skip_special_tokens=True).strip(), stop)
            reason = "length" if not ended and len(kept) >= max_tokens else "stop"
            done.append(
                Generation(
                    text=text,
                    tokens_in=tokens_in,
                    tokens_out=len(kept),
                    finish_reason=reason,
                    seconds=seconds,
                )
            )
        return done

    def stream(
        self, conversation: list[Message], max_tokens: int, temperature: float = 0.8,
        seed: int | None = None, stop: list[str] | None = None,
    ) -> Iterator[str]:  # fmt: skip
        import torch
        from transformers import TextIteratorStreamer

        tokenizer, model = self._loaded
        inputs = self._inputs([conversation], max_tokens)
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=60)

        def write() -> None:
            try:
                with self._lock, torch.inference_mode():
                    model.generate(
                        **inputs, **self._options(max_tokens, temperature, seed, stop), streamer=streamer
                    )
            finally:
                streamer.end()  # a reader must not wait for a writer that failed

        threading.Thread(target=write, daemon=True).start()
        yield from (piece for piece in streamer if piece)


def _before_stop(text: str, stop: list[str] | None) -> str:
    return text[: min((text.index(s) for s in stop or [] if s in text), default=len(text))]


class RemoteGenerator:
    """An OpenAI-compatible engine (our LLM service, vLLM, a hosted one) through LiteLLM."""

    def __init__(self, url: str, name: str, api_key: str = "none", model: str | None = None) -> None:
        """`name` is what the engine is asked for; `model` the exact version, corrected by its answers."""
        self.url, self.name, self._key = url, name, api_key
        self.model = model or name

    def _complete(self, conversation: list[Message], stream: bool, **options: Any) -> Any:
        litellm = open_litellm()
        try:
            return litellm.completion(
                model=f"openai/{self.name}", api_base=self.url, api_key=self._key, stream=stream, num_retries=0,
                messages=[m.model_dump() for m in conversation],
                **{name: value for name, value in options.items() if value is not None},
            )  # fmt: skip
        except litellm.exceptions.APIError as error:
            raise _engine_error(self.url, error) from None
        except litellm.exceptions.OpenAIError as error:
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
            conversation, True, max_tokens=max_tokens, temperature=temperature, seed=seed, stop=stop
        )
        for piece in pieces:
            self.model = (piece.model or self.model).removeprefix("openai/")
            if text := piece.choices[0].delta.content:
                yield text


class EngineUnavailable(TwinError):
    """The LLM engine can't be reached, or has nothing to serve."""


def _engine_error(url: str, error: Exception) -> TwinError:
    status = getattr(error, "status_code", None)
    reason = str(error).splitlines()[0][:300]
    if status in (None, 500, 502, 503, 504):
        return EngineUnavailable(
            f"The LLM engine at {url} does not answer: {reason}.", "start it, or set TWIN_LLM_URL."
        )
    return TwinError(
        f"The LLM engine at {url} refused the request ({status}): {reason}.", "change the request."
    )
