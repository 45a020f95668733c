"""The contract of a lake."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import IO, Protocol

from twin_assets.core.storage.lake.local import LocalLake


class Lake(Protocol):
    def read(self, key: str) -> bytes:
        """Bytes of an object; raises KeyError when there is none."""
        ...

    def open(self, key: str) -> IO[bytes]:
        """The object as a file on this machine's disk, to be read in parts; raises KeyError when there is none.

        What becomes of the object meanwhile is not seen.
        """
        ...

    def read_if_changed(self, key: str, seen: str | None) -> tuple[bytes, str] | None:
        """Bytes of an object and a mark of them; None while `seen` is still their mark. Raises KeyError when there is none.

        Asking for what did not change is the cheapest thing to ask S3.
        """
        ...

    def write(self, key: str, data: bytes | IO[bytes]) -> str:
        """Store an object whole, replacing an older one: bytes, or what a file has from its place on. Returns its URI."""
        ...

    def create(self, key: str, data: bytes) -> str:
        """Store an object that must not exist yet; raises FileExistsError when it does."""
        ...

    def exists(self, key: str) -> bool: ...

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Keys below a prefix (a folder), sorted; only those greater than `after`, letter by letter.

        S3 lists 1,000 of them a request: whoever wants the last days of many asks for these.
        """
        ...

    def update(self, key: str, change: Callable[[bytes], bytes | None]) -> bool:
        """Put what `change` makes of an object in its place, None leaving it as it is; whether it changed.

        Whoever else updates it at the same time loses nothing: `change` may be asked again with what is there then.
        """
        ...

    def delete(self, key: str) -> None: ...

    def uri(self, key: str) -> str: ...

    def local(self, prefix: str) -> Path:
        """A local folder with all objects below `prefix`; a fresh mirror where the lake is remote."""
        ...

    @property
    def here(self) -> LocalLake:
        """What of the lake is on this machine's disk: all of it, or what `local` has mirrored."""
        ...

    def sweep(self) -> int:
        """Remove what killed writes left on this machine's disk; how many files."""
        ...

    def check(self) -> str:
        """Try what the platform needs of a lake; what was found. Raises TwinError, or what the disk raises."""
        ...


def keys_since(lake: Lake, folder: str, day: date | None) -> Iterator[str]:
    """Keys `<folder>/<day>…` from a day on, or all; sorted. On S3 those of the days before are not listed."""
    return lake.keys(folder, f"{folder}/{day or ''}")
