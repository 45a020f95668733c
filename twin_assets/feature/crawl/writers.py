"""Other people's writing under open licences, fetched to hold a voice against: writers.yaml names whom, and by what leave.

A writer is crawled as a persona's own blog would be, with the same politeness and the same cleaning, on a lake that is
thrown away. What is kept is a folder of Markdown for each, with ATTRIBUTION.txt beside it.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.impostors import ATTRIBUTION, IMPOSTORS
from twin_assets.core.persona.sources import Url
from twin_assets.core.records import CleanedDocument, Document
from twin_assets.core.storage.lake import Lake, LocalLake
from twin_assets.core.storage.raw import read_items
from twin_assets.feature.corpus.cleaning.clean import clean_documents
from twin_assets.feature.crawl.crawl import crawl_source
from twin_assets.settings import Settings

TABLE = Path(__file__).with_name("writers.yaml")
# More words of one writer make the metric no better, and the folder no nicer a guest.
MOST_WORDS = 40_000
MIN_WORDS = 100  # of a piece


class Writer(BaseModel):
    """One person's blog and the licence that lets it be kept."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$")
    author: str = Field(min_length=1, max_length=200)
    licence: str = Field(min_length=2, max_length=200)
    licence_url: Url
    language: str = Field(pattern=r"^[a-z]{2,3}$")
    pages: list[Url] = Field(default=[], max_length=50)
    sitemaps: list[Url] = Field(default=[], max_length=5)


class Fetched(BaseModel):
    """What came of one writer; `error` says why nothing new was kept, and what to do."""

    name: str
    pieces: int = 0
    words: int = 0
    error: str | None = None


def read_writers(table: Path = TABLE) -> list[Writer]:
    """The table's writers. Raises TwinError, which names the entry, for a table that can't be used."""
    try:
        rows = yaml.safe_load(table.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TwinError(
            f"{table} can't be read: {error}.", "name a YAML list like the packaged writers.yaml."
        ) from None
    if not isinstance(rows, list) or not rows:
        raise TwinError(f"{table} holds no list of writers.", "write it like the packaged writers.yaml.")
    writers: list[Writer] = []
    for number, row in enumerate(rows, 1):
        try:
            writer = Writer.model_validate(row)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise TwinError(f"Entry {number} of {table} can't be used: {wrong}.", "mend it there.") from None
        if not writer.pages and not writer.sitemaps:
            raise TwinError(f"{writer.name} in {table} has no address.", "give it `pages:` or `sitemaps:`.")
        if any(writer.name == other.name for other in writers):
            raise TwinError(f"{writer.name} stands twice in {table}.", "give each writer one entry.")
        writers.append(writer)
    return writers


def fetch_writer(settings: Settings, writer: Writer, into: Path, on_line: Callable[[str], None]) -> Fetched:
    """Crawl one writer and put the cleaned pieces into `into/<name>`, in place of what was there.

    What was there stays when nothing came.
    """
    with tempfile.TemporaryDirectory(prefix="twin-writer-") as home:
        # Made anew: a copy would take the folders that were worked out for the installation's home with it.
        own = Settings(**settings.model_dump() | {"home": Path(home), "lake_url": None})
        persona = Persona.model_validate({
            "name": writer.name, "full_name": writer.author, "about": "A writer that personas are told from.",
            "license": writer.licence, "languages": [writer.language],
            "web": {"pages": writer.pages, "sitemaps": writer.sitemaps},
        })  # fmt: skip
        report = crawl_source(own, persona, "web", on_line)
        cleaned = clean_documents(_documents(own, writer.name), [writer.language]).documents
    pieces = list(_enough(sorted(cleaned, key=lambda d: d.doc_id)))
    if not pieces:
        why = report.error or (
            f"{writer.name}: nothing of {MIN_WORDS} words or more came. "
            "Fix: check its addresses in the table of writers."
        )
        return Fetched(name=writer.name, error=why)
    _write(writer, pieces, into)
    return Fetched(name=writer.name, pieces=len(pieces), words=sum(d.words for d in pieces))


def keep_in_lake(lake: Lake, folder: Path) -> None:
    """A fetched folder as objects of the lake, in place of what was there."""
    place = f"{IMPOSTORS}/{folder.name}"
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for key in set(lake.keys(place)) - {f"{place}/{path.name}" for path in files}:
        lake.delete(key)
    for path in files:
        lake.write(f"{place}/{path.name}", path.read_bytes())


def _documents(settings: Settings, name: str) -> Iterator[Document]:
    lake = LocalLake(settings.lake_dir)
    for key in lake.keys(f"raw/web/{name}"):
        for item in read_items(lake, key):
            if item.kind == "item":
                yield Document.model_validate(item.model_dump() | {"doc_id": item.item_id})


def _enough(documents: list[CleanedDocument]) -> Iterator[CleanedDocument]:
    words = 0
    for document in documents:
        if document.words >= MIN_WORDS and document.category != "code" and words < MOST_WORDS:
            words += document.words
            yield document


def _write(writer: Writer, pieces: list[CleanedDocument], into: Path) -> None:
    """The folder whole or not at all: it is made beside its place and moved there."""
    into.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{writer.name}-", dir=into))
    try:
        for number, piece in zip(count(1), pieces, strict=False):
            (made / f"{number:03}.md").write_text(piece.voice_text.strip() + "\n", encoding="utf-8")
        listed = "".join(
            f"{n:03}.md  {piece.title or 'untitled'}  {piece.url}\n" for n, piece in enumerate(pieces, 1)
        )
        (made / ATTRIBUTION).write_text(
            f"Author: {writer.author}\nLicence: {writer.licence}, see {writer.licence_url}\n"
            f"Fetched: {datetime.now(UTC):%Y-%m-%d}\n"
            "Changed: boilerplate of the site and personal data were taken out.\n\n"
            f"{listed}",
            encoding="utf-8",
        )  # fmt: skip
        made.chmod(0o755)
        place = into / writer.name
        if place.exists():
            shutil.rmtree(place)
        made.rename(place)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
