"""The feature store: every version of what the feature pipeline makes, by asset and persona.

    from twin_assets.core.storage.feature_store import open_feature_store

    store = open_feature_store()
    chunks = store.read("chunks", "runa")  # a list of records
    for version in store.versions("chunks", "runa"):
        print(version.made_at, version.name, version.rows)
    store.table("corpus_split", "runa", version.name)  # the same as an Arrow table

A version is named by its content, so that the same rows are stored once; nothing is ever overwritten, but where a
document was erased for good: its rows leave every version.
"""

import io
import secrets
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import IO, Any, TypeVar, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import (
    Chunk,
    CleanedDocument,
    EmbeddedChunk,
    Record,
    SplitDocument,
    UniqueDocument,
    to_table,
)
from twin_assets.core.row_file import RowFile
from twin_assets.core.storage.erased import erased_list, settle
from twin_assets.core.storage.lake import Lake, open_lake
from twin_assets.settings import load_settings

R = TypeVar("R", bound=Record)
# What the rows of an asset are.
ROWS: dict[str, type[Record]] = {
    "cleaned_documents": CleanedDocument,
    "unique_documents": UniqueDocument,
    "corpus_split": SplitDocument,
    "library_documents": SplitDocument,
    "chunks": Chunk,
    "embeddings": EmbeddedChunk,
}


class StoredVersion(Record):
    """One version as it was stored. `rows` is None for what is no table."""

    name: str
    made_at: datetime
    rows: int | None = None


