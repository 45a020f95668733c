"""Data of the Library view: documents and their chunks, dataset versions, the vector index."""

from contextlib import closing
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query

from serving.access.dependencies import Asker, Config, PersonaName
from serving.access.needs import needs
from serving.errors import NotFoundError
from serving.protocol import Name
from twin_assets.core.datasets.erasure import erased_rows
from twin_assets.core.datasets.rows import Kind, Manifest, dataset_folder
from twin_assets.core.datasets.store import latest_version, read_rows
from twin_assets.core.records import Chunk, SplitDocument, UniqueDocument, set_aside
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.feature_store import ROWS, FeatureStore, open_feature_store
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.text.words import first_words
from twin_assets.core.vectors import open_store

SAMPLE_ROWS = 5
LISTED = {
    "doc_id",
    "url",
    "title",
    "source",
    "category",
    "published_at",
    "words",
    "split",
    "language",
    "visibility",
}

router = APIRouter()

Offset = Annotated[int, Query(ge=0, le=10**9)]


@router.get("/ui/api/{persona}/documents")
@needs("admin")
def documents(
    persona: PersonaName,
    asker: Asker,
    q: Annotated[str, Query(max_length=500)] = "",
    source: Name = "",
    category: Name = "",
    since: date | None = None,
    until: date | None = None,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 30,
) -> dict[str, Any]:
    """Documents of the corpus that the caller may see, newest first, whose title or text holds all words of `q`;
    `audience` says how far they are open."""
    everything, words = _latest("corpus_split", persona), q.lower().split()
    corpus = [d for d in everything if asker.may_see(d.visibility)]

    def is_match(document: SplitDocument) -> bool:
        day = document.published_at.date() if document.published_at else None
        return (
            (not source or document.source == source)
            and (not category or document.category == category)
            and (since is None or (day is not None and day >= since))
            and (until is None or (day is not None and day <= until))
            and all(w in f"{document.title or ''}\n{document.voice_text}".lower() for w in words)
        )

    matches = sorted(filter(is_match, corpus), key=lambda d: str(d.published_at or ""), reverse=True)
    return {
        "found": len(matches),
        "all": len(corpus),
        "audience": asker.audience,
        "sources": sorted({d.source for d in corpus}),
        "categories": sorted({d.category for d in corpus}),
        "documents": [
            d.model_dump(include=LISTED) | {"beginning": first_words(d.voice_text, 24)}
            for d in matches[offset : offset + limit]
        ],
    }


@router.get("/ui/api/{persona}/documents/{doc_id}")
@needs("admin")
def document(persona: PersonaName, doc_id: str, asker: Asker) -> dict[str, Any]:
    """One document with its text and the places of its chunks, which are offsets in code points."""
    split = _latest("corpus_split", persona)
    aside = set_aside(_latest("unique_documents", persona), split)
    everything = (*split, *aside, *_latest("library_documents", persona))
    found = next((d for d in everything if d.doc_id == doc_id and asker.may_see(d.visibility)), None)
    if found is None:
        raise NotFoundError(
            f"There is no document {doc_id!r} in the corpus.", "it may have been deleted; ask again."
        )
    chunks = sorted((c for c in _latest("chunks", persona) if c.doc_id == doc_id), key=lambda c: c.start)
    places = [c.model_dump(include={"chunk_id", "heading", "start", "end", "tokens"}) for c in chunks]
    return found.model_dump(include=LISTED | {"removed", "duplicates"}) | {
        "text": found.voice_text,
        "chunks": places,
    }


@router.get("/ui/api/{persona}/index")
@needs("admin")
def index(persona: PersonaName, settings: Config) -> dict[str, Any]:
    """The vector index, and the latest version of each table of the feature store."""
    store = open_feature_store()
    with closing(open_store(settings, persona)) as vectors:
        indexed = {
            "store": settings.vector_store,
            "chunks": vectors.count(),
            "embedder": vectors.fingerprint(),
        }
    tables = {asset: store.versions(asset, persona) for asset in ROWS}
    return {
        "index": indexed,
        "tables": [
            versions[-1].model_dump() | {"asset": asset, "versions": len(versions)}
            for asset, versions in tables.items()
            if versions
        ],
    }


@router.get("/ui/api/{persona}/datasets")
@needs("admin")
def datasets(persona: PersonaName, settings: Config) -> list[dict[str, Any]]:
    """Every finished dataset version with its manifest; `latest` marks the one that training takes."""
    lake, versions = open_lake(settings), []
    for kind in get_args(Kind):
        latest = latest_version(lake, persona, kind)
        for key in lake.keys(f"datasets/{persona}/{kind}"):
            if key.endswith("/manifest.json"):
                manifest = Manifest.model_validate_json(lake.read(key))
                erased = erased_rows(lake, persona, kind, manifest.version)
                versions.append(
                    manifest.model_dump()
                    | {"latest": manifest.version == latest, "erased": len(erased.rows) if erased else 0}
                )
    return sorted(versions, key=lambda d: (d["kind"], not d["latest"], d["version"]))


@router.get("/ui/api/{persona}/datasets/{kind}/{version}/rows")
@needs("admin")
def rows(
    persona: PersonaName,
    kind: Kind,
    version: str,
    settings: Config,
    asker: Asker,
    side: Literal["train", "test", "thumbs"] = "train",
    offset: Offset = 0,
) -> dict[str, Any]:
    """Five of the rows of one side, or of single thumbs, that the caller may see, from `offset` on."""
    lake = open_lake(settings)
    if not lake.exists(f"{dataset_folder(persona, kind, version)}/manifest.json"):
        raise NotFoundError(f"There is no {kind} dataset {version!r}.", "take a version that the list names.")
    visible = [r for r in read_rows(lake, persona, kind, version, side) if asker.may_see(r.visibility)]
    return {"all": len(visible), "rows": visible[offset : offset + SAMPLE_ROWS]}


def _latest(
    asset: Literal["unique_documents", "corpus_split", "library_documents", "chunks"], persona: str
) -> tuple[Any, ...]:
    """Rows of the latest version; none before the first."""
    store = open_feature_store()
    version, erased = store.latest(asset, persona), erased_list(store.lake, persona).documents
    return _rows(asset, persona, version, erased) if version else ()


@lru_cache(maxsize=8)  # a version changes only by an erasure, and a corpus is a few megabytes
def _rows(
    asset: str, persona: str, version: str, erased: frozenset[str]
) -> tuple[UniqueDocument | Chunk, ...]:
    store: FeatureStore = open_feature_store()
    return tuple(store.read(asset, persona, version))
