"""LoRA adapters (Hu et al. 2021) on one model in memory: every row of a pass is written by an adapter of its own, or by
the bare model.

As in Punica (Chen et al., MLSys 2024) and S-LoRA (Sheng et al., MLSys 2024): the model's own product is one for all rows,
and beside it stands one batched product for all adapters, whose factors lie stacked. The rows are gathered to their
adapters, not the factors to their rows: an adapter is read once however many rows it has.
"""

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.models.adapters import read_config, read_factors, scale, why_not_apart

Factors = dict[str, tuple[Any, Any]]


class Adapter:
    """The factors of an adapter by layer, in the model's precision and on its device: A of shape (rank, in), and B of
    shape (out, rank) with the scale in it."""

    def __init__(self, factors: Factors) -> None:
        self.factors = factors
        self.rank = max((int(a.shape[0]) for a, _ in factors.values()), default=0)


def load_adapter(folder: Path, shapes: dict[str, tuple[int, int]], like: dict[str, Any]) -> Adapter:
    """The adapter of a folder for a model whose linear layers have `shapes`, in and out. Raises TwinError when it has more than
    two factors a layer, or doesn't fit the model."""
    if reason := why_not_apart(folder):
        raise TwinError(f"The adapter in {folder} can't be served on its base: {reason}.", "merge it.")
    by, factors = scale(read_config(folder)), {}
    for name, (a, b) in read_factors(folder).items():
        if (shape := shapes.get(name)) != (a.shape[1], b.shape[0]):
            raise TwinError(
                f"The adapter in {folder} is not of this base: it takes {a.shape[1]} to {b.shape[0]} in {name}, "
                f"which {f'takes {shape[0]} to {shape[1]}' if shape else 'is no linear layer of it'}.",
                "bring the base that it names.",
            )
        factors[name] = (a.to(**like), (b.float() * by).to(**like))
    return Adapter(factors)


class AdaptedModel:
    """A model of transformers whose linear layers take adapters. It is not held here: the model holds this.

    `load` makes an adapter ready and touches nothing that is in use. What a thread runs inside `written_by` is written
    by those adapters; other threads, and passes outside, are the bare model's.
    """

    def __init__(self, model: Any) -> None:
        from torch.nn import Linear

        self._thread = threading.local()
        self._shapes: dict[str, tuple[int, int]] = {}
        self._like = {"dtype": model.dtype, "device": model.device}
        for name, layer in model.named_modules():
            if isinstance(layer, Linear):
                self._shapes[name] = (layer.in_features, layer.out_features)
                layer.register_forward_hook(self._hook(name))

    def load(self, folder: Path) -> Adapter:
        """The adapter of a folder. Raises TwinError when it has more than two factors a layer, or doesn't fit the model."""
        return load_adapter(folder, self._shapes, self._like)

    @contextmanager
    def written_by(
        self, adapters: Sequence[Adapter | None], beside: Sequence[Adapter | None] = ()
    ) -> Iterator[None]:
        """The passes inside have one row for each of `adapters`, None for the bare model; or any number of rows for one.

        `beside` are adapters of the passes right before and after, for which things stay ready.
        """
        self._thread.rows = self._rows(adapters, beside)
        try:
            yield
        finally:
            self._thread.rows = None

    def _rows(
        self, adapters: Sequence[Adapter | None], beside: Sequence[Adapter | None]
    ) -> "_OneForAll | _Gathered | None":
        # A stack is of a thread: it goes with the engine's, which ends when there is nothing to write.
        stack: _Stack | None = getattr(self._thread, "stack", None)
        if stack is not None and stack.has_dead:
            stack = self._thread.stack = None
        active = list(dict.fromkeys(a for a in adapters if a is not None))
        if not active:
            return None
        if len(active) == 1 and None not in adapters:
            return _OneForAll(active[0])
        active = list(dict.fromkeys([*active, *(a for a in beside if a is not None)]))
        if stack is None or not stack.take(active):
            stack = self._thread.stack = None  # the old one goes before the new one is made
            stack = self._thread.stack = _Stack(active)
        return _Gathered(stack, adapters)

    def _hook(self, name: str) -> Any:
        def add(layer: Any, given: tuple[Any, ...], output: Any) -> Any:
            rows = getattr(self._thread, "rows", None)
            return output if rows is None else rows.added(name, given[0], output)

        return add


