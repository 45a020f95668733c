"""Uploaded exports: staged by their content's hash, then kept where the persona's YAML names them.

`TWIN_HOME/staging/<persona>/<id>/` holds an upload until it is collected or cancelled, a day at most;
`TWIN_HOME/uploads/<persona>/<source>/<id>/` what was collected, for later crawls to read again. Both are for the
owner's account alone (mode 0700). The name that a file was given is never a path.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import SOURCES, Persona, source_part
from twin_assets.core.persona.sources import path_fields
from twin_assets.core.storage.private import private_file, private_folder

# What `feature/crawl/formats/recognise.py` knows, for people.
KINDS = (
    "exports of LinkedIn, X, Medium, Substack, WordPress (.xml), Ghost (.json), Mastodon and Bluesky (.car); mail "
    "(mbox, Maildir, .eml); chats of Telegram (JSON), WhatsApp (text), Slack and Discord; transcripts (.vtt, .srt); "
    "folders and files of writing (Obsidian, Jekyll, Hugo, Markdown, HTML, PDF, DOCX and such)"
)
DAY_SECONDS = 24 * 3600
# Beyond the upload itself, so that whatever else writes here goes on.
SPARE_BYTES = 200_000_000
PREPARED = "source"  # within a staged upload: the file or folder as a spider reads it
CONTENT = "content"
_ID = re.compile(r"[0-9a-f]{32}")
_FACTS = "upload.json"
_INCOMING = ".incoming-"


class NoRoom(TwinError):
    """The disk took no more."""


class Upload(BaseModel):
    """What is known of an upload: its id (of its content), the name that it was given, its size, and when it came."""

    id: str
    name: str
    bytes: int
    at: datetime


class Incoming:
    """An upload on its way: written piece by piece, and gone unless `keep` ended it.

    Raises NoRoom when the disk has, or gets, too little room.
    """

    def __init__(self, home: Path, persona: str, name: str, expected: int = 0) -> None:
        self.parent, self.name, self.bytes = private_folder(home / "staging" / persona), name[:200], 0
        if shutil.disk_usage(self.parent).free < expected + SPARE_BYTES:
            raise _no_room(os.strerror(errno.ENOSPC))
        self.folder = self.parent / f"{_INCOMING}{secrets.token_hex(8)}"
        self.folder.mkdir(mode=0o700)
        self._hash = hashlib.sha256()
        self._file = private_file(self.folder / CONTENT)

    def write(self, data: bytes) -> None:
        """Add a piece."""
        try:
            self._file.write(data)
        except OSError as error:
            raise _no_room(error.strerror or str(error)) from None
        self._hash.update(data)
        self.bytes += len(data)

    def keep(self) -> Upload:
        """Stage it under its id; the same content that is staged already stays as it is, under the new name."""
        upload = Upload(
            id=self._hash.hexdigest()[:32], name=self.name, bytes=self.bytes, at=datetime.now(UTC)
        )
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            _write(self.folder / _FACTS, upload.model_dump_json())
        except OSError as error:
            raise _no_room(error.strerror or str(error)) from None
        staged = self.parent / upload.id
        try:
            self.folder.rename(staged)
        except OSError:
            _write(staged / _FACTS, upload.model_dump_json())
        return upload

    def close(self) -> None:
        """End it; what was not kept is gone."""
        try:
            self._file.close()
        except OSError:
            pass  # the pieces that it still held; they go with the rest
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def staged_folder(home: Path, persona: str, upload: str) -> Path | None:
    """Where an upload is staged; None when there is none of that id."""
    folder = home / "staging" / persona / upload
    return folder if _ID.fullmatch(upload) and (folder / _FACTS).is_file() else None


def staged_uploads(home: Path, persona: str) -> list[Upload]:
    """What is staged for a persona, newest first."""
    return _uploads(home / "staging" / persona)


def upload_of(folder: Path) -> Upload:
    """What is known of an upload by its folder. Raises TwinError when that is damaged."""
    try:
        return Upload.model_validate_json((folder / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        raise TwinError("That upload is damaged.", "upload the file again.") from None


def cancel_upload(home: Path, persona: str, upload: str) -> bool:
    """Remove a staged upload; False when there was none."""
    folder = staged_folder(home, persona, upload)
    if folder is None:
        return False
    gone = folder.with_name(f"{_INCOMING}{secrets.token_hex(8)}")
    folder.rename(gone)  # at once, also while its preview still writes there
    shutil.rmtree(gone, ignore_errors=True)
    return True


def sweep_staged(home: Path, older_than: float = DAY_SECONDS) -> int:
    """Remove what was staged more than so many seconds ago, of all personas, also what broke off. How many."""
    swept = 0
    for folder in (home / "staging").glob("*/*"):
        try:
            if time.time() - folder.stat().st_mtime > older_than:
                shutil.rmtree(folder, ignore_errors=True)
                swept += 1
        except OSError:
            continue  # somebody else was quicker
    return swept


def kept_uploads(home: Path, persona: Persona, source: str) -> list[Upload]:
    """The uploads that the persona's YAML names for a source, newest first."""
    folder = home / "uploads" / persona.name / source
    named = {
        path.relative_to(folder.resolve()).parts[0]
        for path in _paths(persona, source)
        if path.resolve().is_relative_to(folder.resolve())
    }
    return [upload for upload in _uploads(folder) if upload.id in named]


