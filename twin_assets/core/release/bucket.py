"""Model versions in an S3 bucket, streamed file by file: `s3://bucket/prefix/<name>/<version>/<hash of the record>/<file>`.

The record `<name>/<version>/version.json` comes last, and is made once: two who push the same version at the same time, each
with weights of its own training, leave one that is whole. Versions of before lie beside their record.
"""

from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import bytes_hash
from twin_assets.core.models.registry import RECORD, STORE_FILE
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.storage.lake import S3Lake, platform_name
from twin_assets.core.storage.lake.owner import claim
from twin_assets.core.storage.s3 import MODEL_SECONDS, answered, bucket_and_prefix, s3_client
from twin_assets.settings import Settings


class Bucket:
    """The bucket that the settings name. `client` is a boto3 S3 client; made here when absent.

    Objects get the bucket's own access rules; none is ever made public here.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        if (place := bucket_and_prefix(settings.registry_url or "")) is None:
            raise TwinError(
                "There is no bucket to keep models in.", "set TWIN_REGISTRY_URL=s3://bucket/prefix."
            )
        self.client = client or s3_client(settings, MODEL_SECONDS)
        self.bucket, self.prefix = place
        self._settings = settings

    def push(self, version: ModelVersion) -> str:
        """Upload a version and return its address. One that is there whole is left alone. Raises NotOurs where another
        platform keeps its versions; whoever may read them may pull them all the same."""
        objects = self._own()
        base = self._base(version.tag)
        if RECORD not in self._names(base):
            record = (version.path / RECORD).read_bytes()
            files = [
                p
                for p in sorted(version.path.rglob("*"))
                if p.is_file() and p.name not in (STORE_FILE, RECORD)
            ]
            ours = [f"{_folder(record)}{path.relative_to(version.path).as_posix()}" for path in files]
            for path, name in zip(files, ours, strict=True):
                with answered(self.client, f"store {base}{name}"):
                    self.client.upload_file(str(path), self.bucket, base + name)
            key = f"{version.tag.replace(':', '/', 1)}/{RECORD}"
            try:
                objects.create(key, record)
            except FileExistsError:  # another process was quicker
                if objects.read(key) != record:
                    self._remove(base, ours)
        return f"s3://{self.bucket}/{base}"

    def pull(self, tag: str, folder: Path) -> None:
        """Download a version into `folder`. Raises TwinError when it isn't there whole."""
        base = self._base(tag)
        names = self._names(base)
        if RECORD not in names:
            raise TwinError(f"s3://{self.bucket}/{base} holds no finished model version.", "push it first.")
        self._download(base, RECORD, folder, RECORD)
        theirs = _folder((folder / RECORD).read_bytes())
        inside = [name for name in names if name.startswith(theirs)]
        for name in inside or names:
            self._download(base, name, folder, name.removeprefix(theirs))

    def _download(self, base: str, name: str, folder: Path, local: str) -> None:
        target = (folder / local).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise TwinError(f"The object {base}{name} leaves its folder.", "remove it from the bucket.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with answered(self.client, f"hand out {base}{name}"):
            self.client.download_file(self.bucket, base + name, str(target))

    def delete(self, name: str) -> int:
        """Remove all versions of a model for good; how many objects. Raises NotOurs."""
        self._own()
        base = self._base(name)
        objects = self._names(base)
        self._remove(base, objects)
        return len(objects)

    def _remove(self, base: str, names: list[str]) -> None:
        for name in names:
            with answered(self.client, f"delete {base}{name}"):
                self.client.delete_object(Bucket=self.bucket, Key=base + name)

    def count(self, name: str) -> int:
        """How many objects the versions of a model have."""
        return len(self._names(self._base(name)))

    def check(self) -> str:
        """See whether models can be listed; what was found. Raises StorageError."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket,
            Prefix=f"{self.prefix}/" if self.prefix else "",
            PaginationConfig={"MaxItems": 1},
        )
        with answered(self.client, "list models"):
            next(iter(pages))
        return f"the bucket of models s3://{self.bucket}/{self.prefix} can be read"

    def _own(self) -> S3Lake:
        mirror = self._settings.cache_dir / "lake-mirror" / self.bucket
        objects = S3Lake(self.client, self.bucket, self.prefix, mirror)
        place = f"The registry s3://{self.bucket}/{self.prefix}"
        claim(objects, place, platform_name(self._settings), "TWIN_REGISTRY_URL")
        return objects

    def _base(self, tag: str) -> str:
        """Of a version; of all versions of a name without a number."""
        return "/".join([*([self.prefix] if self.prefix else []), *filter(None, tag.split(":", 1)), ""])

    def _names(self, base: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=base)
        with answered(self.client, f"list {base}"):
            return [item["Key"][len(base) :] for page in pages for item in page.get("Contents", [])]


def _folder(record: bytes) -> str:
    """Where the files of the version with that record are, below its own place."""
    return f"{bytes_hash(record)}/"
