"""Model versions in an S3 bucket: `s3://bucket/prefix/<name>/<version>/<file>`, streamed file by file."""

from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError
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
        self._own()
        base = self._base(version.tag)
        if RECORD not in self._names(base):
            files = [p for p in sorted(version.path.rglob("*")) if p.is_file() and p.name != STORE_FILE]
            # The record comes last: a version without one was never finished.
            for path in sorted(files, key=lambda p: p.name == RECORD):
                name = path.relative_to(version.path).as_posix()
                with answered(self.client, f"store {base}{name}"):
                    self.client.upload_file(str(path), self.bucket, base + name)
        return f"s3://{self.bucket}/{base}"

    def pull(self, tag: str, folder: Path) -> None:
        """Download a version into `folder`. Raises TwinError when it isn't there whole."""
        base = self._base(tag)
        names = self._names(base)
        if RECORD not in names:
            raise TwinError(f"s3://{self.bucket}/{base} holds no finished model version.", "push it first.")
        for name in names:
            target = (folder / name).resolve()
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
        for one in objects:
            with answered(self.client, f"delete {base}{one}"):
                self.client.delete_object(Bucket=self.bucket, Key=base + one)
        return len(objects)

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

    def _own(self) -> None:
        mirror = self._settings.cache_dir / "lake-mirror" / self.bucket
        objects = S3Lake(self.client, self.bucket, self.prefix, mirror)
        place = f"The registry s3://{self.bucket}/{self.prefix}"
        claim(objects, place, platform_name(self._settings), "TWIN_REGISTRY_URL")

    def _base(self, tag: str) -> str:
        """Of a version; of all versions of a name without a number."""
        return "/".join([*([self.prefix] if self.prefix else []), *filter(None, tag.split(":", 1)), ""])

    def _names(self, base: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=base)
        with answered(self.client, f"list {base}"):
            return [item["Key"][len(base) :] for page in pages for item in page.get("Contents", [])]
