"""The lake as a bucket and prefix on S3."""

import random
import secrets
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

from twin_assets.core.storage.lake.keys import ERASED_NOTE, lake_key
from twin_assets.core.storage.lake.local import LocalLake
from twin_assets.core.storage.lake.owner import Owner
from twin_assets.core.storage.lake.small import SMALL_BYTES, SmallReads
from twin_assets.core.storage.s3 import StorageError, answered, no_s3, status_of

MIRRORS = 16  # objects that are read at a time
AHEAD = 64  # objects that were read, or are being, before one is written: of SMALL_BYTES each in memory
# For so long holds what was found of an S3 store: it may be another tomorrow.
PROOF_SECONDS = 86_400.0
# Who finds an S3 object being changed by another tries again, after a pause that is drawn at random and grows.
TURNS, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 20, 0.05, 2.0
_MARK, _PROOF, _CLAIMED = "created-by", ".s3-conditions", ".platform"


class Listed(NamedTuple):
    """An object as a listing of S3 has it: size in bytes, time of its last change in seconds."""

    size: int
    time: float


class S3Lake:
    """The lake as a bucket and prefix. `client` is a boto3 S3 client. Raises StorageError when S3 doesn't do as asked."""

    def __init__(
        self, client: Any, bucket: str, prefix: str, mirror: Path, owner: Owner | None = None
    ) -> None:
        """With an `owner`, whatever writes raises NotOurs where another platform writes the prefix."""
        self.client, self.bucket, self.prefix, self.mirror = client, bucket, prefix.strip("/"), mirror
        self._owner = owner

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{lake_key(key)}" if self.prefix else lake_key(key)

    def read(self, key: str) -> bytes:
        with answered(self.client, f"read {key}"):
            return self._get(key)["Body"].read()

    def open(self, key: str) -> IO[bytes]:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by who reads it
        with answered(self.client, f"read {key}"):
            shutil.copyfileobj(self._get(key)["Body"], file)
        file.seek(0)
        return file

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

    def write(self, key: str, data: bytes | IO[bytes]) -> str:
        self._own()
        with answered(self.client, f"write {key}"):
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)
        self.here.delete(key)  # an older copy
        return self.uri(key)

    def create(self, key: str, data: bytes) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        self._own()
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
                    if self._carries(key, mark, status_of(error)):
                        break
                    if status_of(error) == 412:
                        raise FileExistsError(key) from None
                    if status_of(error) == 409:
                        continue  # another write of that name is not over yet, and may fail
                    raise
                break
        return self.uri(key)

    def _carries(self, key: str, mark: str, said: int) -> bool:
        """Whether the object was stored by the call that chose this mark, and was told `said`."""
        from botocore.exceptions import ClientError

        try:
            head = self.client.head_object(Bucket=self.bucket, Key=self._key(key))
        except ClientError as error:
            if said == 412 and status_of(error) != 404:
                raise  # whose it is can't be told: who takes it for another's would write it twice
            return False
        return bool(head["Metadata"].get(_MARK) == mark)

    def exists(self, key: str) -> bool:
        return any(listed == key for listed in self.keys(key))

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return (key for key, _ in self._listed(prefix, after))

    def _listed(self, prefix: str, after: str = "") -> Iterator[tuple[str, Listed]]:
        start = {"StartAfter": self._key(after)} if after else {}
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._key(prefix), **start
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

        self._own()
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
        self._own()
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
        """Copy objects to the disk. Raises KeyError when one is gone.

        Several are read at a time and one is written: threads that make files in one folder wait for each other in the
        kernel, for longer than the writing takes. Large objects are boto3's, and small ones that are not answered well: it
        tries again and explains.
        """
        if not due:
            return

        def read(key: str, seen: Listed) -> bytes | None:
            """A small object; None for one that is on the disk by now."""
            with answered(self.client, f"read {key}"):
                data = small.read(self._key(key)) if seen.size <= SMALL_BYTES else None
                if data is None:
                    here.keep(key, self._get(key)["Body"], seen.time)
                return data

        waiting: deque[tuple[str, Listed, Future[bytes | None]]] = deque()

        def keep_first() -> None:
            key, seen, asked = waiting.popleft()
            if (data := asked.result()) is not None:
                here.keep(key, BytesIO(data), seen.time)

        with (
            answered(self.client, f"read {due[0][0]}"),
            ThreadPoolExecutor(min(MIRRORS, len(due))) as threads,
        ):
            small = SmallReads(self.client, self.bucket)
            try:
                for key, seen in due:
                    waiting.append((key, seen, threads.submit(read, key, seen)))
                    if len(waiting) > AHEAD:
                        keep_first()
                while waiting:
                    keep_first()
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise

    def sweep(self) -> int:
        return self.here.sweep()

    def check(self) -> str:
        """Raises StorageError when the store can't be read or written, or ignores conditions; NotOurs."""
        self._own()
        next(self.keys("ledger"), None)
        self._try_conditions("ledger")
        return f"the lake {self.uri('')} can be read and written, and refuses to overwrite"

    def _prove(self, key: str) -> None:
        """Once a day on this machine, before anything stands on it: that the store heeds conditions."""
        address = f"{self.client.meta.endpoint_url} {self.bucket}"
        if not self._noted(_PROOF, address):
            self._try_conditions(key.partition("/")[0] if "/" in key else "")
            self.here.write(_PROOF, address.encode())

    def _own(self) -> None:
        """Once a day on this machine, before anything is changed: that no other platform writes here."""
        if self._owner is None:
            return
        place = f"{self.client.meta.endpoint_url} {self.uri('')} {self._owner.name}"
        if not self._noted(_CLAIMED, place):
            bare = S3Lake(self.client, self.bucket, self.prefix, self.mirror)
            self._owner.claim(bare, f"The lake {self.uri('')}", "TWIN_LAKE_URL")
            place = f"{self.client.meta.endpoint_url} {self.uri('')} {self._owner.name}"
            self.here.write(_CLAIMED, place.encode())

    def _noted(self, note: str, found: str) -> bool:
        """Whether that was found less than PROOF_SECONDS ago, by whichever process of this home."""
        path = self.here.root / note
        try:
            return path.read_text() == found and 0 <= time.time() - path.stat().st_mtime < PROOF_SECONDS
        except FileNotFoundError:
            return False

    def _try_conditions(self, folder: str) -> None:
        """Raises StorageError unless the store refuses a second creation, and a change of what is not there any more."""
        # Where this key may write, and below no object: SeaweedFS takes a folder, empty too, for an object of its name.
        probe = f"{folder}/.check-{secrets.token_hex(8)}".lstrip("/")
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


def _may_change(key: str) -> bool:
    """Objects are immutable, so that a mirrored one is kept, but for small pointers and evaluation reports."""
    return key.endswith("latest.json") or key.startswith("reports/")
