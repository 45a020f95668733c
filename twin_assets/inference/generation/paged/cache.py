"""The sequences that a graph is writing at once: rows coming and going, their keys and values in blocks of one store."""

from typing import Any, NamedTuple

import numpy as np

from twin_assets.inference.generation.batch_cache import Read
from twin_assets.inference.generation.paged.graph import BLOCK
from twin_assets.inference.generation.prefixes import Prefix


class Row(NamedTuple):
    """A sequence: its blocks in the order of its tokens, and how many tokens they hold."""

    blocks: list[int]
    length: int


class Store:
    """Blocks of keys and values, for each layer an array of shape (blocks, heads, BLOCK, size); it grows and does not shrink."""

    def __init__(self, layers: int, heads: int, size: int, kind: Any) -> None:
        self._shape, self._free = (heads, BLOCK, size), list[int]()
        self.layers = [(self._empty(0, kind), self._empty(0, kind)) for _ in range(layers)]

    def take(self, count: int) -> list[int]:
        """So many blocks, which hold anything."""
        if (missing := count - len(self._free)) > 0:
            self._grow(max(missing, self.blocks))
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def give(self, blocks: list[int]) -> None:
        """Take back what nobody needs any more."""
        self._free += blocks

    @property
    def blocks(self) -> int:
        return int(self.layers[0][0].shape[0])

    def _grow(self, by: int) -> None:
        have = self.blocks
        self.layers = [
            tuple(np.concatenate([part, self._empty(by, part.dtype)]) for part in layer)
            for layer in self.layers
        ]
        self._free += range(have, have + by)

    def _empty(self, count: int, kind: Any) -> Any:
        # Zeros, since what masks a token multiplies its value by 0, and 0 times what lies there may be no number.
        return np.zeros((count, *self._shape), kind)


class PagedCache:
    """What `BatchCache` is for a model of torch, for a graph. `seen` is true where a row's prompt or text holds a token, shape
    (rows, vocabulary)."""

    keeps_prefixes = True

    def __init__(self, decoder: Any, store: Store) -> None:
        self._decoder, self._store = decoder, store
        self._rows: list[Row] = []
        self.seen: Any = None

    @property
    def rows(self) -> int:
        return len(self._rows)

    def read(self, prompts: list[list[int]], prefix: Prefix | None = None) -> Read:
        """Read prompts without making them rows yet: when that fails, the rows there are stay as they are.

        All begin with `prefix`, which was read before.
        """
        import torch

        start = len(prefix.tokens) if prefix else 0
        seen = torch.zeros(len(prompts), self._decoder.vocabulary, dtype=torch.bool)
        for number, prompt in enumerate(prompts):
            seen[number, prompt] = True  # an IndexError for a token that there is not
        rows = [Row(self._store.take(-(-len(prompt) // BLOCK)), start) for prompt in prompts]
        try:
            if prefix:
                self._copy_in(prefix, rows)
            logits, read = self._forward([prompt[start:] for prompt in prompts], rows)
        except Exception:
            self._store.give([block for row in rows for block in row.blocks])
            raise
        return Read(logits, read, None, seen)

    def read_prefix(self, tokens: list[int], known: Prefix | None = None) -> Prefix:
        """Read what prompts begin with, from the end of a shorter `known` one on. The prefix is a copy of its own."""
        read = self.read([tokens], known)
        [row] = read.cache
        layers = [(keys[row.blocks], values[row.blocks]) for keys, values in self._store.layers]
        self._store.give(row.blocks)
        return Prefix(tuple(tokens), layers)

    def join(self, read: Read) -> None:
        """Make what was read new rows after those there are."""
        import torch

        self.seen = torch.cat([self.seen, read.seen]) if self._rows else read.seen
        self._rows += read.cache

    def step(self, tokens: list[int]) -> Any:
        """Append one token to each row; returns the logits after it, shape (rows, vocabulary)."""
        import torch

        self.seen.scatter_(1, torch.tensor(tokens).unsqueeze(1), True)
        for row in self._rows:
            if row.length == len(row.blocks) * BLOCK:
                row.blocks.extend(self._store.take(1))
        logits, self._rows = self._forward([[token] for token in tokens], self._rows)
        return logits

    def keep(self, rows: list[int]) -> None:
        """Drop all other rows."""
        for number in set(range(len(self._rows))) - set(rows):
            self._store.give(self._rows[number].blocks)
        self._rows = [self._rows[number] for number in rows]
        self.seen = self.seen[rows] if rows else None

    def _copy_in(self, prefix: Prefix, rows: list[Row]) -> None:
        count = -(-len(prefix.tokens) // BLOCK)
        for (keys, values), (known_keys, known_values) in zip(self._store.layers, prefix.layers, strict=True):
            for row in rows:
                keys[row.blocks[:count]], values[row.blocks[:count]] = known_keys, known_values

    def _forward(self, tokens: list[list[int]], rows: list[Row]) -> tuple[Any, list[Row]]:
        """The logits after the last of each row's new tokens, and the rows that hold them too."""
        logits = self._decoder.run(tokens, rows, self._store)
        return logits, [Row(row.blocks, row.length + len(new)) for row, new in zip(rows, tokens, strict=True)]
