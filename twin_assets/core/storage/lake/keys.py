"""What the keys of a lake may be."""

import re

from twin_assets.core.errors import TwinError

# Beside files that were changed by an erasure, which is the only thing that changes a dataset version.
ERASED_NOTE = "erased.json"

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
