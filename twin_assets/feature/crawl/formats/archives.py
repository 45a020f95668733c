"""Reads export zips, which are untrusted input: no bombs, no ways out, nothing is unpacked to disk."""

import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_MEMBER_BYTES = 50_000_000
MAX_TOTAL_BYTES = 500_000_000
MAX_RATIO = 200  # text compresses 3 to 20 times, bombs a thousand times
MAX_MEMBERS = 100_000


def zip_members(path: Path, wanted: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every member whose path matches the regular expression, in the zip's order.

    Raises ValueError, with what is wrong, for what is no zip, and for one that could harm.
    """
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise ValueError("missing file") from None
    except (OSError, zipfile.BadZipFile):
        raise ValueError("not a zip file") from None
    with archive:
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise ValueError(f"more than {MAX_MEMBERS:,} members")
        total = 0
        for info in infos:
            if info.is_dir() or not re.search(wanted, info.filename):
                continue
            total += info.file_size
            _check(info, total)
            try:
                yield info.filename, _read(archive, info)
            except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
                raise ValueError(f"damaged or encrypted member {info.filename} ({error})") from None


def _check(info: zipfile.ZipInfo, total: int) -> None:
    name = PurePosixPath(info.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or re.match(r"[A-Za-z]:", info.filename):
        raise ValueError(f"member {info.filename} leads out of the zip")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ValueError(f"member {info.filename} is a symbolic link")
    if info.file_size > MAX_MEMBER_BYTES or total > MAX_TOTAL_BYTES:
        raise ValueError(f"member {info.filename} is too large")
    if info.file_size > MAX_RATIO * max(info.compress_size, 1_000):
        raise ValueError(f"member {info.filename} is a zip bomb")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The member's bytes. The size in its header may lie, so no more than that is ever unpacked."""
    with archive.open(info) as member:
        data = member.read(info.file_size + 1)
    if len(data) > info.file_size:
        raise ValueError(f"member {info.filename} is larger than it says")
    return data
