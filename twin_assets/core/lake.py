"""The data lake: a folder, or a bucket and prefix on S3, by setting.

Objects are written whole or not at all. `create` never overwrites, which makes it the base of
append-only ledgers. Keys are POSIX paths relative to the lake.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings

# Beside files that were changed by an erasure, which is the only thing that changes a dataset version.
ERASED_NOTE = "erased.json"


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


class LocalLake:
    """The lake as a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, key: str) -> Path:
        path = (self.root / key).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise TwinError(f"The lake key {key!r} leaves the lake.", "use a relative key without '..'.")
        return path

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise KeyError(key) from None

    def write(self, key: str, data: bytes) -> str:
        path = self._path(key)
        self._staged(path, data).replace(path)
        return self.uri(key)

    def create(self, key: str, data: bytes) -> str:
        path = self._path(key)
        staged = self._staged(path, data)
        try:
            os.link(staged, path)  # fails when the name is taken, unlike a rename
        finally:
            staged.unlink()
        return self.uri(key)

    def _staged(self, path: Path, data: bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        with staged.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return staged

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def keys(self, prefix: str) -> Iterator[str]:
        # Not with Path.rglob, which takes three times as long: every request looks at a ledger.
        before = len(str(self.root.resolve())) + 1
        found = (f"{folder}/{name}" for folder, _, names in os.walk(self._path(prefix)) for name in names)
        keys = (path[before:] for path in found if not path.rpartition("/")[2].startswith("."))
        yield from sorted(keys, key=lambda key: key.split("/"))

    def update(self, key: str, change: Callable[[bytes], bytes | None]) -> bool:
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / ".update.lock"):
            try:
                changed = change(self.read(key))
            except KeyError:
                return False
            if changed is not None:
                self.write(key, changed)
            return changed is not None

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def uri(self, key: str) -> str:
        return self._path(key).as_uri()

    def local(self, prefix: str) -> Path:
        path = self._path(prefix)
        path.mkdir(parents=True, exist_ok=True)
        return path


class S3Lake:
    """The lake as a bucket and prefix. `client` is a boto3 S3 client."""

    def __init__(self, client: Any, bucket: str, prefix: str, mirror: Path) -> None:
        self.client, self.bucket, self.prefix, self.mirror = client, bucket, prefix.strip("/"), mirror

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def read(self, key: str) -> bytes:
        try:
            return self.client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"].read()
        except self.client.exceptions.NoSuchKey:
            raise KeyError(key) from None

    def write(self, key: str, data: bytes) -> str:
        self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)
        LocalLake(self.mirror).delete(key)  # an older copy
        return self.uri(key)

    def create(self, key: str, data: bytes) -> str:
        from botocore.exceptions import ClientError

        try:
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data, IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                raise FileExistsError(key) from None
            raise
        return self.uri(key)

    def exists(self, key: str) -> bool:
        return any(found == key for found in self.keys(key))

    def keys(self, prefix: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._key(prefix)
        )
        skip = len(self.prefix) + 1 if self.prefix else 0
        folder = prefix.rstrip("/") + "/"
        for page in pages:
            for item in page.get("Contents", []):
                key = item["Key"][skip:]
                if prefix == "" or key == prefix or key.startswith(folder):
                    yield key

    def update(self, key: str, change: Callable[[bytes], bytes | None]) -> bool:
        from botocore.exceptions import ClientError

        while True:
            try:
                found = self.client.get_object(Bucket=self.bucket, Key=self._key(key))
                changed = change(found["Body"].read())
                if changed is None:
                    return False
                self.client.put_object(
                    Bucket=self.bucket, Key=self._key(key), Body=changed, IfMatch=found["ETag"]
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
        self.client.delete_object(Bucket=self.bucket, Key=self._key(key))
        LocalLake(self.mirror).delete(key)

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"

    def local(self, prefix: str) -> Path:
        target = LocalLake(self.mirror)
        wanted = list(self.keys(prefix))
        for stale in set(target.keys(prefix)) - set(wanted):
            target.delete(stale)
        changed = tuple(key.removesuffix(ERASED_NOTE) for key in wanted if key.endswith(f"/{ERASED_NOTE}"))
        for key in wanted:
            if not target.exists(key) or _may_change(key) or key.startswith(changed):
                target.write(key, self.read(key))
        return target.local(prefix)


def _may_change(key: str) -> bool:
    """Objects are immutable, so that a mirrored one is kept, but for small pointers and evaluation reports."""
    return key.endswith("latest.json") or key.startswith("reports/")


def open_lake(settings: Settings, client: Any = None) -> Lake:
    """The lake that the settings name. `client` is a boto3 S3 client; made here when absent."""
    if settings.lake_url is None:
        return LocalLake(settings.lake_dir)
    scheme, _, rest = settings.lake_url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise TwinError(
            f"TWIN_LAKE_URL={settings.lake_url!r} is not a lake.", "set s3://bucket/prefix or unset it."
        )
    if client is None:
        import boto3

        client = boto3.client("s3", endpoint_url=settings.s3_endpoint_url)
    return S3Lake(client, bucket, prefix, settings.cache_dir / "lake-mirror" / bucket)
