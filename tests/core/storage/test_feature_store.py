"""Every version is kept, found by name, and read as what it was."""

from pathlib import Path

import pytest

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Chunk
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import LocalLake


def chunk(number: int) -> Chunk:
    text = f"Text {number}."
    return Chunk(
        chunk_id=str(number), doc_id="d", persona="runa", source="web", category="article", url="https://x",
        text=text, start=0, end=len(text), tokens=2, split="train", content_hash=text,
    )  # fmt: skip


def test_versions_are_kept_in_order_and_the_latest_is_read_unless_one_is_named(tmp_path: Path) -> None:
    store = FeatureStore(LocalLake(tmp_path))
    for rows in ([chunk(1)], [chunk(1), chunk(2)], [chunk(1), chunk(2)], [chunk(1)]):
        store.write("chunks", "runa", rows, list[Chunk])
    versions = store.versions("chunks", "runa")
    assert [v.rows for v in versions] == [1, 2, 1]
    assert versions[0].name == versions[2].name
    assert store.read("chunks", "runa") == [chunk(1)]
    assert store.read("chunks", "runa", versions[1].name) == [chunk(1), chunk(2)]
    assert store.table("chunks", "runa", versions[1].name).num_rows == 2
    assert len(list((tmp_path / "feature_store/chunks/runa").glob("*.parquet"))) == 2


def test_a_writer_that_is_killed_before_it_sets_the_pointer_is_finished_by_the_next(tmp_path: Path) -> None:
    store = FeatureStore(lake := LocalLake(tmp_path))
    store.write("chunks", "runa", [chunk(1)], list[Chunk])
    pointer = lake.read("feature_store/chunks/runa/latest.json")
    store.write("chunks", "runa", [chunk(2)], list[Chunk])
    lake.write("feature_store/chunks/runa/latest.json", pointer)  # as the kill leaves it
    store.write("chunks", "runa", [chunk(2)], list[Chunk])
    assert store.read("chunks", "runa") == [chunk(2)]
    assert len(store.versions("chunks", "runa")) == 2


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    store = FeatureStore(LocalLake(tmp_path))
    with pytest.raises(TwinError, match="never materialised"):
        store.read("chunks", "runa")
    store.write("chunks", "runa", [chunk(1)], list[Chunk])
    with pytest.raises(TwinError, match=r"no version nope.*use one of: \w+\.parquet"):
        store.read("chunks", "runa", "nope.parquet")
    with pytest.raises(TwinError, match="'sft_model' has no rows"):
        store.read("sft_model", "runa")
