"""No bad vector enters, no half-written chunk counts, and a sync that says it is done can be searched."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weaviate.util import generate_uuid5

from tests.core.vectors.test_weaviate import at
from tests.support.chunks import CHUNKS, DIMENSIONS, chunk, vector
from tests.support.weaviate_double import Double, running
from twin_assets.core.errors import TwinError
from twin_assets.core.vectors import VectorStore
from twin_assets.core.vectors.weaviate_difference import Digest, first_of, part_of, runs
from twin_assets.core.vectors.weaviate_schema import DIVIDED, MADE, mark_id, object_id

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


MORE = [chunk(f"m{i}", f"sentence {i}", i % DIMENSIONS) for i in range(600)]


def test_a_sync_reads_only_where_something_is_new(double: Double, tmp_path: Path) -> None:
    store = at(double, tmp_path)
    store.sync(MORE)
    read = double.listed
    assert store.sync(MORE).unchanged == len(MORE)
    assert double.listed - read < 10  # some chunk's embedder, and the tenant's mark
    edited = [chunk("m7", "another sentence", 7), *MORE[:7], *MORE[8:-1], chunk("new", "a new one", 1)]
    report = store.sync(edited)
    assert (report.added, report.updated, report.deleted, report.unchanged) == (1, 1, 1, len(MORE) - 2)
    assert double.listed - read < 300  # of 600
    again = at(double, tmp_path)
    assert again.sync(edited).unchanged == len(edited)
    assert again.count() == len(edited)
    store.close()
    again.close()


def test_a_tenant_that_holds_another_number_than_it_said_is_read_whole(
    double: Double, tmp_path: Path
) -> None:
    store = at(double, tmp_path)
    store.sync(MORE)
    del double.tenants[TENANT][object_id("runa-h", "m3")]
    assert store.sync(MORE).added == 1
    store.erase([MORE[5].doc_id])
    missing = len(MORE) - store.count()
    assert missing
    assert store.sync(MORE).added == missing
    assert store.count() == len(MORE)
    store.close()


def test_a_tenant_that_another_process_writes_is_not_said_to_be_whole(double: Double, tmp_path: Path) -> None:
    store = at(double, tmp_path)
    store.sync(MANY)
    mark, _ = double.tenants[TENANT][mark_id("runa-h")]
    whole = mark[MADE]
    double.on_batch = lambda objects: objects[mark_id("runa-h")][0].update({MADE: "other.1"})
    store.sync([*MANY, chunk("one", "more", 2)])
    double.on_batch = None
    mark, _ = double.tenants[TENANT][mark_id("runa-h")]
    assert whole.startswith(":")
    assert mark[MADE] == "other.1"
    read = double.listed
    assert store.sync([*MANY, chunk("one", "more", 2)]).unchanged == len(MANY) + 1
    assert double.listed - read > len(MANY)  # all of it
    store.close()


@given(st.dictionaries(st.integers(0, 2**128 - 1), st.text("0123456789abcdef", min_size=24, max_size=24)))
def test_a_digest_tells_parts_apart_and_comes_back(told: dict[int, str]) -> None:
    digest = Digest.of(told.items())
    assert Digest.read(digest.written()) == digest
    for number, made in told.items():
        other = Digest.of((told | {number: f"{made}{DIVIDED}"}).items())
        assert digest.differing(other) == {part_of(number)}
        assert first_of(part_of(number)) <= number < first_of(part_of(number) + 1)


@pytest.mark.parametrize("text", ["", "no", "AAAA", "é", "A" * 32])
def test_what_is_no_digest_is_none(text: str) -> None:
    assert Digest.read(text) is None


def test_parts_that_follow_each_other_are_one_run() -> None:
    assert [*runs({5, 1, 2, 3, 9})] == [(1, 3), (5, 5), (9, 9)]
    assert [*runs([])] == []


@given(st.text(), st.text())
def test_ids_are_those_of_the_servers_own_client(persona: str, chunk_id: str) -> None:
    assert str(object_id(persona, chunk_id)) == generate_uuid5(f"{persona}/{chunk_id}")
