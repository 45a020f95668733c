"""The data lake: a folder, or a bucket and prefix on S3, by setting.

Objects are written whole or not at all. `create` never overwrites, which makes it the base of
append-only ledgers. Keys are POSIX paths relative to the lake.
"""

from twin_assets.core.storage.lake.base import Lake, keys_since
from twin_assets.core.storage.lake.keys import ERASED_NOTE
from twin_assets.core.storage.lake.local import LocalLake
from twin_assets.core.storage.lake.on_s3 import S3Lake
from twin_assets.core.storage.lake.open import open_lake, platform_name
from twin_assets.core.storage.lake.owner import NotOurs

__all__ = [
    "ERASED_NOTE",
    "Lake",
    "LocalLake",
    "NotOurs",
    "S3Lake",
    "keys_since",
    "open_lake",
    "platform_name",
]
