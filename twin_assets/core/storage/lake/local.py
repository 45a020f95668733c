"""The lake as a folder."""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from filelock import FileLock

from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake.keys import lake_key
from twin_assets.core.storage.private import private_file, private_folder, sync_folder

if TYPE_CHECKING:
    from _typeshed import SupportsRead

# A write takes seconds; what is staged for longer was left by a process that was killed.
STAGED_SECONDS = 3600.0
_STAGED = ".tmp"


class LocalLake:
    """The lake as a folder, whose files are for its owner alone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, key: str) -> Path:
        path = (self.root / lake_key(key)).resolve()
        if not path.is_relative_to(self.root.resolve()):  # by a symbolic link
            raise TwinError(f"The lake key {key!r} leaves the lake.", "remove the link that leads out of it.")
        return path

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise KeyError(key) from None

    def open(self, key: str) -> IO[bytes]:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError):
            raise KeyError(key) from None

    def read_if_changed(self, key: str, seen: str | None) -> tuple[bytes, str] | None:
        data = self.read(key)
        mark = hashlib.sha256(data).hexdigest()
        return None if mark == seen else (data, mark)

    def write(self, key: str, data: bytes | IO[bytes]) -> str:
        path = self._path(key)
        with self._staged(path, BytesIO(data) if isinstance(data, bytes) else data) as staged:
            staged.replace(path)
        return self.uri(key)

    def create(self, key: str, data: bytes) -> str:
        path = self._path(key)
        with self._staged(path, BytesIO(data)) as staged:
            os.link(staged, path)  # fails when the name is taken, unlike a rename
        return self.uri(key)

    def keep(self, key: str, data: "SupportsRead[bytes]", time: float) -> None:
        """Store a copy of what is elsewhere as it was at a `time` there: whole, but not at once safe from a power cut."""
        path = self._path(key)
        with self._staged(path, data, safe=False) as staged:
            os.utime(staged, (time, time))
            staged.replace(path)

    def keeps(self, key: str, size: int, time: float) -> bool:
        """Whether the copy of that size and time is here."""
        try:
            found = self._path(key).stat()
        except FileNotFoundError:
            return False
        return (found.st_size, found.st_mtime) == (size, time)

    @contextmanager
    def _staged(self, path: Path, data: "SupportsRead[bytes]", safe: bool = True) -> Iterator[Path]:
        """The data in a file beside `path`, for the block to bring there. When the block is left the name holds, and
        where it is to be `safe`, also after a power cut."""
        private_folder(path.parent)
        staged = path.parent / f".{path.name}.{secrets.token_hex(4)}{_STAGED}"
        try:
            with private_file(staged) as file:
                shutil.copyfileobj(data, file)
                if safe:
                    file.flush()
                    os.fsync(file.fileno())
            yield staged
        finally:
            staged.unlink(missing_ok=True)
        if safe:
            sync_folder(path.parent)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        # Not with Path.rglob, which takes three times as long: every request looks at a ledger.
        before = len(str(self.root.resolve())) + 1
        paths = (f"{folder}/{name}" for folder, _, names in os.walk(self._path(prefix)) for name in names)
        keys = (path[before:] for path in paths if not path.rpartition("/")[2].startswith("."))
        yield from sorted((key for key in keys if key > after), key=lambda key: key.split("/"))

    def update(self, key: str, change: Callable[[bytes], bytes | None]) -> bool:
        private_folder(self.root)
        with FileLock(self.root / ".update.lock"):
            try:
                changed = change(self.read(key))
            except KeyError:
                return False
            if changed is not None:
                self.write(key, changed)
            return changed is not None

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink()
        except FileNotFoundError:
            return
        sync_folder(path.parent)  # what was erased may not come back with the power

    def uri(self, key: str) -> str:
        return self._path(key).as_uri()

    def local(self, prefix: str) -> Path:
        return private_folder(self._path(prefix))

    @property
    def here(self) -> "LocalLake":
        return self

    def sweep(self) -> int:
        swept, before = 0, time.time() - STAGED_SECONDS
        for folder, _, names in os.walk(self.root):
            for path in (Path(folder, name) for name in names if name[0] == "." and name.endswith(_STAGED)):
                try:
                    if path.stat().st_mtime < before:
                        path.unlink()
                        swept += 1
                except FileNotFoundError:
                    continue  # its writer is at work
        return swept

    def check(self) -> str:
        name = f".check-{secrets.token_hex(8)}"
        self.create(name, b"")
        self.delete(name)
        return f"the lake in {self.root} can be written"
