"""How likely is a text to a small language model that knows neither its author nor its writer?

The model is SmolLM2-135M-Instruct (Allal et al. 2025), which comes as a Python package, or any causal language model by
`TWIN_REFERENCE_MODEL`: a folder, or a hub id with an optional `@revision`. It is loaded with the first text.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint, folder_hash
from twin_assets.core.models.cpu import cpu_has_bfloat16
from twin_assets.core.models.hub import patient_hub
from twin_assets.core.models.packaged import REQUIREMENT, SMOLLM2, unpacked
from twin_assets.settings import load_settings

TOKENS = 128
"""The most tokens of a text that are read."""
BATCH = 8  # of texts; the logits of 8 x 128 tokens over 49,152 entries take 100 MB in bfloat16, for each core
MOST_CORES = 8
MOST_LETTERS = 20 * TOKENS  # of a text that are tokenised at all


class ReferenceModel:
    """Scores texts under one language model, in bounded memory: weights, and the logits of BATCH texts a core."""

    def __init__(self, name: str, cache_dir: Path) -> None:
        """`name` as TWIN_REFERENCE_MODEL; what the package carries is unpacked to `cache_dir` once."""
        self.name, self._cache_dir = name, cache_dir

    def __reduce__(self) -> "tuple[Callable[[str], ReferenceModel], tuple[str]]":
        """Sent to another process it is that one's, from the cache of its machine: a process loads a model once."""
        return _of_this_machine, (self.name,)

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the figures: same fingerprint, comparable losses. Loads a model of the hub."""
        if self.name == SMOLLM2:
            made_of = REQUIREMENT
        elif (folder := Path(self.name).expanduser()).is_dir():
            made_of = folder_hash(folder)
        else:
            made_of = str(getattr(self._loaded[1].config, "_commit_hash", None) or self.name)
        return fingerprint([made_of, TOKENS, cpu_has_bfloat16()], 12)

    def load(self) -> None:
        """Load now rather than with the first text. Raises TwinError when the model can't be fetched or loaded."""
        _ = self._loaded

    def losses(self, texts: list[str]) -> list[np.ndarray]:
        """The negative log-likelihood of each token given those before it, in nats: for each text an array of shape
        (tokens,), at most TOKENS, float32.

        Raises TwinError when the model can't be fetched or loaded.
        """
        rows = [self._ids(text[:MOST_LETTERS]) for text in texts]
        found: list[np.ndarray] = [np.zeros(0, dtype=np.float32)] * len(rows)
        by_length = sorted((i for i, row in enumerate(rows) if len(row) > 1), key=lambda i: len(rows[i]))
        batches = [by_length[at : at + BATCH] for at in range(0, len(by_length), BATCH)]
        with _a_core_each(self._loaded[1].device.type == "cpu") as pool:
            losses = pool.map(lambda places: self._batch([rows[i] for i in places]), batches)
            for places, values in zip(batches, losses, strict=True):
                for place, one in zip(places, values, strict=True):
                    found[place] = one
        return found

    def _ids(self, text: str) -> list[int]:
        """Tokens after the one that begins a text; where a tokenizer has none, the first is read and not scored."""
        tokenizer, _ = self._loaded
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][:TOKENS]
        return ids if first is None else [first, *ids]

    def _batch(self, rows: list[list[int]]) -> list[np.ndarray]:
        import torch

        _, model = self._loaded
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.device)
        seen = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=seen, use_cache=False).logits
            return [
                torch.nn.functional.cross_entropy(
                    logits[at, : len(row) - 1].float(), ids[at, 1 : len(row)], reduction="none"
                )
                .cpu()
                .numpy()
                for at, row in enumerate(rows)
            ]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model, on a GPU where there is one."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        gpu = torch.cuda.is_available()
        dtype = torch.bfloat16 if gpu or cpu_has_bfloat16() else torch.float32
        source, revision = self._source()
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
            model = AutoModelForCausalLM.from_pretrained(source, revision=revision, dtype=dtype)
        except (OSError, ValueError) as error:
            raise TwinError(
                f"The reference model {self.name!r} can't be loaded: {str(error).splitlines()[0]}",
                f"set TWIN_REFERENCE_MODEL to {SMOLLM2}, to the folder or hub id of a causal language model, or to none.",
            ) from error
        return tokenizer, model.to("cuda" if gpu else "cpu").eval()

    def _source(self) -> tuple[str, str]:
        """What is loaded, and of which revision."""
        if self.name == SMOLLM2:
            return str(unpacked(self._cache_dir)), "main"
        if (folder := Path(self.name).expanduser()).is_dir():
            return str(folder), "main"
        patient_hub()
        name, _, revision = self.name.partition("@")
        return name, revision or "main"


@contextmanager
def _a_core_each(on_cpu: bool) -> Iterator[ThreadPoolExecutor]:
    """Threads that each compute a batch on one core. Cores that share a batch wait for each other at every step: on a
    busy machine with two of them that took four times the work."""
    import torch

    before = torch.get_num_threads()
    cores = min(before, MOST_CORES) if on_cpu else 1
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=2)
def load_reference(name: str, cache_dir: Path) -> ReferenceModel:
    """The reference model of that name; one a process, since its weights take 270 MB."""
    return ReferenceModel(name, cache_dir)


def _of_this_machine(name: str) -> ReferenceModel:
    return load_reference(name, load_settings().cache_dir)
