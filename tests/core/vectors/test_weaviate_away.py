"""A Weaviate that dies, freezes and comes back while it is asked."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.core.vectors.test_weaviate import at
from tests.support.chunks import CHUNKS, DIMENSIONS, chunk, vector
from tests.support.machine import until
from tests.support.weaviate_double import Double, running
from twin_assets.core.vectors.away import StoreAway, within
from twin_assets.core.vectors.weaviate import WRITE_AT_ONCE
from twin_assets.inference.retrieval.resilient_store import (
    Breaker,
    ResilientVectorStore,
    RetrievalUnavailable,
)

MANY = [chunk(f"n{i}", f"sentence {i}", i % DIMENSIONS) for i in range(5 * WRITE_AT_ONCE)]


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as double:
        yield double


def test_a_sync_whose_server_dies_ends_with_what_was_stored_and_what_is_left(
    double: Double, tmp_path: Path
) -> None:
    store = at(double, tmp_path, weaviate_sync_timeout=10.0)
    double.batches_to_live = 2
    with pytest.raises(StoreAway, match=r"400 of 1,000 chunks were, 600 are left"):
        store.sync(MANY)
    double.start()
    # Nothing in the store says of the last write that it was whole.
    assert store.sync(MANY).model_dump() == {"added": 600, "updated": 200, "deleted": 0, "unchanged": 200}
    store.close()


def test_a_sync_rides_out_a_restart(double: Double, tmp_path: Path) -> None:
    store = at(double, tmp_path)
    double.batches_to_live = 2

    def restart() -> None:
        double.dead.wait()
        until(lambda: double.batches_to_live is None)
        time.sleep(1)
        double.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    assert store.sync(MANY).added == len(MANY)
    restarting.join()
    assert store.count() == len(MANY)
    store.close()


def test_a_sync_rides_out_a_pause_and_a_long_one_ends_it(double: Double, tmp_path: Path) -> None:
    store = at(double, tmp_path, weaviate_sync_timeout=10.0)
    store.sync(CHUNKS)
    with double.frozen(), pytest.raises(StoreAway, match="within"):
        store.sync(MANY)
    assert store.sync(MANY).added == len(MANY)
    store.close()


def test_what_does_not_come_in_time_is_given_up_and_what_fails_in_time_is_told() -> None:
    never = threading.Event()
    with pytest.raises(StoreAway, match=r"0\.1 seconds"):
        within(0.1, never.wait)
    never.set()
    with pytest.raises(TimeoutError, match="its own"):
        within(60, lambda: (_ for _ in ()).throw(TimeoutError("its own")))


def searched(store: ResilientVectorStore) -> list[str]:
    asked = np.array(vector(0), dtype=np.float32)
    return [p.chunk_id for p in store.search("tide", asked, 1, embedder="e1")]


@pytest.mark.parametrize("ill", ["dead", "frozen"])
def test_after_a_failed_search_none_asks_the_server_until_a_probe_was_answered(
    double: Double, tmp_path: Path, ill: str
) -> None:
    filled = at(double, tmp_path)
    filled.sync(CHUNKS)
    filled.close()
    breaker = Breaker(1.0)
    stores = [ResilientVectorStore(lambda: at(double, tmp_path), breaker) for _ in range(2)]
    assert searched(stores[0]) == ["a"]
    if ill == "dead":
        double.die()
    else:
        double.awake.clear()
    with pytest.raises(RetrievalUnavailable):
        searched(stores[0])
    threads, began = threading.active_count(), time.monotonic()
    for _ in range(100):  # would take 100 seconds, each its own budget
        for store in stores:  # they share the server, and what is known of it
            with pytest.raises(RetrievalUnavailable, match="does not answer"):
                searched(store)
    assert time.monotonic() - began < 50
    assert (
        threading.active_count() <= threads + 10
    )  # probes follow one another, and wait for nothing for long
    if ill == "dead":
        double.start()
    else:
        double.awake.set()

    def answered() -> bool:
        try:
            return searched(stores[1]) == ["a"]
        except RetrievalUnavailable:
            return False

    assert until(answered)
    assert searched(stores[0]) == ["a"]
    for store in stores:
        store.forget()
