"""Whose a shared server's things are: a name for the platform that writes them."""

import contextlib
import uuid

from twin_assets.core.storage.lake import open_lake
from twin_assets.settings import Settings

KEY = "platform"


def platform_name(settings: Settings) -> str:
    """TWIN_PLATFORM, or the name that the lake has of itself: drawn once, the same for all who share the lake."""
    if settings.platform:
        return settings.platform
    lake = open_lake(settings)
    try:
        return lake.read(KEY).decode()
    except KeyError:
        pass
    with contextlib.suppress(FileExistsError):  # another process was quicker
        lake.create(KEY, uuid.uuid4().hex[:12].encode())
    return lake.read(KEY).decode()
