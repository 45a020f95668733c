"""Exporting a person wholly: what they may take along (GDPR, articles 15 and 20), as a folder or a zip, with a manifest.

It goes by the list of places that a deletion goes by, so that whatever a deletion would take is exported, or the manifest says why not.
"""

import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import persona_names
from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.private import private_file, sync_folder
from twin_assets.core.text.addresses import hide_logins
from twin_assets.monitoring.erasure.erasing import finish_erasures
from twin_assets.monitoring.erasure.places import PLACES
from twin_assets.monitoring.erasure.portable import ExportedFile, LeftOut, PersonExport
from twin_assets.settings import Settings

MANIFEST = "manifest.json"
Opened = Callable[[str], AbstractContextManager[IO[bytes]]]


class Manifest(Record):
    """One export. `places`: by place how many files, or why it has none; `left_out`: single things that are not in it, and why."""

    persona: str
    by: str
    exported_at: datetime
    version: str
    places: dict[str, int | str]
    left_out: list[LeftOut]
    files: list[ExportedFile]


def export_person(settings: Settings, lake: Lake, name: str, target: Path, by: str, weights: bool) -> Manifest:  # fmt: skip
    """Write all that is theirs to a new folder, or a zip where `target` ends with it, which appears whole or not at all.

    Raises TwinError for a persona that is not known, and a target that is there or can't be made; OSError when the disk is full.
    """
    declaration = settings.personas_dir / f"{name}.yaml"
    if name not in persona_names(settings.personas_dir):
        raise TwinError(f"There is no persona {name[:80]!r}.", "see `twin personas`.")
    if target.exists() or target.is_symlink() or not target.absolute().parent.is_dir():
        raise TwinError(
            f"{target} is there already, or is in no folder that is.",
            "name a new folder, or a new file that ends with .zip.",
        )
    try:
        finish_erasures(settings, lake, name)
    except ValueError as error:  # a row of ours that is none
        raise TwinError(
            f"What was erased of {name} can't be taken out first: {str(error).splitlines()[0][:200]}.",
            "mend what the hourly run `monitor` names, and export again.",
        ) from None
    with _appearing(target) as opened:
        export = PersonExport(settings, lake, name, weights, opened)
        text = declaration.read_text(encoding="utf-8", errors="replace")
        export.add(declaration.name, [hide_logins(text).encode()])
        places: dict[str, int | str] = {}
        for place in PLACES:
            if isinstance(place.export, str):
                if place.export:
                    places[place.name] = place.export
                continue
            before = len(export.files)
            place.export(export, place.where)
            places[place.name] = len(export.files) - before
        manifest = Manifest(
            persona=name, by=by, exported_at=datetime.now(UTC), version=version("llm-twin-platform"), places=places,
            left_out=export.left_out, files=export.files,
        )  # fmt: skip
        with opened(MANIFEST) as file:
            file.write(manifest.model_dump_json(indent=2).encode())
    return manifest


@contextmanager
def _appearing(target: Path) -> Iterator[Opened]:
    """Files beside the target under a name of their own, for their owner alone, which become it when all went well."""
    staged = target.absolute().with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        if target.suffix == ".zip":
            with private_file(staged) as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    yield lambda path: archive.open(path, "w", force_zip64=True)
                file.flush()
                os.fsync(file.fileno())
        else:
            staged.mkdir(mode=0o700)
            yield lambda path: _file_in(staged, path)
        staged.rename(target)
        sync_folder(staged.parent)
    finally:
        if staged.is_dir():
            shutil.rmtree(staged, ignore_errors=True)
        staged.unlink(missing_ok=True)


@contextmanager
def _file_in(folder: Path, path: str) -> Iterator[IO[bytes]]:
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as file:
        yield file
