"""What is a person's own in each place, in open formats, for them to take along; `places` says where, and why a place has none.

Objects of the lake come as they lie there, tables as JSON lines. What is erased is not among it: an export finishes erasures first.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.raw import RawItem, read_items
from twin_assets.inference.twin.request_log import iter_requests
from twin_assets.monitoring.erasure.files import files_below
from twin_assets.monitoring.erasure.people import objects_of
from twin_assets.settings import Settings

CHUNK = 1 << 20
RELEASES = "ledger"


class ExportedFile(Record):
    """`rows` of JSON lines."""

    path: str
    sha256: str
    bytes: int
    rows: int | None = None


class LeftOut(Record):
    what: str
    why: str


class PersonExport:
    """An export that is being written. `opened` makes a file of the export, by its path there."""

    def __init__(
        self, settings: Settings, lake: Lake, name: str, weights: bool, opened: Callable[[str], AbstractContextManager[IO[bytes]]],
    ) -> None:  # fmt: skip
        self.settings, self.lake, self.name, self.weights, self._opened = (
            settings,
            lake,
            name,
            weights,
            opened,
        )
        self.files: list[ExportedFile] = []
        self.left_out: list[LeftOut] = []

    def add(self, path: str, parts: Iterable[bytes]) -> None:
        """Write a file of these parts."""
        digest, size, lines = sha256(), 0, 0
        with self._opened(path) as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
                lines += part.count(b"\n")
        rows = lines if path.endswith(".jsonl") else None
        self.files.append(ExportedFile(path=path, sha256=digest.hexdigest(), bytes=size, rows=rows))

    def leave_out(self, what: str, why: object) -> None:
        self.left_out.append(LeftOut(what=what, why=str(why).strip().partition("\n")[0][:300]))


def objects(export: PersonExport, where: tuple[str, ...]) -> None:
    """Their objects in these folders of the lake."""
    for folder in (one.removeprefix("lake/") for one in where if one.startswith("lake/")):
        for key in objects_of(export.lake, folder, export.name):
            path = f"{folder}/{key.removeprefix(f'{folder}/{export.name}/')}"
            try:
                data = export.lake.read(key)
                parts = _lines(data) if key.endswith(".parquet") else [data]
            except KeyError:
                continue  # it went meanwhile
            except (TwinError, OSError, pa.ArrowException) as error:
                export.leave_out(key, error)
                continue
            export.add(path.replace(".parquet", ".jsonl"), parts)


def _lines(data: bytes) -> list[bytes]:
    rows = pq.read_table(io.BytesIO(data)).to_pylist(maps_as_pydicts="strict")
    return [json.dumps(row, ensure_ascii=False, default=_plain).encode() + b"\n" for row in rows]


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def documents(export: PersonExport, where: tuple[str, ...]) -> None:
    """Every version of everything that was collected, as its source served it, with source, address, author and times."""
    del where

    def items() -> Iterator[RawItem]:
        for key in objects_of(export.lake, "raw", export.name):
            try:
                yield from read_items(export.lake, key)
            except (TwinError, OSError) as error:
                export.leave_out(key, error)

    export.add("documents.jsonl", (item.model_dump_json().encode() + b"\n" for item in items()))


def requests(export: PersonExport, where: tuple[str, ...]) -> None:
    """What was asked of their twin and answered, as far as it is kept."""
    del where
    rows = iter_requests(export.lake, export.name)
    export.add("requests.jsonl", (row.model_dump_json().encode() + b"\n" for row in rows))


def uploads(export: PersonExport, where: tuple[str, ...]) -> None:
    """Files that they brought, as they brought them."""
    for folder in where:
        root = export.settings.home / folder / export.name
        for path in sorted(files_below(root)):
            _file(export, f"{folder}/{path.relative_to(root).as_posix()}", path)


def models(export: PersonExport, where: tuple[str, ...]) -> None:
    """Adapters with their cards, records and tokenizers; of whole models the weights only if they are asked for."""
    del where
    settings = export.settings
    found = Registry(settings).list(export.name) if (settings.bentoml_home / "models").is_dir() else []
    for version in found:
        place = f"models/{version.tag.replace(':', '/')}"
        for path in sorted(files_below(version.path)):
            name = f"{place}/{path.relative_to(version.path).as_posix()}"
            if (
                version.base is None
                and path.suffix in (".safetensors", ".bin", ".pt", ".gguf")
                and not export.weights
            ):
                export.leave_out(name, f"weights of a whole model, {path.stat().st_size / 1e6:.0f} MB: ask for them with --weights")  # fmt: skip
            else:
                _file(export, name, path)
    if settings.registry_url:
        export.leave_out(
            "versions that only the bucket of models has", "fetch them here first, and export again"
        )


def releases(export: PersonExport, where: tuple[str, ...]) -> None:
    """What was proposed, approved, deployed and taken back, by whom and why. Of the other things there, keys' hashes are
    secrets, and thresholds, studies and figures of other models are the platform's."""
    assert f"lake/{RELEASES}" in where
    objects(export, (f"lake/{RELEASES}",))
    others = ", ".join(one.removeprefix("lake/") for one in where if one != f"lake/{RELEASES}")
    export.leave_out(others, "hashes of keys, and figures and state of the platform's: no texts")


def _file(export: PersonExport, name: str, path: Path) -> None:
    def parts() -> Iterator[bytes]:
        with path.open("rb") as file:
            while part := file.read(CHUNK):
                yield part

    try:
        export.add(name, parts())
    except FileNotFoundError:
        export.leave_out(name, "it went meanwhile")
