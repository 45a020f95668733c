"""Lake objects that never change, each read and understood once."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from twin_assets.core.storage.lake import Lake

Value = TypeVar("Value")


class ReadOnce(Generic[Value]):
    """What lake objects that never change say, kept as long as this lives: of at most `most`, those used last.

    Safe to use from several threads; two that ask for an object at the same time may both read it.
    """

    def __init__(self, understand: Callable[[bytes], Value], most: int) -> None:
        self._understand, self._most = understand, most
        self._values: OrderedDict[str, Value] = OrderedDict()  # by address
        self._lock = Lock()

    def read(self, lake: Lake, key: str) -> Value:
        """What the object says. Raises KeyError when there is none, and what `understand` raises."""
        address = lake.uri(key)
        with self._lock:
            if address in self._values:
                self._values.move_to_end(address)
                return self._values[address]
        value = self._understand(lake.read(key))
        with self._lock:
            self._values[address] = value
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value
