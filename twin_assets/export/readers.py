"""Reads an exported GGUF file with somebody else's code, to hold it against the model that it was made of.

llama.cpp where `llama_cpp` can be imported: it is what Ollama and LM Studio run. Else transformers, which reads the file's
values back and computes in floats; it takes neither the file's cutting of words nor Llama 3's frequencies from it.
"""

import importlib.util
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.core.records import Message
from twin_assets.export.llama_process import serve, token_losses
from twin_assets.inference.generation.local import Generation, LocalGenerator, WholeModel
from twin_assets.inference.generation.sampling import Sampling

INSTALL = "`pip install llama-cpp-python`, and export again."
WINDOW = 512  # tokens that a loss is measured over


class Reader(Protocol):
    """Closed by whoever opened it."""

    name: str

    def close(self) -> None: ...

    def tokens(self, text: str) -> list[int]:
        """A prompt's tokens; marks of the chat template are single ones."""
        ...

    def losses(self, tokens: Sequence[int]) -> np.ndarray:
        """Negative log-likelihood in nats of each token but the first, shape (tokens - 1,); at most WINDOW tokens."""
        ...

    def generate(self, conversations: list[list[Message]], sampling: Sampling) -> list[Generation]:
        """One text for each conversation, as the service would write it."""
        ...


class TransformersReader:
    """A folder, or a GGUF file that transformers reads."""

    def __init__(self, path: Path) -> None:
        """Raises TwinError for a file with frequencies of its own, which transformers leaves out."""
        self.name = "transformers"
        if path.suffix == ".gguf" and _has_factors(path):
            raise TwinError(
                "transformers does not read Llama 3's frequencies from a GGUF file.",
                INSTALL,
            )
        is_file = path.suffix == ".gguf"
        self._generator = _FromFile(path, path.stem) if is_file else LocalGenerator(path, path.name)

    def close(self) -> None:
        pass

    def tokens(self, text: str) -> list[int]:
        return list(self._generator.tokenizer(text, add_special_tokens=False)["input_ids"])

    def losses(self, tokens: Sequence[int]) -> np.ndarray:
        import torch

        with self._generator.scoring() as (_, model), torch.inference_mode():
            ids = torch.tensor([list(tokens)], device=model.device)
            return token_losses(model(ids).logits[0, :-1].float().cpu().numpy(), tokens)

    def generate(self, conversations: list[list[Message]], sampling: Sampling) -> list[Generation]:
        fitting = [self._generator.fit(c, sampling.max_tokens) for c in conversations]
        return self._generator.generate(fitting, sampling)


class _FromFile(LocalGenerator):
    """One whose weights and tokenizer are in a GGUF file."""

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._read(AutoTokenizer)

    @cached_property
    def _whole(self) -> WholeModel:
        from transformers import AutoModelForCausalLM

        model = self._read(AutoModelForCausalLM)
        model.generation_config.eos_token_id = self.tokenizer.eos_token_id
        return WholeModel(model, self._max_rows)

    def _read(self, kind: Any) -> Any:
        try:
            return kind.from_pretrained(self.path.parent, gguf_file=self.path.name, local_files_only=True)
        except (RuntimeError, ValueError, OSError) as error:  # a shape that it doesn't take from such files
            raise TwinError(
                f"transformers can't read {self.path.name}: {str(error).splitlines()[0][:200]}", INSTALL
            ) from None


class LlamaCppReader:
    """llama.cpp by its Python binding, in a process of its own."""

    def __init__(self, file: Path, template_of: Path) -> None:
        """`template_of` is the folder whose chat template renders the prompts: the file's is the same text."""
        import torch
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(template_of, local_files_only=True)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        threads = torch.get_num_threads()  # the binding's own are half of them
        self._process = context.Process(target=serve, args=(theirs, str(file), WINDOW, threads), daemon=True)
        self._process.start()
        theirs.close()
        self.name = f"llama.cpp (llama-cpp-python {self._answer()})"

    def close(self) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def ask(self, name: str, *given: Any) -> Any:
        """What a method of `LlamaCpp` gives. Raises TwinError when llama.cpp has ended."""
        with suppress(OSError):  # the answer says that it has ended
            self._pipe.send((name, given))
        return self._answer()

    def _answer(self) -> Any:
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise TwinError(
                f"llama.cpp ended while it read the file (status {self._process.exitcode}).",
                "build llama-cpp-python on this machine, or uninstall it: then transformers reads the file.",
            ) from None

    def tokens(self, text: str) -> list[int]:
        return list(self.ask("tokens", text))

    def losses(self, tokens: Sequence[int]) -> np.ndarray:
        return np.asarray(self.ask("losses", list(tokens)))

    def generate(self, conversations: list[list[Message]], sampling: Sampling) -> list[Generation]:
        return list(self._written(conversations, sampling))

    def _written(self, conversations: list[list[Message]], sampling: Sampling) -> Iterator[Generation]:
        for n, conversation in enumerate(conversations):
            prompt = served_prompt(self._tokenizer, [m.model_dump() for m in conversation])
            seed = (sampling.seed or 0) + n
            text, read, written, reason = self.ask(
                "write", prompt, sampling.max_tokens, sampling.temperature, seed
            )
            yield Generation(
                text=text.strip(),
                tokens_in=read,
                tokens_out=written,
                finish_reason=reason or "stop",
                seconds=0.0,
            )


def open_reader(file: Path, original: Path) -> Reader:
    """The best reader at hand of a GGUF file made of the folder `original`. Raises TwinError where none can read it."""
    if importlib.util.find_spec("llama_cpp"):
        return LlamaCppReader(file, original)
    return TransformersReader(file)


def _has_factors(file: Path) -> bool:
    import gguf

    return any(tensor.name == "rope_freqs.weight" for tensor in gguf.GGUFReader(file).tensors)
