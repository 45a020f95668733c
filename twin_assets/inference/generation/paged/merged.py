"""The base with one adapter merged into its weights, as a graph of its own: for an adapter that writes alone.

On the base's graph an adapter's factors are inputs, two small products beside each of the base's. Merged they cost
nothing, but take the memory of the base's graph once more. So there is one such copy at most, and the adapter earns it.
"""

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

from twin_assets.inference.generation.lora import Adapter

log = logging.getLogger(__name__)

# Passes that an adapter writes alone until it gets the copy: of a base that has none, and in place of another's, which has
# written nothing alone meanwhile. Making it takes the time of some tens of passes.
FIRST, INSTEAD = 256, 4096


class MergedCopy:
    """The copy of a base, made by `make` in a thread of its own: the adapter's rows go on without it meanwhile. It goes with
    its adapter. Where `make` fails, that is logged, and the adapter stays without."""

    def __init__(self, make: Callable[[Adapter], Any]) -> None:
        self._make = make
        # At most one; None while it is being made, or where it could not be.
        self._copies: weakref.WeakKeyDictionary[Adapter, Any] = weakref.WeakKeyDictionary()
        self._next: weakref.ref[Adapter] | None = None
        self._passes = 0
        self._making: threading.Thread | None = None

    def of(self, adapter: Adapter) -> Any:
        """The copy for a pass that an adapter writes alone, or None. The pass counts."""
        if adapter in self._copies:
            self._passes = 0
            return self._copies[adapter]
        if self._next is None or self._next() is not adapter:
            self._next, self._passes = weakref.ref(adapter), 0
        self._passes += 1
        if self._passes >= (INSTEAD if self._copies else FIRST) and not self.making:
            self._copies.clear()  # the old one goes before the new one is made
            self._copies[adapter] = None
            # No daemon: a process that ended while OpenVINO compiles would be aborted.
            self._making = threading.Thread(target=self._fill, args=(adapter,), name="merged copy")
            self._making.start()
        return None

    @property
    def making(self) -> bool:
        return self._making is not None and self._making.is_alive()

    def _fill(self, adapter: Adapter) -> None:
        try:
            self._copies[adapter] = self._make(adapter)
        except (
            Exception
        ) as error:  # loading, OpenVINO and memory fail in many ways, and nothing needs the copy
            log.warning("The adapter that writes alone is not merged into a copy of its base: %s", error)


def merge_into(model: Any, adapter: Adapter) -> Any:
    """The model of torch itself, with B A of shape (out, in) added to the weights of its linear layers, in 32 bits."""
    import torch

    for name, (a, b) in adapter.factors.items():
        layer = model.get_submodule(name)
        weight = layer.weight.detach().float() + b.float() @ a.float()
        # A new one, since the output's may be the table of tokens too.
        layer.weight = torch.nn.Parameter(weight.to(layer.weight.dtype), requires_grad=False)
    return model