class FeatureStore:
    """Values by asset and persona: lists of records as Parquet, single records and strings as JSON."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def write(self, asset: str, persona: str, value: Any, kind: Any) -> str:
        """Store a value of type `kind` (list[Record], RowFile[Record], a Record, or str) and make it the latest; its URI.

        Rows of documents that were erased, also meanwhile, do not stay.
        """
        erased = erased_list(self.lake, persona)
        if isinstance(value, list):
            value = _file_of(get_args(kind)[0]).of(value)
        if isinstance(value, RowFile):
            value = value.without(erased.documents)
        data, name = _encode(value)
        folder, key = _folder(asset, persona), f"{_folder(asset, persona)}/{name}"
        if not self.lake.exists(key):
            self.lake.write(key, data)
        if self.latest(asset, persona) != name:
            rows = len(value) if isinstance(value, RowFile) else None
            made = StoredVersion(name=name, made_at=datetime.now(UTC), rows=rows)
            stamp = made.made_at.strftime("%Y%m%dT%H%M%S%f")
            record = made.model_dump_json().encode()
            # A writer that was killed before it set the pointer has left its record: the version came once.
            if self._newest(asset, persona) != name:
                self.lake.create(f"{folder}/history/{stamp}-{secrets.token_hex(2)}.json", record)
            self.lake.write(f"{folder}/latest.json", f'{{"version": "{name}"}}'.encode())
        if erased_list(self.lake, persona) != erased:
            settle(self.lake, persona, lambda listed: self.take_out(persona, listed.documents, (asset,)))
        return self.lake.uri(key)

    def load(self, asset: str, persona: str, kind: Any, version: str | None = None) -> Any:
        """A version, the latest when unnamed, as `kind`: a RowFile is read from this machine's disk, a page at a time, and
        a list is held. Raises TwinError when there is none."""
        name = version or self._made(asset, persona)
        try:
            key = f"{_folder(asset, persona)}/{name}"
            if not (args := get_args(kind)) and not _is_rows(kind):
                data = self.lake.read(key)
                return data.decode() if kind is str else kind.model_validate_json(data)
            rows = kind if _is_rows(kind) else _file_of(args[0])
            found = rows(self.lake.open(key), name.removesuffix(".parquet"))
            found = found.without(erased_list(self.lake, persona).documents)
            return list(found) if args else found
        except KeyError:
            names = ", ".join(sorted({v.name for v in self.versions(asset, persona)})) or "none"
            raise TwinError(
                f"{asset} of {persona!r} has no version {name}.", f"use one of: {names}."
            ) from None

    def _made(self, asset: str, persona: str) -> str:
        """The latest version. Raises TwinError when there is none."""
        if (version := self.latest(asset, persona)) is None:
            raise TwinError(f"{asset} of {persona!r} was never materialised.", "materialise it first.")
        return version

    def read(self, asset: str, persona: str, version: str | None = None) -> list[Any]:
        """The records of a version, the latest when unnamed."""
        if asset not in ROWS:
            raise TwinError(f"{asset!r} has no rows to read.", f"use one of: {', '.join(ROWS)}.")
        kind: Any = ROWS[asset]
        return list(self.load(asset, persona, list[kind], version))

    def table(self, asset: str, persona: str, version: str | None = None) -> pa.Table:
        """The same as an Arrow table."""
        return to_table(self.read(asset, persona, version), ROWS[asset])

    def columns(self, asset: str, persona: str, names: list[str]) -> pa.Table:
        """Some columns of the latest version, without a record a row: vectors as they lie in the file. Raises TwinError when there
        is none, and for a version from before one of the columns."""
        version = self._made(asset, persona)
        try:
            data = self.lake.read(f"{_folder(asset, persona)}/{version}")
            table = pq.read_table(io.BytesIO(data), columns=[*{*names, "doc_id"}])
            erased = pa.array(erased_list(self.lake, persona).documents, pa.string())
            return table.filter(pc.invert(pc.is_in(table["doc_id"], erased))).select(names)
        except (KeyError, pa.ArrowInvalid) as error:
            raise TwinError(
                f"{asset} of {persona!r} can't be read: {str(error)[:200]}", "materialise it again."
            ) from None

    def versions(self, asset: str, persona: str) -> list[StoredVersion]:
        """Every version that was ever the latest, oldest first; one may come back."""
        keys = self.lake.keys(f"{_folder(asset, persona)}/history")
        return [StoredVersion.model_validate_json(self.lake.read(key)) for key in keys]

    def take_out(self, persona: str, documents: Collection[str], assets: Iterable[str] = ROWS) -> int:
        """Take the rows of these documents out of every version, which keeps its name; how many rows."""
        taken, gone = 0, pa.array(documents, pa.string())
        for asset in assets:
            for key in list(self.lake.keys(_folder(asset, persona))):
                if not key.endswith(".parquet"):
                    continue
                lost = 0

                def left(data: bytes) -> bytes | None:
                    nonlocal lost
                    table = pq.read_table(io.BytesIO(data))
                    staying = table.filter(pc.invert(pc.is_in(table["doc_id"], gone)))
                    lost = len(table) - len(staying)
                    return _parquet(staying) if lost else None

                self.lake.update(key, left)
                taken += lost
        return taken

    def rows_of(self, persona: str, document: str) -> list[dict[str, Any]]:
        """What any version says of a document, erased or not."""
        rows: list[dict[str, Any]] = []
        for asset in ROWS:
            for key in self.lake.keys(_folder(asset, persona)):
                if key.endswith(".parquet"):
                    table = pq.read_table(io.BytesIO(self.lake.read(key)))
                    rows += table.filter(pc.equal(table["doc_id"], document)).to_pylist()
        return rows

    def latest(self, asset: str, persona: str) -> str | None:
        """Name of the latest version; None before the first."""
        try:
            pointer = self.lake.read(f"{_folder(asset, persona)}/latest.json")
        except KeyError:
            return None
        return _Pointer.model_validate_json(pointer).version

    def _newest(self, asset: str, persona: str) -> str | None:
        """Name of the version that the history has last; None for an empty one."""
        keys = list(self.lake.keys(f"{_folder(asset, persona)}/history"))
        return StoredVersion.model_validate_json(self.lake.read(keys[-1])).name if keys else None


class _Pointer(Record):
    version: str


def open_feature_store() -> FeatureStore:
    """The feature store of this installation, by its settings."""
    return FeatureStore(open_lake(load_settings()))


def _folder(asset: str, persona: str) -> str:
    return f"feature_store/{asset}/{persona}"


def _encode(value: Any) -> tuple[bytes | IO[bytes], str]:
    if isinstance(value, RowFile):
        value.file.seek(0)
        return value.file, f"{value.version}.parquet"
    data = value.encode() if isinstance(value, str) else value.model_dump_json().encode()
    return data, f"{text_hash(data.decode())}.json"


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _file_of(kind: Any) -> Any:
    return RowFile[kind]


def _is_rows(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, RowFile)
