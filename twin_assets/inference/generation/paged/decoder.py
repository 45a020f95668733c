"""A model that OpenVINO runs on a CPU, with the adapters on it: what the engine and `AdaptedModel` are for one of torch."""

import itertools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from twin_assets.inference.generation.lora import Adapter, load_adapter
from twin_assets.inference.generation.paged.cache import PagedCache, Row, Store
from twin_assets.inference.generation.paged.graph import BLOCK, Product, Shape, build, why_not
from twin_assets.inference.generation.paged.merged import MergedCopy, merge_into

log = logging.getLogger(__name__)

# By how much the logits may differ from torch's, as a share of their own size. A graph that is wrong differs by 1. Weights of
# 8 bits are off by as much as bfloat16's products are: both move logits by one to three hundredths.
TOLERANCE = {"bf16": 0.1, "f32": 0.01, "int8": 0.1}


def why_no_room(needed: float, free: float) -> str:
    """Why a graph that takes `needed` bytes of memory can't be made with `free` ones; empty when it can."""
    if needed <= free:
        return ""
    return f"making its graph takes {needed / 1e9:.0f} GB of memory, of which {free / 1e9:.0f} GB are free"


class PagedDecoder:
    """One compiled graph, and beside it a copy for an adapter that writes alone. One thread at a time writes with it."""

    def __init__(
        self,
        model: Any,
        again: Callable[[], Any] | None = None,
        merged_gb: float = 0.0,
        adaptable: bool = True,
        int8: bool = False,
    ) -> None:
        """`again` loads the model once more, for the copy; without it there is none, nor where that would take more than
        `merged_gb`. What is not `adaptable` takes no adapters. With `int8` the base's matrices are rounded to 8 bits.

        Raises ValueError for a model that can't be such a graph, or would write something else as one.
        """
        import openvino
        import torch

        if reason := why_not(model):
            raise ValueError(reason)
        loaded = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        # The graph's weights, and what OpenVINO makes of them, which both stay.
        size = 2 * (model.num_parameters() if int8 else loaded)
        if reason := why_no_room(size, psutil.virtual_memory().available):
            raise ValueError(reason)
        self._dtype = torch.bfloat16 if model.dtype == torch.bfloat16 else torch.float32
        self._hint = "bf16" if self._dtype == torch.bfloat16 else "f32"
        self._kind = getattr(openvino.Type, self._hint)
        self._shape, self.vocabulary = Shape.of(model), int(model.config.vocab_size)
        with torch.no_grad():
            graph = build(model, adaptable, int8)
        options = {"INFERENCE_PRECISION_HINT": self._hint, "KV_CACHE_PRECISION": self._hint}
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = (
            "0"  # weights may have 8 bits, what they are multiplied with has more
        )
        self._request = openvino.Core().compile_model(graph.model, "CPU", options).create_infer_request()
        self.adapted, self._adaptable = PagedAdapters(graph.products, self._dtype), adaptable
        self._given: _Stack | None = None
        self._merged = (
            MergedCopy(_merger(again, size, loaded, int8)) if again and size <= merged_gb * 1e9 else None
        )
        self._check_same(model, int8)

    def new_cache(self) -> PagedCache:
        """A batch without rows."""
        kind = np.uint16 if self._hint == "bf16" else np.float32  # numpy has no bfloat16
        return PagedCache(self, Store(self._shape.layers, self._shape.kv_heads, self._shape.size, kind))

    def run(self, tokens: Sequence[Sequence[int]], rows: Sequence[Row], store: Store) -> Any:
        """Append tokens to rows, whose blocks have room for them. The logits after the last of each, a tensor of torch of
        shape (rows, vocabulary), 32 bits."""
        import openvino
        import torch

        if self._merged and (alone := self.adapted.alone) and (copy := self._merged.of(alone)):
            return copy.run(tokens, rows, store)
        counts, past = np.array([len(new) for new in tokens]), np.array([row.length for row in rows])
        ends, used = np.cumsum(counts), -(-(past + counts) // BLOCK)
        positions = [np.arange(start, start + count) for start, count in zip(past, counts, strict=True)]
        given = {
            "tokens": np.concatenate([np.asarray(new, np.int64) for new in tokens]),
            "positions": np.concatenate(positions).astype(np.int64),
            "wanted": (ends - 1).astype(np.int64),
            "past_lens": past.astype(np.int32),
            "subsequence_begins": np.array([0, *ends], np.int32),
            "block_indices": np.concatenate(
                [np.asarray(row.blocks[:count], np.int32) for row, count in zip(rows, used, strict=True)]
            ),
            "block_indices_begins": np.array([0, *np.cumsum(used)], np.int32),
            "max_context_len": np.array((past + counts).max(), np.int32),
        }
        if self._adaptable:
            stack, given["adapters"] = self.adapted.rows(counts)
            self._give(stack)
        for name, array in given.items():
            self._request.set_tensor(name, openvino.Tensor(array))
        for number, layer in enumerate(store.layers):
            for kind, array in zip(("key", "value"), layer, strict=True):
                self._set(f"{kind}_cache.{number}", array)
        self._request.infer()
        return torch.from_numpy(self._request.get_output_tensor(0).data.copy())

    def _give(self, stack: "_Stack") -> None:
        import torch

        if stack is not self._given:
            for name, factor in stack.factors.items():
                self._set(name, factor.view(torch.int16).numpy() if self._hint == "bf16" else factor.numpy())
            self._given = stack

    def _set(self, name: str, array: Any) -> None:
        import openvino

        self._request.set_tensor(name, openvino.Tensor(array, list(array.shape), self._kind))

    def _check_same(self, model: Any, int8: bool) -> None:
        """Two rows, read and then written on, must have the logits that torch gives them."""
        import torch

        texts = [[(7 * at + 3) % self.vocabulary for at in range(length)] for length in (BLOCK + 1, 6)]
        cache = self.new_cache()
        cache.join(read := cache.read([text[:-1] for text in texts]))
        mine = torch.stack([read.logits, cache.step([text[-1] for text in texts])], dim=1)
        for text, own in zip(texts, mine, strict=True):
            with torch.inference_mode():
                expected = model(torch.tensor([text])).logits[0, -2:].float()
            error = float((own - expected).norm() / expected.norm())
            if not error < TOLERANCE["int8" if int8 else self._hint]:
                told = "logits in 8 bits" if int8 else "logits"
                raise ValueError(f"its {told} differ from torch's by {error:.2f} of their size")


def _merger(
    again: Callable[[], Any], size: int, loaded: int, int8: bool
) -> Callable[[Adapter], PagedDecoder]:
    def merged(adapter: Adapter) -> PagedDecoder:
        # The model of torch is loaded once more for a moment.
        if reason := why_no_room(size + loaded, psutil.virtual_memory().available):
            raise ValueError(reason)
        start = time.monotonic()
        decoder = PagedDecoder(merge_into(again(), adapter), adaptable=False, int8=int8)
        log.info(
            "The adapter that writes alone is merged into a copy of its base, %.2f GB, made in %.1f s",
            size / 1e9,
            time.monotonic() - start,
        )
        return decoder

    return merged


class PagedAdapters:
    """Adapters on a graph: `AdaptedModel` for one that OpenVINO runs."""

    def __init__(self, products: dict[str, Product], dtype: Any) -> None:
        self._products, self._dtype = products, dtype
        self._shapes = {
            name: (product.width, wide)
            for product in products.values()
            for name, wide in product.parts.items()
        }
        self._bare = _Stack(products, dtype, [])
        self._stack = self._bare
        self._thread = threading.local()

    def load(self, folder: Path) -> Adapter:
        """The adapter of a folder. Raises TwinError when it has more than two factors a layer, or doesn't fit the model."""
        return load_adapter(folder, self._shapes, {"dtype": self._dtype})

    @contextmanager
    def written_by(
        self, adapters: Sequence[Adapter | None], beside: Sequence[Adapter | None] = ()
    ) -> Iterator[None]:
        """The passes inside have one row for each of `adapters`, None for the bare model; or any number of rows for one.

        `beside` are adapters of the passes right before and after, for which things stay ready.
        """
        self._thread.rows = adapters, beside
        try:
            yield
        finally:
            self._thread.rows = None

    @property
    def alone(self) -> Adapter | None:
        """The adapter that writes all rows of a pass."""
        adapters, _ = getattr(self._thread, "rows", None) or ([], [])
        return adapters[0] if len(set(adapters)) == 1 else None

    def rows(self, counts: Any) -> tuple["_Stack", Any]:
        """The factors that a pass needs, and who has which: `counts` are the tokens of each row, the mask has shape (tokens, ranks)."""
        adapters, beside = getattr(self._thread, "rows", None) or ([], [])
        active = list(dict.fromkeys(a for a in adapters if a is not None))
        if self._stack.has_dead:
            self._stack = self._bare
        if not active:
            return self._bare, self._bare.mask([None] * len(counts), counts)
        wanted = list(dict.fromkeys([*active, *(a for a in beside if a is not None)]))
        if not self._stack.serves(wanted):
            self._stack = self._bare  # the old one goes before the new one is made
            self._stack = _Stack(self._products, self._dtype, wanted)
        if len(set(adapters)) == 1:
            adapters = [adapters[0]] * len(counts)
        return self._stack, self._stack.mask(adapters, counts)


class _Stack:
    """The factors of several adapters, one after another, as the graph takes them: for each product A of shape
    (parts * ranks, in), and B of shape (outputs, parts * ranks), which is zero where a part's outputs meet another's ranks.

    It holds copies: an adapter that nothing uses any more is not held by it.
    """

    def __init__(self, products: dict[str, Product], dtype: Any, adapters: list[Adapter]) -> None:
        import torch

        self._owners = [weakref.ref(adapter) for adapter in adapters]
        ends = np.cumsum([0, *(adapter.rank for adapter in adapters)])
        self._spans = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]
        self._ranks = int(ends[-1])
        self.factors: dict[str, Any] = {}
        for name, product in products.items():
            a = torch.zeros(len(product.parts) * self._ranks, product.width, dtype=dtype)
            b = torch.zeros(sum(product.parts.values()), len(product.parts) * self._ranks, dtype=dtype)
            row = 0
            for part, (layer, wide) in enumerate(product.parts.items()):
                for adapter, span in zip(adapters, self._spans, strict=True):
                    if found := adapter.factors.get(layer):
                        begin = part * self._ranks + span.start
                        at = slice(begin, begin + found[0].shape[0])
                        a[at], b[row : row + wide, at] = found
                row += wide
            self.factors[f"{name}.a"], self.factors[f"{name}.b"] = a, b

    @property
    def has_dead(self) -> bool:
        """Whether it has factors of an adapter that nothing uses any more."""
        return any(owner() is None for owner in self._owners)

    def serves(self, adapters: list[Adapter]) -> bool:
        """Whether it has all of them, and not many more: what nobody uses is computed along."""
        owners = [owner() for owner in self._owners]
        used = sum(adapter.rank for adapter in adapters)
        return all(adapter in owners for adapter in adapters) and self._ranks <= 2 * used

    def mask(self, adapters: Sequence[Adapter | None], counts: Any) -> Any:
        owners = [owner() for owner in self._owners]
        mask = np.zeros((len(adapters), self._ranks), np.float32)
        for row, adapter in enumerate(adapters):
            if adapter is not None:
                mask[row, self._spans[owners.index(adapter)]] = 1
        return np.repeat(mask, counts, axis=0)