class _OneForAll:
    def __init__(self, adapter: Adapter) -> None:
        self._factors = adapter.factors

    def added(self, name: str, x: Any, output: Any) -> Any:
        from torch.nn.functional import linear

        if (found := self._factors.get(name)) is None:
            return output
        return output + linear(linear(x, found[0]), found[1])


class _Stack:
    """The factors of several adapters as one tensor a layer: A of shape (places, rank, in), B (places, out, rank).

    Ranks are filled up with zeros, and so is a layer that one of them has not. An adapter that nothing uses any more
    is not held by its place.
    """

    def __init__(self, adapters: list[Adapter]) -> None:
        self.places = 1 << (len(adapters) - 1).bit_length()
        self._rank = max(a.rank for a in adapters)
        self._owners: list[weakref.ref[Adapter] | None] = [None] * self.places
        self.factors: Factors = {}
        for adapter in adapters:
            for name, (a, b) in adapter.factors.items():
                if name not in self.factors:
                    self.factors[name] = (
                        a.new_zeros(self.places, self._rank, a.shape[1]),
                        b.new_zeros(self.places, b.shape[0], self._rank),
                    )
        for place, adapter in enumerate(adapters):
            self._put(place, adapter)

    def take(self, adapters: list[Adapter]) -> bool:
        """Have all of them; False when a new stack must be made: for room, or to give some back."""
        owners = [owner and owner() for owner in self._owners]
        if len(adapters) > self.places or self.places > 2 * max(len(adapters), 2):
            return False
        free = [place for place, owner in enumerate(owners) if owner not in adapters]
        free.sort(key=lambda place: owners[place] is not None)  # those that nobody has come first
        for adapter in adapters:
            if adapter in owners:
                continue
            if adapter.rank > self._rank or not adapter.factors.keys() <= self.factors.keys():
                return False
            self._put(free.pop(0), adapter)
        return True

    @property
    def has_dead(self) -> bool:
        """Whether it has factors of an adapter that nothing uses any more."""
        return any(owner is not None and owner() is None for owner in self._owners)

    def place_of(self, adapter: Adapter) -> int:
        return next(n for n, owner in enumerate(self._owners) if owner is not None and owner() is adapter)

    def _put(self, place: int, adapter: Adapter) -> None:
        self._owners[place] = weakref.ref(adapter)
        for name, (a, b) in self.factors.items():
            a[place].zero_()
            b[place].zero_()
            if found := adapter.factors.get(name):
                rank = found[0].shape[0]
                a[place, :rank], b[place, :, :rank] = found


class _Gathered:
    """Where the rows of a pass find their adapters. `_from` has shape (places * most), row by row of each place; what fills
    up a place with fewer rows is computed and not used."""

    def __init__(self, stack: _Stack, adapters: Sequence[Adapter | None]) -> None:
        import torch

        rows: list[list[int]] = [[] for _ in range(stack.places)]
        for row, adapter in enumerate(adapters):
            if adapter is not None:
                rows[stack.place_of(adapter)].append(row)
        tensor = partial(torch.tensor, device=next(iter(stack.factors.values()))[0].device)
        busy = [place for place, own in enumerate(rows) if own]
        # Of a stack that is mostly idle the few are copied out; of others the idle are computed along.
        self._busy = tensor(busy) if 2 * len(busy) <= stack.places else None
        if self._busy is not None:
            rows = [rows[place] for place in busy]
        most = max(map(len, rows))
        self._stack, self._places = stack, len(rows)
        self._from = tensor([row for own in rows for row in [*own, *[0] * (most - len(own))]])
        self._used = tensor([p * most + n for p, own in enumerate(rows) for n in range(len(own))])
        self._to = self._from[self._used]

    def added(self, name: str, x: Any, output: Any) -> Any:
        import torch

        if (found := self._stack.factors.get(name)) is None:
            return output
        a, b = found if self._busy is None else (found[0][self._busy], found[1][self._busy])
        gathered = x[self._from].reshape(self._places, -1, x.shape[2])
        both = torch.bmm(torch.bmm(gathered, a.transpose(1, 2)), b.transpose(1, 2))
        return output.index_add(0, self._to, both.reshape(-1, x.shape[1], b.shape[1])[self._used])
