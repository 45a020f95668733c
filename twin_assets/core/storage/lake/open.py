"""The one place that chooses the kind of lake."""

from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake.base import Lake
from twin_assets.core.storage.lake.local import LocalLake
from twin_assets.core.storage.lake.on_s3 import S3Lake
from twin_assets.core.storage.lake.owner import Owner, claim
from twin_assets.core.storage.private import private_home
from twin_assets.core.storage.s3 import bucket_and_prefix, s3_client
from twin_assets.settings import Settings


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
    owner = Owner(settings.platform, settings.home / "platform")
    mirror = settings.cache_dir / "lake-mirror" / bucket
    return S3Lake(client or s3_client(settings), bucket, prefix, mirror, owner)


def platform_name(settings: Settings) -> str:
    """TWIN_PLATFORM, or the name that the lake has of itself: drawn once, the same for all who share the lake."""
    return settings.platform or claim(open_lake(settings), "The lake", None, "TWIN_LAKE_URL")
