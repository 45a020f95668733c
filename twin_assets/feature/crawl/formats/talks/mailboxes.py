"""Messages of mailboxes as they lie on disks: mbox files, Maildir folders, .eml files, folders and zips of them.

A mailbox of any size is read message by message; a message larger than `MAX_MESSAGE_BYTES` is cut there
(attachments come last).
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from twin_assets.feature.crawl.formats.archives import archive_members

MAX_MESSAGE_BYTES = 25_000_000
MAX_MESSAGES = 2_000_000
MAX_FILES = 1_000_000
KINDS = "mbox files, Maildir folders, .eml and .emlx files, folders and zips of them"

_SEPARATOR = re.compile(rb"From (?:\S+ .{0,60}\d:\d\d.{0,60}|\S+@\S+|-)\s*$")
_HEADER = re.compile(rb"[!-9;-~]+:|>From ")
_MAILDIR_FLAGS = re.compile(r"[:;!]2,([A-Z]*)")
_MEMBERS = r"(?i)\.(eml|mbox|mbx)$"
# Beside mailboxes lie indexes and settings; what has another suffix is asked whether it begins like an mbox.
_NO_MAIL = {".msf", ".dat", ".json", ".sqlite", ".html", ".plist", ".emlxpart", ".toc", ".index", ".log"}
_NOT_SENT = re.compile(
    r"drafts?|entw&?.{0,8}rfe|brouillons?|borradores|rascunhos|bozze|concepten|utkast|kladder|luonnokset|robocze|"
    r"черновики|&BCcENQRABD0EPgQyBDgEOgQ4-|草稿.?|下書き|trash|deleted(?: items| messages)?|papierkorb|gel&?.{0,8}schte.{0,12}|corbeille|papelera|"
    r"lixeira|cestino|prullenbak|papirkurv|papperskorgen|roskakori|kosz|корзина|&BBoEPgRABDcEOAQ9BDA-|ゴミ箱|垃圾桶|已删除.{0,4}|junk(?: e?-?mail)?|spam|"
    r"templates|vorlagen|unsent messages|outbox|postausgang",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MailEntry:
    """One message as it lies there: where, its bytes, and why it was never sent, if its place says so."""

    where: str
    data: bytes
    unsent: str | None = None


def read_mailbox(path: Path) -> Iterator[MailEntry]:
    """Every message of a file or folder. Raises ValueError, with what is wrong, for what is no mailbox."""
    if path.is_dir():
        yield from _folder(path)
    elif not path.is_file():
        raise ValueError("missing file")
    elif path.suffix.lower() == ".zip":
        yield from _zip(path)
    elif path.suffix.lower() in (".eml", ".emlx"):
        yield _single(path, path.name)
    else:
        with path.open("rb") as file:
            yield from _mbox(file, path.name)


def unsent_folder(name: str) -> str | None:
    """Why mail in a folder (or under a Gmail label) of that name doesn't count as sent; None where it does."""
    for part in re.split(r"[/\\]|^\.|(?<=\w)\.(?=\w)", name):
        if _NOT_SENT.fullmatch(part.strip().removesuffix(".mbox").removesuffix(".sbd")):
            return f"in a folder of drafts, trash or the like ({part.strip()})"
    return None


def _mbox(file: io.BufferedReader, where: str) -> Iterator[MailEntry]:
    """Messages of an mbox, told by "From " lines between an empty line and a header; ">From " is unquoted."""
    if file.peek(5)[:5] != b"From ":
        raise ValueError("no mbox: it does not begin with a From line")
    unsent = unsent_folder(where)
    lines: list[bytes] = []
    held = b""  # a From line until the next one shows whether headers follow it
    size = number = 0
    blank = True
    for line in iter(lambda: file.readline(1_000_000), b""):
        if held and _HEADER.match(line):
            if number >= MAX_MESSAGES:
                raise ValueError(f"more than {MAX_MESSAGES:,} messages")
            if number:
                yield MailEntry(f"{where}#{number}", b"".join(lines), unsent)
            number += 1
            lines, size = [], 0
        elif held:
            lines.append(held)
        held = line if blank and _SEPARATOR.match(line) else b""
        blank = line in (b"\n", b"\r\n")
        if not held and size < MAX_MESSAGE_BYTES:
            lines.append(
                line[1:] if line.startswith(b">") and line.lstrip(b">").startswith(b"From ") else line
            )
            size += len(line)
    if not number:
        raise ValueError("no mbox: no header follows its From line")
    yield MailEntry(f"{where}#{number}", b"".join(lines), unsent)


def _folder(folder: Path) -> Iterator[MailEntry]:
    root = folder.resolve()
    has_mail = False
    for count, path in enumerate(sorted(folder.rglob("*"))):
        if count > MAX_FILES:
            raise ValueError(f"more than {MAX_FILES:,} files")
        if not path.is_file() or not path.resolve().is_relative_to(root):
            continue
        where = path.relative_to(folder).as_posix()
        if path.parent.name in ("cur", "new") and (path.parent.parent / "cur").is_dir():
            has_mail = True
            flags = found_flags.group(1) if (found_flags := _MAILDIR_FLAGS.search(path.name)) else ""
            place = unsent_folder(path.parent.parent.relative_to(folder).as_posix())
            yield _single(
                path, where, place or ("draft" if "D" in flags else "trash" if "T" in flags else None)
            )
        elif path.suffix.lower() in (".eml", ".emlx"):
            has_mail = True
            yield _single(path, where, unsent_folder(path.parent.relative_to(folder).as_posix()))
        elif path.suffix.lower() not in _NO_MAIL and not path.name.startswith("."):
            with path.open("rb") as file:
                if file.peek(5)[:5] == b"From ":
                    has_mail = True
                    yield from _mbox(file, where)
    if not has_mail:
        raise ValueError("no mailbox in it")


def _single(path: Path, where: str, unsent: str | None = None) -> MailEntry:
    with path.open("rb") as file:
        data = file.read(MAX_MESSAGE_BYTES)
    return MailEntry(where, _emlx(data) if path.suffix.lower() == ".emlx" else data, unsent)


def _emlx(data: bytes) -> bytes:
    """Apple Mail's form: the message's length, the message, then a property list."""
    length, _, rest = data.partition(b"\n")
    return rest[: int(length)] if length.strip().isdigit() else data


def _zip(path: Path) -> Iterator[MailEntry]:
    has_mail = False
    for name, data in archive_members(path, _MEMBERS):
        has_mail = True
        if name.lower().endswith(".eml"):
            yield MailEntry(name, data, unsent_folder(name.rpartition("/")[0]))
        else:
            yield from _mbox(io.BufferedReader(io.BytesIO(data)), name)
    if not has_mail:
        raise ValueError("no mailbox in it")
