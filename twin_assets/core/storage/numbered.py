"""Records in the lake that are only ever added: one object each, numbered from 1, no number given twice."""

from typing import Generic, TypeVar

from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake


class Numbered(Record):
    """A record of such a log; the number is its place in it."""

    number: int


R = TypeVar("R", bound=Numbered)


class NumberedLog(Generic[R]):
    """The records below `folder`, as `<number>.json` with so many `digits`, each a `kind`."""

    def __init__(self, lake: Lake, folder: str, kind: type[R], digits: int = 8) -> None:
        self.lake, self.folder, self._kind, self._digits = lake, folder, kind, digits

    def key(self, number: int) -> str:
        """The key of a record, whether it is there or not."""
        return f"{self.folder}/{number:0{self._digits}d}.json"

    def keys(self) -> list[str]:
        """Keys of all records, oldest first."""
        return list(self.lake.keys(self.folder))

    def read(self, key: str) -> R:
        """One record. Raises KeyError when it is gone, ValidationError when it is damaged."""
        return self._kind.model_validate_json(self.lake.read(key))

    def all(self) -> list[R]:
        """Every record, oldest first."""
        return [self.read(key) for key in self.keys()]

    def add(self, record: R) -> bool:
        """Store a record under its number; False when another writer has taken that."""
        try:
            self.lake.create(self.key(record.number), record.model_dump_json().encode())
        except FileExistsError:
            return False
        return True

    def replace(self, record: R) -> None:
        """Put a record in the place of the one that has its number."""
        self.lake.write(self.key(record.number), record.model_dump_json().encode())


def next_number(records: list[R]) -> int:
    """The number of the record that may come after these."""
    return records[-1].number + 1 if records else 1
