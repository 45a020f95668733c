"""Reads exports as they come: a zip, a tar file, an unpacked folder, or one file of it.

All of them are untrusted input: no bombs, no ways out, nothing is unpacked to disk.
"""

import contextlib
import io
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

MAX_MEMBER_BYTES = 250_000_000  # an account of ten years has a hundred million bytes of posts in one file
MAX_TOTAL_BYTES = 1_000_000_000
MAX_RATIO = 200  # text compresses 3 to 20 times, bombs a thousand times
MAX_MEMBERS = 500_000  # pictures included, which are never read
_UNPACK = "unpack it and give the folder"
Matches = Callable[[str], bool]
# What macOS and Windows put beside the files.
_LITTER = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")


def archive_members(path: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every member whose path matches the regular expression, in the archive's order.

    `path` is a zip, a tar file (also compressed), a folder, or a single file that itself matches. Where nothing
    matches, zips inside are looked into, one level deep: an export may come in parts, or be zipped once more.
    Raises ValueError, with what is wrong, for what is none of these, and for what could harm.
    """
    has_member = False
    inner: list[str] = []
    budget = _Budget()
    for name, data in _members(path, lambda name: _matches(pattern, name, inner), budget):
        has_member = True
        yield name, data
    if has_member or not inner:
        return
    again = frozenset(inner)
    for name, data in _members(path, again.__contains__, budget):
        try:
            archive = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile:
            raise ValueError(f"{name} inside is not a zip file") from None
        for member, content in _zip(archive, lambda member: bool(_matches(pattern, member, [])), budget):
            yield f"{name}/{member}", content


def member_names(path: Path) -> list[str]:
    """Paths of all that an archive or folder holds, nothing of it read; of zips inside too, one level deep, where
    it holds nothing but such zips and what has no words. Raises ValueError as `archive_members` does."""
    names: list[str] = []

    def note(name: str) -> bool:
        if not _LITTER.search(name):
            _check_path(name)
            names.append(name)
        return False

    for _ in _members(path, note, _Budget()):
        pass
    inner = [name for name in names if name.lower().endswith(".zip")]
    if not inner or any(
        re.search(r"(?i)\.(csv|jso?n?|html?|md|txt|xml|car|mbox|eml|vtt|srt)$", n) for n in names
    ):
        return names
    again = frozenset(inner)
    for name, data in _members(path, again.__contains__, _Budget()):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                names += [f"{name}/{_zip_name(info)}" for info in archive.infolist() if not info.is_dir()]
        except zipfile.BadZipFile:
            raise ValueError(f"{name} inside is not a zip file") from None
    return names


class _Budget:
    """What may still be unpacked of one export."""

    def __init__(self) -> None:
        self.total = 0

    def take(self, name: str, size: int, packed: int | None = None) -> None:
        self.total += size
        if size > MAX_MEMBER_BYTES or self.total > MAX_TOTAL_BYTES:
            raise ValueError(f"member {name} is too large")
        if packed is not None and size > MAX_RATIO * max(packed, 1_000):
            raise ValueError(f"member {name} is a zip bomb")


def _matches(pattern: str, name: str, inner: list[str]) -> bool:
    if _LITTER.search(name):
        return False
    if name.lower().endswith(".zip"):
        inner.append(name)
    return re.search(pattern, name) is not None


def _members(path: Path, matches: Matches, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield from _folder(path, matches, budget)
        return
    if not path.exists():
        raise ValueError("missing file")
    try:
        if zipfile.is_zipfile(path):
            yield from _zip(zipfile.ZipFile(path), matches, budget)
            return
        if tarfile.is_tarfile(path):
            yield from _tar(path, matches, budget)
            return
    except OSError as error:
        raise ValueError(f"unreadable file ({error.strerror or error})") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"damaged archive ({error})") from None
    if path.suffix.lower() == ".zip" or not matches(path.name):
        raise ValueError("not a zip file, a tar file or a folder, or cut off on its way: download it again")
    budget.take(path.name, path.stat().st_size)
    yield path.name, path.read_bytes()


def _zip(archive: zipfile.ZipFile, matches: Matches, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    with archive:
        infos = archive.infolist()
        _count(len(infos))
        for info in infos:
            name = _zip_name(info)
            if info.is_dir() or not matches(name):
                continue
            _check_path(name)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise ValueError(f"member {name} is a symbolic link")
            if info.flag_bits & 1:
                raise ValueError(f"member {name} is encrypted: {_UNPACK}")
            budget.take(name, info.file_size, info.compress_size)
            try:
                # The size in the header may lie, so no more than that is ever unpacked.
                with archive.open(info) as member:
                    data = member.read(info.file_size + 1)
            except NotImplementedError:
                raise ValueError(f"member {name} is packed in an unusual way: {_UNPACK}") from None
            except (zipfile.BadZipFile, EOFError, RuntimeError, zlib.error) as error:
                raise ValueError(f"damaged member {name} ({error})") from None
            if len(data) > info.file_size:
                raise ValueError(f"member {name} is larger than it says")
            yield name, data


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The member's path. Zips of macOS and of old tools hold UTF-8 without the flag that says so."""
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _tar(path: Path, matches: Matches, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    packed = path.stat().st_size
    with tarfile.open(path, "r:*") as archive:
        for number, info in enumerate(archive):
            _count(number)
            name = info.name.removeprefix("./").encode("utf-8", "replace").decode()
            if archive.offset > MAX_RATIO * max(packed, 1_000):
                raise ValueError(f"member {name} is a tar bomb")
            if info.isdir() or not matches(name):
                continue
            _check_path(name)
            if not info.isreg():
                raise ValueError(f"member {name} is a symbolic link or no file")
            budget.take(name, info.size)
            member = archive.extractfile(info)
            data = member.read(info.size) if member else b""
            if len(data) < info.size:
                raise ValueError(f"damaged member {name} (it ends too early)")
            yield name, data


def _folder(root: Path, matches: Matches, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    seen = 0
    for folder, folders, names in os.walk(root):
        folders.sort()
        for file in sorted(names):
            seen += 1
            _count(seen)
            path = Path(folder) / file
            name = path.relative_to(root).as_posix()
            if not matches(name):
                continue
            if path.is_symlink():
                raise ValueError(f"{name} is a symbolic link")
            try:
                budget.take(name, path.stat().st_size)
                data = path.read_bytes()
            except OSError as error:
                raise ValueError(f"unreadable file {name} ({error.strerror})") from None
            yield name, data


def _count(members: int) -> None:
    if members > MAX_MEMBERS:
        raise ValueError(f"more than {MAX_MEMBERS:,} members")


def _check_path(name: str) -> None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or re.match(r"[A-Za-z]:", name):
        raise ValueError(f"member {name} leads out of the archive")
