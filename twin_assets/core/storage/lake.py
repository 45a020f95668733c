"""The data lake: a folder, or a bucket and prefix on S3, by setting.

Objects are written whole or not at all. `create` never overwrites, which makes it the base of
append-only ledgers. Keys are POSIX paths relative to the lake.
"""

import hashlib
import os
import random
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import urllib3
from filelock import FileLock

from twin_assets.core.errors import TwinError
from twin_assets.core.storage.private import private_file, private_folder, private_home, sync_folder
from twin_assets.core.storage.s3 import (
    StorageError,
    answered,
    bucket_and_prefix,
    no_s3,
    s3_client,
    status_of,
)
from twin_assets.settings import Settings

if TYPE_CHECKING:
    from _typeshed import SupportsRead

# Beside files that were changed by an erasure, which is the only thing that changes a dataset version.
ERASED_NOTE = "erased.json"
# A write takes seconds; what is staged for longer was left by a process that was killed.
STAGED_SECONDS = 3600.0
# Objects that are mirrored at a time, and for how long an address is good that one is asked by.
MIRRORS, SIGNED_SECONDS = 16, 300
# For so long holds what was found of an S3 store's conditions: it may be another tomorrow.
PROOF_SECONDS = 86_400.0
# Who finds an S3 object being changed by another tries again, after a pause that is drawn at random and grows.
TURNS, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 20, 0.05, 2.0

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

    def read_if_changed(self, key: str, seen: str | None) -> tuple[bytes, str] | None:
        """Bytes of an object and a mark of them; None while `seen` is still their mark. Raises KeyError when there is none.

        Asking for what did not change is the cheapest thing to ask S3.
        """
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

    @property
    def here(self) -> "LocalLake":
        """What of the lake is on this machine's disk: all of it, or what `local` has mirrored."""
        ...

    def sweep(self) -> int:
        """Remove what killed writes left on this machine's disk; how many files."""
        ...

    def check(self) -> str:
        """Try what the platform needs of a lake; what was found. Raises TwinError, or what the disk raises."""
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

    def read_if_changed(self, key: str, seen: str | None) -> tuple[bytes, str] | None:
        data = self.read(key)
        mark = hashlib.sha256(data).hexdigest()
        return None if mark == seen else (data, mark)

    def write(self, key: str, data: bytes) -> str:
        path = self._path(key)
        with self._staged(path, BytesIO(data)) as staged:
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


class Listed(NamedTuple):
    """An object as a listing of S3 has it: size in bytes, time of its last change in seconds."""

    size: int
    time: float


