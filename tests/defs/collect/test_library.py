"""A page that the API added to the library is found by the twin, and is in nothing that a voice is learnt from."""

import re
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from twin_assets.core.persona.definition import load_persona, save_persona
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.storage.library import LIBRARY, add_to_library, library_of, remove_from_library
from twin_assets.core.storage.raw import RawItem, body_hash
from twin_assets.core.vectors import open_store
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources
from twin_assets.settings import ROOT, Settings

STEPS = ["raw_library", "stg_documents", "document_history", "documents", "cleaned_documents", "library_documents",
         "unique_documents", "corpus_split", "chunks", "embeddings", "vector_index"]  # fmt: skip
OTHERS = """The gauge at Kvitnes was moved by eleven metres in 1931, and nobody wrote it down at the time.

Every table printed before that year is therefore wrong by the same amount, which two pilots knew by heart. They told
nobody, since nobody had asked, and the harbour office went on selling the old tables until the paper ran out.

When the surveyors came back they found the bolt of the first gauge under a shed, and the correction was made."""
WRITING = sorted((ROOT / "demo" / "writing" / "medium").glob("*.md"))[:9]


def own(path: Path) -> RawItem:
    text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(), flags=re.DOTALL).strip()
    return RawItem(
        persona="runa", source="medium", item_id=path.stem, category="article", url=f"https://medium.example/{path.stem}",
        title=path.stem, author="Runa", fetched_at=datetime.now(UTC), mime="text/markdown", body=text,
        content_hash=body_hash(text),
    )  # fmt: skip


def test_a_kept_page_is_indexed_unless_it_was_removed_and_never_part_of_the_corpus(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, personas_dir=tmp_path / "personas", profile="smoke")
    settings.personas_dir.mkdir()
    save_persona(settings.personas_dir, {
        "name": "runa", "full_name": "Runa", "about": "x", "license": "CC0", "medium": {"feed": "https://m.example/f"},
    })  # fmt: skip
    lake = open_lake(settings)
    lake.create(
        "raw/medium/runa/one.jsonl", "".join(own(path).model_dump_json() + "\n" for path in WRITING).encode()
    )
    persona = load_persona(settings.personas_dir, "runa")
    for url in ("https://pier.example/a", "https://pier.example/removed"):
        add_to_library(lake, persona, url, OTHERS.replace("Kvitnes", url), "Gauges", "Ada")
    remove_from_library(lake, next(iter(library_of(lake, "runa").values())))
    overrides = {"home": str(tmp_path), "personas_dir": str(settings.personas_dir), "profile": "smoke"}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("personas", ["runa"])
        result = dg.materialize(
            defs.assets,
            instance=instance,
            partition_key="runa",
            resources=build_resources(overrides),
            selection=STEPS,
        )
    assert result.success
    store = FeatureStore(lake)
    corpus, chunks = store.read("corpus_split", "runa"), store.read("chunks", "runa")
    assert len(corpus) > 2
    assert LIBRARY not in {d.source for d in corpus}
    (document,) = store.read("library_documents", "runa")
    assert {document.doc_id: document.url} == {i: item.url for i, item in library_of(lake, "runa").items()}
    kept = [c for c in chunks if c.source == LIBRARY]
    assert kept[0].url == "https://pier.example/a"
    assert open_store(settings, "runa").count() == len(chunks)