def kept_folder(home: Path, persona: str, source: str, upload: str) -> Path:
    """Where an upload lies, or will, once it is collected."""
    return (home / "uploads" / persona / source / upload).resolve()


def keep_upload(home: Path, persona: str, source: str, upload: str, entry: str) -> Path:
    """Move a staged upload to the persona's own; the absolute path of what a spider reads of it (`entry`)."""
    folder = staged_folder(home, persona, upload)
    if folder is None or not (folder / PREPARED / entry).exists():
        raise TwinError("That upload has no preview yet, or is gone.", "upload the file again.")
    target = kept_folder(home, persona, source, upload)
    private_folder(home / "uploads" / persona / source)
    if not (target / entry).exists():
        shutil.rmtree(target, ignore_errors=True)
        prepared = folder / PREPARED
        shutil.copyfile(folder / _FACTS, prepared / _FACTS)
        os.utime(prepared)  # a crawl that ends just now takes it for no older one
        prepared.rename(target)
    shutil.rmtree(folder, ignore_errors=True)
    return target / entry


def declared_with(
    part: dict[str, Any] | None, source: str, path: Path, replaced: Path | None = None, **fields: str
) -> dict[str, Any]:
    """A source's declaration that names `path` too, or instead of an earlier upload's (anything below `replaced`)."""
    name, several = path_field(source)
    told = {key: value for key, value in fields.items() if value}
    declared = {**(part or {}), **told}
    if not several:
        return declared | {name: str(path)}
    older = [
        str(one) for one in declared.get(name) or [] if not (replaced and Path(one).is_relative_to(replaced))
    ]
    return declared | {name: [*(one for one in older if one != str(path)), str(path)]}


def drop_replaced(home: Path, source: str, personas: list[Persona], before: float) -> int:
    """Remove a persona's uploads of a source that none of its declarations (as crawled, as saved) names any more.

    Call it once a crawl that began at `before` (seconds since 1970) has ended well. Returns how many went.
    """
    if not path_fields(source_part(source)):
        return 0
    named = [path.resolve() for persona in personas for path in _paths(persona, source)]
    gone = 0
    for folder in (home / "uploads" / personas[0].name / source).glob("*"):
        if folder.stat().st_mtime < before and not any(p.is_relative_to(folder.resolve()) for p in named):
            shutil.rmtree(folder, ignore_errors=True)
            gone += 1
    return gone


def path_field(source: str) -> tuple[str, bool]:
    """Name of the field in which a source's declaration names its export, and whether that is a list."""
    part = source_part(source)
    for name in sorted(path_fields(part)):
        return name, part.model_fields[name].annotation == list[Path]
    raise TwinError(f"{source} reads no files.", f"upload for one of {', '.join(SOURCES)}.")


def needed_fields(source: str) -> list[str]:
    """What a declaration must say beside the path."""
    path = path_field(source)[0]
    fields = source_part(source).model_fields.items()
    return [name for name, field in fields if field.is_required() and name != path]


def _paths(persona: Persona, source: str) -> list[Path]:
    if source not in persona.sources():
        return []
    value = getattr(persona.declared(source), path_field(source)[0])
    return value if isinstance(value, list) else [value] if value else []


def _uploads(folder: Path) -> list[Upload]:
    uploads = []
    for path in folder.glob("*"):
        if _ID.fullmatch(path.name):
            try:
                uploads.append(upload_of(path))
            except TwinError:
                continue
    return sorted(uploads, key=lambda upload: upload.at, reverse=True)


def _write(path: Path, text: str) -> None:
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with private_file(staged) as file:
        file.write(text.encode())
    staged.replace(path)


def _no_room(why: str) -> NoRoom:
    return NoRoom(
        f"The upload can't be stored: {why}.", "make room on the disk of TWIN_HOME, then try again."
    )
