"""A server that others use too: tenants that sleep, platforms that meet, collections that are not ours, and what is gone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.core.vectors.test_weaviate import at
from tests.support.chunks import CHUNKS, vector
from tests.support.weaviate_double import Double, running
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import NotOurs
from twin_assets.core.vectors import VectorStore

TENANT = "TwinChunk", "twin-runa-h"


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as double:
        yield double


def searched(store: VectorStore) -> list[str]:
    return [p.chunk_id for p in store.search("tide", np.array(vector(0), dtype=np.float32), 1, embedder="e1")]


@pytest.mark.parametrize(
    "ask",
    [
        searched,
        lambda store: store.count(),
        lambda store: store.fingerprint(),
        lambda store: store.sync(CHUNKS).unchanged,
        lambda store: store.sync(CHUNKS[:1]).deleted,
        lambda store: store.sync([c.model_copy(update={"title": "new"}) for c in CHUNKS]).updated,
        lambda store: store.erase([CHUNKS[0].doc_id]),
    ],
)
def test_whatever_is_asked_of_a_sleeping_tenant_wakes_it(
    double: Double, tmp_path: Path, ask: Callable[[VectorStore], object]
) -> None:
    store, fresh = at(double, tmp_path), at(double, tmp_path)
    store.sync(CHUNKS)
    for asked in (store, fresh):  # one that saw it awake, and one that never saw it
        double.activity[TENANT] = "INACTIVE"
        assert ask(asked)
        assert double.activity[TENANT] == "ACTIVE"
        double.activity[TENANT] = "INACTIVE"
        asked.reset()
        assert store.sync(CHUNKS).added == len(CHUNKS)
    store.sleep()
    assert double.activity[TENANT] == "INACTIVE"
    assert searched(store) == ["a"]
    for asked in (store, fresh):
        asked.close()


@pytest.mark.parametrize("state", ["OFFLOADED", "OFFLOADING", "ONLOADING"])
def test_a_tenant_in_cold_storage_is_told_as_such(double: Double, tmp_path: Path, state: str) -> None:
    store = at(double, tmp_path)
    store.sync(CHUNKS)
    double.activity[TENANT] = state
    for ask in (lambda: searched(store), lambda: store.sync(CHUNKS)):
        with pytest.raises(TwinError, match=rf"TwinChunk/twin-runa-h is {state}.*set its tenant to ACTIVE"):
            ask()
    store.close()


def test_another_platforms_index_is_refused_with_both_named_and_never_emptied(
    double: Double, tmp_path: Path
) -> None:
    ours, theirs = at(double, tmp_path / "production"), at(double, tmp_path / "staging")
    ours.sync(CHUNKS)
    name = (tmp_path / "production" / "lake" / "platform").read_text()
    other = at(double, tmp_path / "third", platform="third")
    for ask in (lambda: other.sync([]), lambda: other.erase(["doc-a"]), other.reset):
        with pytest.raises(
            NotOurs, match=rf"belongs to the platform {name}, this is third.*TWIN_PLATFORM={name}"
        ):
            ask()
    with pytest.raises(NotOurs, match="TWIN_WEAVIATE_COLLECTION"):
        theirs.sync(CHUNKS[:1])
    assert ours.count() == len(CHUNKS)
    apart = at(double, tmp_path / "staging", weaviate_collection="TwinStaging")
    apart.sync(CHUNKS[:1])
    assert (ours.count(), apart.count()) == (3, 1)
    moved = at(double, tmp_path / "staging", platform=name)
    assert moved.sync(CHUNKS).unchanged == len(CHUNKS)
    for store in (ours, theirs, other, apart, moved):
        store.close()


def test_platforms_that_share_a_lake_are_one(double: Double, tmp_path: Path) -> None:
    one, other = at(double, tmp_path), at(double, tmp_path)
    one.sync(CHUNKS)
    assert other.sync(CHUNKS[:1]).deleted == 2
    one.close()
    other.close()


OTHERS = {
    "has no multi-tenancy": {"vectorConfig": {"default": {"distance": "cosine"}}},
    "has no vector 'default'": {
        "vectorConfig": {"other": {"distance": "cosine"}}, "multiTenancyConfig": {"enabled": True}
    },
    "measures its vectors by l2-squared": {
        "vectorConfig": {"default": {"distance": "l2-squared"}}, "multiTenancyConfig": {"enabled": True}
    },
}  # fmt: skip


@pytest.mark.parametrize("wrong", OTHERS)
def test_a_collection_that_is_not_ours_is_refused_when_it_is_opened(
    double: Double, tmp_path: Path, wrong: str
) -> None:
    made = dict(OTHERS[wrong])
    vectors = {
        name: {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw", "vectorIndexConfig": config}
        for name, config in made.pop("vectorConfig").items()
    }
    double.create({"class": "TwinChunk", "properties": [], "vectorConfig": vectors, **made})
    store = at(double, tmp_path)
    for ask in (lambda: store.sync(CHUNKS), lambda: searched(store), store.reset):
        with pytest.raises(NotOurs, match=rf"TwinChunk on Weaviate .*{wrong}.*TWIN_WEAVIATE_COLLECTION"):
            ask()
    store.close()


@pytest.mark.parametrize("gone", ["tenant", "collection"])
def test_what_is_removed_under_a_store_that_is_open_heals_by_itself(
    double: Double, tmp_path: Path, gone: str
) -> None:
    store = at(double, tmp_path)
    store.sync(CHUNKS)
    assert searched(store) == ["a"]
    del double.tenants[TENANT]
    if gone == "collection":
        del double.schema["TwinChunk"]
    assert (searched(store), store.count(), store.fingerprint()) == ([], 0, None)
    assert store.sync(CHUNKS).added == len(CHUNKS)
    assert searched(store) == ["a"]
    store.close()


def test_a_key_that_may_only_read_is_told_so(tmp_path: Path) -> None:
    with running("sesame") as double:
        store = at(double, tmp_path, weaviate_api_key="sesame")
        store.sync(CHUNKS)
        double.read_only = True
        assert searched(store) == ["a"]
        with pytest.raises(
            TwinError,
            match=r"does not allow this to the key in TWIN_WEAVIATE_API_KEY .*right to read and write",
        ):
            store.sync([c.model_copy(update={"title": "new"}) for c in CHUNKS])
        double.read_only = False
        store.close()
