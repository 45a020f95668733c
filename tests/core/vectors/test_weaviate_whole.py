"""No bad vector enters, no half-written chunk counts, and a sync that says it is done can be searched."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.core.vectors.test_weaviate import at
from tests.support.chunks import CHUNKS, DIMENSIONS, chunk, vector
from tests.support.weaviate_double import Double, running
from twin_assets.core.errors import TwinError
from twin_assets.core.vectors import VectorStore
from twin_assets.core.vectors.weaviate_schema import object_id

COLLECTION = "TwinChunk"
MANY = [chunk(f"n{i}", f"sentence {i}", i % DIMENSIONS) for i in range(50)]
TENANT = COLLECTION, "twin-runa-h"


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as double:
        yield double


def nearest(store: VectorStore, axis: int) -> list[str]:
    asked = np.array(vector(axis), dtype=np.float32)
    return [p.chunk_id for p in store.search("", asked, 3, embedder="e1")]


def test_a_chunk_whose_write_failed_is_written_again_whatever_the_store_holds(
    double: Double, tmp_path: Path
) -> None:
    store = at(double, tmp_path)
    double.refused = {object_id("runa-h", "b"): "the disk is full"}
    with pytest.raises(TwinError, match="the disk is full"):
        store.sync(CHUNKS)
    # As if the process had ended before it could take back what was stored and not indexed.
    props, _ = double.tenants[TENANT][object_id("runa-h", "a")]
    double.tenants[TENANT][object_id("runa-h", "b")] = (
        props | {"chunk_id": "b", "text": CHUNKS[1].text}, np.array(vector(1), dtype=np.float32)
    )  # fmt: skip
    double.unindexed[TENANT] = {object_id("runa-h", "b")}
    double.refused = {}
    assert store.sync(CHUNKS).updated == 3  # all that the failed sync wrote
    assert not double.unindexed[TENANT]
    assert nearest(store, 1)[0] == "b"
    assert store.sync(CHUNKS).unchanged == 3
    store.close()


@pytest.mark.parametrize("damage", ["no vector is indexed", "another length came first"])
def test_an_index_that_can_not_be_searched_is_built_anew_by_the_next_sync(
    double: Double, tmp_path: Path, damage: str
) -> None:
    store = at(double, tmp_path)
    store.sync(MANY)
    objects = double.tenants[TENANT]
    if damage == "no vector is indexed":
        double.unindexed[TENANT] = {i for i, (_, v) in objects.items() if len(v)}
    else:
        for i, (props, v) in objects.items():
            objects[i] = props, v[:2]
    assert store.sync(MANY).added == len(MANY)
    assert not double.unindexed.get(TENANT)
    assert nearest(store, 1)[0] in {"n1", "n9", "n17", "n25", "n33", "n41", "n49"}
    assert store.sync(MANY).unchanged == len(MANY)
    store.close()


def test_a_sync_waits_until_what_it_wrote_is_indexed(double: Double, tmp_path: Path) -> None:
    double.indexed_per_look = 20
    store = at(double, tmp_path)
    assert store.sync(MANY).added == len(MANY)
    assert not double.unindexed[TENANT]
    assert nearest(store, 2)[0] in {c.chunk_id for c in MANY if c.vector == vector(2)}
    store.close()


def test_a_queue_that_stands_still_is_told(double: Double, tmp_path: Path) -> None:
    store = at(double, tmp_path, weaviate_sync_timeout=5.0)
    store.sync(CHUNKS)
    double.queue_stands = True
    double.indexed_per_look = 1
    with pytest.raises(TwinError, match=r"has not indexed \d+ vectors"):
        store.sync([*CHUNKS, *MANY])
    store.close()


def test_a_search_is_one_question_to_the_server(double: Double, tmp_path: Path) -> None:
    store = at(double, tmp_path)
    store.sync(CHUNKS)
    nearest(store, 1)
    before = double.searches
    assert nearest(store, 1)[0] == "b"
    assert double.searches == before + 1
    store.close()
