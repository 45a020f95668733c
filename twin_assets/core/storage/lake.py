"""The data lake: a folder, or a bucket and prefix on S3, by setting.

Objects are written whole or not at all. `create` never overwrites, which makes it the base of
append-only ledgers. Keys are POSIX paths relative to the lake.
"""

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from twin_assets.core.errors import TwinError
from twin_assets.core.storage.private import private_file, private_folder, private_home, sync_folder
from twin_assets.core.storage.s3 import answered, bucket_and_prefix, s3_client
from twin_assets.settings import Settings

# Beside files that were changed by an erasure, which is the only thing that changes a dataset version.
ERASED_NOTE = "erased.json"
# A write takes seconds; what is staged for longer was left by a process that was killed.
STAGED_SECONDS = 3600.0


# Each object is a file somewhere, so a part of a key is what a file may be called.
_PART_BYTES = 255
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def lake_key(key: str) -> str:
    """The key as it is; the one check that every backend makes.

    Raises TwinError when it has `.` or `..` among its parts, begins at the root, or holds what no file name can:
    a key made of something that a caller sent must not lead to another's object.
    """
    parts = key.split("/")
    if (
        key.startswith("/")
        or {".", ".."} & set(parts)
        or _UNPRINTABLE.search(key)
        or max(len(part.encode()) for part in parts) > _PART_BYTES
    ):
        raise TwinError(f"{key[:120]!r} is no lake key.", "use a relative path of plain names, without '..'.")
    return key


class Lake(Protocol):
    def read(self, key: str) -> bytes:
        """Bytes of an object; raises KeyError when there is none."""
        ...

    def write(self, key: str, data: bytes) -> str:
        """Store an object whole, replacing an older one. Returns its URI."""
        ...

    def create(self, key: str, data: bytes) -> str:
        """Store an object that must not exist yet; raises FileExistsError when it does."""
        ...

    def exists(self, key: str) -> bool: ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys below a prefix (a folder), sorted."""
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

    def sweep(self) -> int:
        """Remove what killed writes left on this machine's disk; how many files."""
        ...


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

    def write(self, key: str, data: bytes) -> str:
        path = self._path(key)
        with self._staged(path, data) as staged:
            staged.replace(path)
        return self.uri(key)

    def create(self, key: str, data: bytes) -> str:
        path = self._path(key)
        with self._staged(path, data) as staged:
            os.link(staged, path)  # fails when the name is taken, unlike a rename
        return self.uri(key)

    @contextmanager
    def _staged(self, path: Path, data: bytes) -> Iterator[Path]:
        """The data in a file beside `path`, for the block to bring there; the name holds when the block is left."""
        private_folder(path.parent)
        staged = path.parent / f".{path.name}.{secrets.token_hex(4)}{_STAGED}"
        try:
            with private_file(staged) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield staged
        finally:
            staged.unlink(missing_ok=True)
        sync_folder(path.parent)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def keys(self, prefix: str) -> Iterator[str]:
        # Not with Path.rglob, which takes three times as long: every request looks at a ledger.
        before = len(str(self.root.resolve())) + 1
        paths = (f"{folder}/{name}" for folder, _, names in os.walk(self._path(prefix)) for name in names)
        keys = (path[before:] for path in paths if not path.rpartition("/")[2].startswith("."))
        yield from sorted(keys, key=lambda key: key.split("/"))

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