class S3Lake:
    """The lake as a bucket and prefix. `client` is a boto3 S3 client. Raises StorageError when S3 doesn't do as asked."""

    def __init__(self, client: Any, bucket: str, prefix: str, mirror: Path) -> None:
        self.client, self.bucket, self.prefix, self.mirror = client, bucket, prefix.strip("/"), mirror

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{lake_key(key)}" if self.prefix else lake_key(key)

    def read(self, key: str) -> bytes:
        with answered(self.client, f"read {key}"):
            return self._get(key)["Body"].read()

    def _get(self, key: str, **conditions: str) -> Any:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self._key(key), **conditions)
        except self.client.exceptions.NoSuchKey:
            raise KeyError(key) from None
        if "ETag" not in answer:  # a page for people, with status 200
            raise no_s3(self.client, f"read {key}")
        return answer

    def read_if_changed(self, key: str, seen: str | None) -> tuple[bytes, str] | None:
        from botocore.exceptions import ClientError

        with answered(self.client, f"read {key}"):
            try:
                answer = self._get(key, **({"IfNoneMatch": seen} if seen else {}))
                return answer["Body"].read(), answer["ETag"]
            except ClientError as error:
                if status_of(error) == 304:
                    return None
                raise

    def write(self, key: str, data: bytes) -> str:
        with answered(self.client, f"write {key}"):
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)
        self.here.delete(key)  # an older copy
        return self.uri(key)

    def create(self, key: str, data: bytes) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        self._prove(key)
        mark = secrets.token_hex(16)
        for _ in _turns(self.client, f"create {key}"):
            with answered(self.client, f"create {key}"):
                try:
                    self.client.put_object(
                        Bucket=self.bucket,
                        Key=self._key(key),
                        Body=data,
                        IfNoneMatch="*",
                        Metadata={_MARK: mark},
                    )
                except (BotoCoreError, ClientError) as error:
                    # An answer may get lost on its way back: then the client asks again, and is told that the name is
                    # taken, by itself.
                    if self._carries(key, mark):
                        break
                    if status_of(error) == 412:
                        raise FileExistsError(key) from None
                    if status_of(error) == 409:
                        continue  # another write of that name is not over yet, and may fail
                    raise
                break
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
        return (key for key, _ in self._listed(prefix))

    def _listed(self, prefix: str) -> Iterator[tuple[str, Listed]]:
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
                key, changed = item["Key"][skip:], item["LastModified"]
                if key.rpartition("/")[2].startswith("."):
                    continue  # as in a folder, no object of the lake
                if prefix == "" or key == prefix or key.startswith(folder):
                    yield (
                        key,
                        Listed(item["Size"], changed.timestamp() if isinstance(changed, datetime) else 0.0),
                    )

    def update(self, key: str, change: Callable[[bytes], bytes | None]) -> bool:
        from botocore.exceptions import ClientError

        self._prove(key)
        for _ in _turns(self.client, f"change {key}"):
            with answered(self.client, f"change {key}"):
                try:
                    stored = self._get(key)
                except KeyError:
                    return False
                changed = change(stored["Body"].read())
                if changed is None:
                    return False
                try:
                    self.client.put_object(
                        Bucket=self.bucket, Key=self._key(key), Body=changed, IfMatch=stored["ETag"]
                    )
                except self.client.exceptions.NoSuchKey:
                    return False  # gone since it was read
                except ClientError as error:
                    if status_of(error) in (409, 412):
                        continue  # somebody was faster: what is there now is changed
                    raise
            break
        self.here.delete(key)
        return True

    def delete(self, key: str) -> None:
        with answered(self.client, f"delete {key}"):
            self.client.delete_object(Bucket=self.bucket, Key=self._key(key))
        self.here.delete(key)

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"

    @property
    def here(self) -> LocalLake:
        return LocalLake(self.mirror)

    def local(self, prefix: str) -> Path:
        here = self.here
        before = set(here.keys(prefix))  # what another process mirrors meanwhile is no older than the listing
        for _ in _turns(self.client, f"mirror {prefix}"):
            listed = dict(self._listed(prefix))
            for stale in before - listed.keys():
                here.delete(stale)
            erased = tuple(key.removesuffix(ERASED_NOTE) for key in listed if key.endswith(f"/{ERASED_NOTE}"))
            due = [
                (key, seen)
                for key, seen in listed.items()
                if _may_change(key) or key.startswith(erased) or not here.keeps(key, *seen)
            ]
            try:
                self._mirror(here, due)
            except KeyError:
                continue  # something took its place since it was listed: the mirror shall have that
            break
        return here.local(prefix)

    def _mirror(self, here: LocalLake, due: list[tuple[str, Listed]]) -> None:
        """Copy objects to the disk, several at a time. Raises KeyError when one is gone.

        boto3 takes two milliseconds of CPU for an object, in one thread at a time. So it signs an address, and the bare
        connection is asked; whatever that does not answer well is asked again by boto3, which tries again and explains.
        """
        patience = self.client.meta.config
        timeout = urllib3.Timeout(connect=patience.connect_timeout, read=patience.read_timeout)

        def copy(one: tuple[str, Listed]) -> None:
            key, seen = one
            with answered(self.client, f"read {key}"):
                try:
                    answer = pool.request("GET", self._signed(key), preload_content=False)
                    if answer.status == 200 and "ETag" in answer.headers:
                        here.keep(key, answer, seen.time)
                        answer.release_conn()
                        return
                    answer.drain_conn()
                except urllib3.exceptions.HTTPError:
                    pass
                here.keep(key, self._get(key)["Body"], seen.time)

        with (
            urllib3.PoolManager(maxsize=MIRRORS, timeout=timeout, retries=False) as pool,
            ThreadPoolExecutor(min(MIRRORS, max(len(due), 1))) as threads,
        ):
            try:
                for _ in threads.map(copy, due):
                    pass
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise

    def _signed(self, key: str) -> str:
        """An address that hands an object out, for minutes."""
        named = {"Bucket": self.bucket, "Key": self._key(key)}
        return str(self.client.generate_presigned_url("get_object", Params=named, ExpiresIn=SIGNED_SECONDS))

    def sweep(self) -> int:
        return self.here.sweep()

    def check(self) -> str:
        """Raises StorageError when the store can't be read or written, or ignores conditions."""
        next(self.keys("ledger"), None)
        self._try_conditions("ledger")
        return f"the lake {self.uri('')} can be read and written, and refuses to overwrite"

    def _prove(self, key: str) -> None:
        """Once a day on this machine, before anything stands on it: that the store heeds conditions."""
        note = self.here.root / _PROOF
        address = f"{self.client.meta.endpoint_url} {self.bucket}"
        with suppress(FileNotFoundError):
            proved = note.read_text() == address
            if proved and 0 <= time.time() - note.stat().st_mtime < PROOF_SECONDS:
                return
        self._try_conditions(key.partition("/")[0])
        self.here.write(_PROOF, address.encode())

    def _try_conditions(self, folder: str) -> None:
        """Raises StorageError unless the store refuses a second creation, and a change of what is not there any more."""
        probe = f"{folder}/.check-{secrets.token_hex(8)}"  # where this key may write
        try:
            self._put_if(probe, "IfNoneMatch", "*")
            if self._put_if(probe, "IfNoneMatch", "*"):
                raise self._ignores("If-None-Match", "overwrote an object that was to be new")
            if self._put_if(probe, "IfMatch", f'"{"0" * 32}"'):
                raise self._ignores("If-Match", "changed an object that had been changed before")
        finally:
            with suppress(StorageError):  # not every key may delete
                self.delete(probe)

    def _put_if(self, key: str, condition: str, value: str) -> bool:
        """Whether an empty object was stored on that condition."""
        from botocore.exceptions import ClientError

        with answered(self.client, f"write {key} with {condition}"):
            try:
                self.client.put_object(Bucket=self.bucket, Key=self._key(key), **{condition: value})
            except ClientError as error:
                if status_of(error) in (404, 409, 412) and error.response["Error"]["Code"] != "NoSuchBucket":
                    return False
                if error.response["Error"]["Code"] == "NotImplemented":
                    raise self._ignores("conditions", "knows no conditional writes") from None
                raise
        return True

    def _ignores(self, header: str, found: str) -> StorageError:
        return StorageError(
            f"S3 at {self.client.meta.endpoint_url} is no place for a lake: it {found} ({header}), so that of two writers "
            "one would lose a release unseen.",
            "use a store with conditional writes, such as AWS S3, MinIO or SeaweedFS, or unset TWIN_LAKE_URL.",
        )


def _turns(client: Any, act: str) -> Iterator[int]:
    """Turns to do something that others may be doing too, with pauses in between. Raises StorageError after the last."""
    for turn in range(TURNS):
        yield turn
        time.sleep(random.uniform(0, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**turn)))
    raise StorageError(
        f"S3 at {client.meta.endpoint_url} had others change the same at each of {TURNS} attempts: {act}.",
        "try again; if it stays so, see what else writes there.",
    )


_STAGED, _MARK, _PROOF = ".tmp", "created-by", ".s3-conditions"


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
