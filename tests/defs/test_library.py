"""A page that the API added to the library is found by the twin, and is in nothing that a voice is learnt from."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from twin_assets.core.feature_store import FeatureStore
from twin_assets.core.lake import open_lake
from twin_assets.core.library import LIBRARY, add_to_library
from twin_assets.core.persona import load_persona, save_persona
from twin_assets.core.raw import RawItem, body_hash
from twin_assets.core.vectors import open_store
from twin_assets.definitions import defs
from twin_assets.defs.resources import build_resources
from twin_assets.settings import Settings

STEPS = ["raw_library", "stg_documents", "document_history", "documents", "cleaned_documents", "library_documents",
         "unique_documents", "corpus_split", "chunks", "embeddings", "vector_index"]  # fmt: skip
OTHERS = (
    "The gauge at Kvitnes was moved by eleven metres in 1931. "
    + "Two surveyors wrote it down years later. " * 8
)


def own(number: int) -> RawItem:
    text = (
        f"Entry {number} of my log about boat {number * 7}. "
        + f"Today engine {number} was late and the pilot {number} waited. " * 6
    )
    return RawItem(
        persona="runa", source="medium", item_id=f"m{number}", category="article", url=f"https://medium.example/{number}",
        title=f"Log {number}", author="Runa", fetched_at=datetime.now(UTC), mime="text/markdown", body=text,
        content_hash=body_hash(text),
    )  # fmt: skip


def test_a_kept_page_is_indexed_and_never_part_of_the_corpus(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, personas_dir=tmp_path / "personas", profile="smoke")
    settings.personas_dir.mkdir()
    save_persona(settings.personas_dir, {
        "name": "runa", "full_name": "Runa", "about": "x", "license": "CC0", "medium": {"feed": "https://m.example/f"},
    })  # fmt: skip
    lake = open_lake(settings)
    lake.create(
        "raw/medium/runa/one.jsonl", "".join(own(n).model_dump_json() + "\n" for n in range(10)).encode()
    )
    add_to_library(
        lake, load_persona(settings.personas_dir, "runa"), "https://pier.example/a", OTHERS, "Gauges", "Ada"
    )
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
    assert [d.title for d in store.read("library_documents", "runa")] == ["Gauges"]
    kept = [c for c in chunks if c.source == LIBRARY]
    assert kept[0].url == "https://pier.example/a"
    assert open_store(settings, "runa").count() == len(chunks)