class S3Lake:
    """The lake as a bucket and prefix. `client` is a boto3 S3 client. Raises TwinError when S3 doesn't answer."""

    def __init__(self, client: Any, bucket: str, prefix: str, mirror: Path) -> None:
        self.client, self.bucket, self.prefix, self.mirror = client, bucket, prefix.strip("/"), mirror

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{lake_key(key)}" if self.prefix else lake_key(key)

    def read(self, key: str) -> bytes:
        with answered(self.client, f"read {key}"):
            try:
                return self.client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"].read()
            except self.client.exceptions.NoSuchKey:
                raise KeyError(key) from None

    def write(self, key: str, data: bytes) -> str:
        with answered(self.client, f"write {key}"):
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)
        LocalLake(self.mirror).delete(key)  # an older copy
        return self.uri(key)

    def create(self, key: str, data: bytes) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        mark = secrets.token_hex(16)
        with answered(self.client, f"create {key}"):
            try:
                self.client.put_object(
                    Bucket=self.bucket, Key=self._key(key), Body=data, IfNoneMatch="*", Metadata={_MARK: mark}
                )
            except (BotoCoreError, ClientError) as error:
                # An answer may get lost on its way back: then the client asks again, and is told that the name is
                # taken, by itself.
                if not self._carries(key, mark):
                    status = (
                        error.response["ResponseMetadata"]["HTTPStatusCode"]
                        if isinstance(error, ClientError)
                        else 0
                    )
                    if status in (409, 412):
                        raise FileExistsError(key) from None
                    raise
        return self.uri(key)

    def _carries(self, key: str, mark: str) -> bool:
        """Whether the object was stored by the call that chose this mark."""
        from botocore.exceptions import ClientError

        try:
            head = self.client.head_object(Bucket=self.bucket, Key=self._key(key))
        except ClientError:
            return False
        return bool(head["Metadata"].get(_MARK) == mark)

    def exists(self, key: str) -> bool:
        return any(listed == key for listed in self.keys(key))

    def keys(self, prefix: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._key(prefix)
        )
        skip = len(self.prefix) + 1 if self.prefix else 0
        folder = prefix.rstrip("/") + "/"
        pages = iter(pages)
        while True:
            with answered(self.client, f"list {prefix or 'the lake'}"):
                page = next(pages, None)
            if page is None:
                return
            for item in page.get("Contents", []):
                key = item["Key"][skip:]
                if prefix == "" or key == prefix or key.startswith(folder):
                    yield key

    def update(self, key: str, change: Callable[[bytes], bytes | None]) -> bool:
        from botocore.exceptions import ClientError

        while True:
            with answered(self.client, f"change {key}"):
                try:
                    stored = self.client.get_object(Bucket=self.bucket, Key=self._key(key))
                    changed = change(stored["Body"].read())
                    if changed is None:
                        return False
                    self.client.put_object(
                        Bucket=self.bucket, Key=self._key(key), Body=changed, IfMatch=stored["ETag"]
                    )
                except self.client.exceptions.NoSuchKey:
                    return False  # before it was read, or since
                except ClientError as error:
                    if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                        continue  # somebody was faster: what is there now is changed
                    raise
            LocalLake(self.mirror).delete(key)
            return True

    def delete(self, key: str) -> None:
        with answered(self.client, f"delete {key}"):
            self.client.delete_object(Bucket=self.bucket, Key=self._key(key))
        LocalLake(self.mirror).delete(key)

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"

    def local(self, prefix: str) -> Path:
        target = LocalLake(self.mirror)
        while True:
            listed = list(self.keys(prefix))
            for stale in set(target.keys(prefix)) - set(listed):
                target.delete(stale)
            changed = tuple(k.removesuffix(ERASED_NOTE) for k in listed if k.endswith(f"/{ERASED_NOTE}"))
            try:
                for key in listed:
                    if not target.exists(key) or _may_change(key) or key.startswith(changed):
                        target.write(key, self.read(key))
            except KeyError:
                continue  # something took its place since it was listed: the mirror shall have that
            return target.local(prefix)

    def sweep(self) -> int:
        return LocalLake(self.mirror).sweep()


_STAGED, _MARK = ".tmp", "created-by"


def _may_change(key: str) -> bool:
    """Objects are immutable, so that a mirrored one is kept, but for small pointers and evaluation reports."""
    return key.endswith("latest.json") or key.startswith("reports/")


def open_lake(settings: Settings, client: Any = None) -> Lake:
    """The lake that the settings name. `client` is a boto3 S3 client; made here when absent.

    Closes the folder of everything (`home`) to other accounts, since every part of the platform opens the lake.
    """
    private_home(settings.home)
    if settings.lake_url is None:
        return LocalLake(settings.lake_dir)
    if (place := bucket_and_prefix(settings.lake_url)) is None:
        raise TwinError(
            f"TWIN_LAKE_URL={settings.lake_url!r} is not a lake.", "set s3://bucket/prefix or unset it."
        )
    bucket, prefix = place
    return S3Lake(client or s3_client(settings), bucket, prefix, settings.cache_dir / "lake-mirror" / bucket)
