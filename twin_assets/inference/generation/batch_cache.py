"""The sequences that a model is writing at once: their key-value cache, padded at the left, rows coming and going."""

from typing import Any, NamedTuple

from twin_assets.core.models.families import Architecture
from twin_assets.inference.generation.prefixes import Prefix

KEPT_FREE = 0.2  # of a GPU's free memory, for what a step needs besides the cache


def cache_token_budget(model: Any) -> int | None:
    """How many tokens the cache of a batch may hold, padding included, in the GPU memory that is free now.

    None on a CPU and for a model of a shape that isn't known: the number of rows alone is the limit.
    """
    import torch

    if model.device.type != "cuda" or (size := token_bytes(model)) is None:
        return None
    free, _ = torch.cuda.mem_get_info(model.device)
    free += torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    return int(free * (1 - KEPT_FREE)) // size


def token_bytes(model: Any) -> int | None:
    """What a token takes in the cache: a key and a value in each layer; None when the model's shape isn't known."""
    shape = Architecture.of_config(model.config.to_dict())
    if shape is None:
        return None
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * int(model.dtype.itemsize)


class Read(NamedTuple):
    """Prompts that were read: their logits, shape (prompts, vocabulary), and what makes them rows."""

    logits: Any
    cache: Any
    mask: Any
    seen: Any


class BatchCache:
    """A growing batch over a causal language model of transformers.

    Every row ends in the same column; a shorter one begins later, and what stands before it is masked. `seen` is
    true where a row's prompt or text holds a token, shape (rows, vocabulary).
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
        # Other layers keep a state in place of keys and values (a gated delta rule), or count a window or a chunk by
        # columns: what fills up a shorter prompt must stand before it, and can't stand after a prefix.
        self.keeps_prefixes = kinds == {"full_attention"}
        self._with_states = "linear_attention" in kinds
        self._cache: Any = None
        self._mask: Any = None
        self.seen: Any = None

    @property
    def rows(self) -> int:
        return 0 if self._mask is None else int(self._mask.shape[0])

    def admit(self, prompts: list[list[int]]) -> Any:
        """Read prompts as new rows after those there are; returns their logits, shape (prompts, vocabulary)."""
        read = self.read(prompts)
        self.join(read)
        return read.logits

    def read(self, prompts: list[list[int]], prefix: Prefix | None = None) -> "Read":
        """Read prompts without making them rows yet: when that fails, the rows there are stay as they are.

        All begin with `prefix`, which was read before; its columns come first, what fills up a shorter prompt after it.
        """
        import torch

        start = len(prefix.tokens) if prefix else 0
        rest = [prompt[start:] for prompt in prompts]
        length, device = max(map(len, rest)), self._model.device
        ids = torch.tensor([[0] * (length - len(r)) + r for r in rest], device=device)
        columns = [[1] * start + [0] * (length - len(r)) + [1] * len(r) for r in rest]
        mask = torch.tensor(columns, device=device)
        cache = _begun(prefix, len(prompts), self._model.config if self._with_states else None)
        positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)[:, start:]
        logits = self._forward(ids, mask, positions, cache)
        seen = torch.zeros(logits.shape, dtype=torch.bool, device=device)
        for row, prompt in enumerate(prompts):
            seen[row, prompt] = True
        return Read(logits, cache, mask, seen)

    def read_prefix(self, tokens: list[int], known: Prefix | None = None) -> Prefix:
        """Read what prompts begin with, from the end of a shorter `known` one on."""
        read = self.read([tokens], known)
        return Prefix(tuple(tokens), [(layer.keys, layer.values) for layer in read.cache.layers])

    def join(self, read: "Read") -> None:
        """Make what was read new rows after those there are."""
        if self.rows:
            self._join(read.cache, read.mask, read.seen)
        else:
            self._cache, self._mask, self.seen = read.cache, read.mask, read.seen

    def step(self, tokens: list[int]) -> Any:
        """Append one token to each row; returns the logits after it, shape (rows, vocabulary)."""
        import torch

        ids = torch.tensor(tokens, device=self._mask.device).unsqueeze(1)
        self.seen.scatter_(1, ids, True)
        positions = self._mask.sum(dim=-1, keepdim=True)
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
        return self._forward(ids, self._mask, positions, self._cache)

    def keep(self, rows: list[int]) -> None:
        """Drop all other rows, and the columns that none of those that stay uses."""
        import torch

        if not rows:
            self._cache = self._mask = self.seen = None
            return
        index = torch.tensor(rows, device=self._mask.device)
        self._mask, self.seen = self._mask[index], self.seen[index]
        unused = int((self._mask.cumsum(dim=-1) == 0).sum(dim=-1).min())
        self._mask = self._mask[:, unused:]
        for layer in self._cache.layers:
            if states := _states(layer):
                for kept, number in states:
                    kept[number] = kept[number][index]
            else:
                layer.keys, layer.values = layer.keys[index, :, unused:], layer.values[index, :, unused:]

    def _forward(self, ids: Any, mask: Any, positions: Any, cache: Any) -> Any:
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]

    def _join(self, cache: Any, mask: Any, seen: Any) -> None:
        import torch

        pad, cat = torch.nn.functional.pad, torch.cat
        length = max(self._mask.shape[1], mask.shape[1])
        here, there = length - self._mask.shape[1], length - mask.shape[1]
        for mine, new in zip(self._cache.layers, cache.layers, strict=True):
            if states := _states(mine):
                for (kept, number), (others, _) in zip(states, _states(new), strict=True):
                    kept[number] = cat([kept[number], others[number]])
                continue
            mine.keys = cat([pad(mine.keys, (0, 0, here, 0)), pad(new.keys, (0, 0, there, 0))])
            mine.values = cat([pad(mine.values, (0, 0, here, 0)), pad(new.values, (0, 0, there, 0))])
        self._mask = cat([pad(self._mask, (here, 0)), pad(mask, (there, 0))])
        self.seen = cat([self.seen, seen])


def _states(layer: Any) -> list[tuple[Any, Any]]:
    """Where a layer without attention has its states, each with one row a text; none of a layer with keys and values."""
    if not hasattr(layer, "recurrent_states"):
        return []
    return [(kept, number) for kept in (layer.conv_states, layer.recurrent_states) for number in kept]


def _begun(prefix: Prefix | None, rows: int, config: Any = None) -> Any:
    """A cache of so many rows that have read the prefix; with a `config`, of the layers that it names."""
    from transformers import DynamicCache

    cache = DynamicCache(config=config) if config else DynamicCache()
    for number, (keys, values) in enumerate(prefix.layers if prefix else []):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), number)
    return cache
