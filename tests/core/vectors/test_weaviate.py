"""Weaviate's own side: its schema, and what a person reads when the server is missing, closed or refuses."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from weaviate.classes.config import DataType, Tokenization

from tests.support.chunks import CHUNKS, chunk, vector
from tests.support.machine import PATIENCE, free_port
from tests.support.weaviate_double import Double, running
from twin_assets.core.errors import TwinError
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.vectors import VectorStore, open_store, weaviate_schema
from twin_assets.core.vectors import weaviate_connection as connection
from twin_assets.core.vectors.common import WORDS, BuiltBefore
from twin_assets.core.vectors.weaviate_schema import MADE, OWNER, object_id, properties
from twin_assets.settings import Settings

COLLECTION = "TwinChunk"
KEY = "sesame-1234"


def settings(home: Path, **changes: Any) -> Settings:
    base: dict[str, Any] = {
        "home": home,
        "vector_store": "weaviate",
        "weaviate_url": None,
        "weaviate_api_key": None,
    }
    return Settings(**(base | changes))


def at(double: Double, home: Path, persona: str = "runa-h", **changes: Any) -> VectorStore:
    url, port = f"http://127.0.0.1:{double.http_port}", double.grpc_port
    return open_store(
        settings(home, **({"weaviate_url": url, "weaviate_grpc_port": port} | changes)), persona
    )


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture
def afterwards() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_chunks_stored_before_their_words_were_divided_are_written_anew_by_the_next_sync(
    double: Double, tmp_path: Path, afterwards: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    store = at(double, tmp_path)
    afterwards.callback(store.close)
    chunks = [*CHUNKS, chunk("k", "船長は古い時刻表を読み直した。", 4)]
    asked = np.array(vector(7), dtype=np.float32)
    with monkeypatch.context() as before:
        before.setattr(weaviate_schema, "DIVIDED", "")
        before.setattr(weaviate_schema, "spaced", lambda text: text)
        store.sync(chunks)
    assert store.search("時刻表", asked, 3, embedder="e1", alpha=0.0) == []
    assert store.sync(chunks).model_dump() == {"added": 0, "updated": 1, "deleted": 0, "unchanged": 3}
    assert "1 chunks are written anew, with the words of their script" in caplog.text
    assert [p.chunk_id for p in store.search("時刻表", asked, 3, embedder="e1", alpha=0.0)] == ["k"]
    assert store.sync(chunks).unchanged == len(chunks)


def test_an_older_collection_shows_nothing_until_the_next_sync_says_who_may_see_what(
    double: Double, tmp_path: Path, afterwards: ExitStack
) -> None:
    store, other = at(double, tmp_path), at(double, tmp_path, persona="peder")
    afterwards.callback(store.close)
    afterwards.callback(other.close)
    store.sync(CHUNKS)
    for name in ("visibility", MADE):
        double.forget_property(COLLECTION, name)
    store.close()
    store = at(double, tmp_path)
    afterwards.callback(store.close)

    def search() -> list[str]:
        asked = np.array(vector(0), dtype=np.float32)
        return [p.chunk_id for p in store.search("tide", asked, 3, embedder="e1", audience="private")]

    with pytest.raises(BuiltBefore, match=r"built before .* materialise vector_index again"):
        search()
    other.sync(CHUNKS[:1])  # the collection is shared: it has the property now, but ours have no value
    with pytest.raises(BuiltBefore):
        search()
    assert store.sync(CHUNKS).updated == len(CHUNKS)
    assert search()[0] == "a"


def test_the_schema_types_every_field_of_a_chunk() -> None:
    by_name = {p.name: p for p in properties()}
    assert set(by_name) - {WORDS, MADE, OWNER} == set(EmbeddedChunk.model_fields) - {"vector"}
    assert [n for n, p in by_name.items() if p.indexSearchable] == ["text", WORDS]
    assert by_name["text"].tokenization == Tokenization.WORD
    assert by_name[WORDS].tokenization == Tokenization.LOWERCASE
    for name in ("chunk_id", "doc_id", "split", "category", "url", "embedder", "title"):
        assert by_name[name].tokenization == Tokenization.FIELD
        assert by_name[name].indexFilterable
    assert by_name["published_at"].dataType == DataType.DATE
    assert {n for n, p in by_name.items() if p.dataType == DataType.INT} == {"start", "end", "tokens"}


def test_what_the_server_is_given_is_multi_tenant_cosine_hnsw(double: Double, tmp_path: Path) -> None:
    store = at(double, tmp_path)
    store.sync(CHUNKS)
    made = double.schema[COLLECTION]
    assert made["multiTenancyConfig"]["enabled"]
    assert made["vectorConfig"]["default"]["vectorizer"] == {"none": {}}
    assert made["vectorConfig"]["default"]["vectorIndexType"] == "hnsw"
    assert made["vectorConfig"]["default"]["vectorIndexConfig"]["distance"] == "cosine"
    assert set(double.tenants) == {(COLLECTION, "twin-runa-h")}
    assert object_id("runa-h", "a") in double.tenants[COLLECTION, "twin-runa-h"]
    store.close()


def test_a_field_added_to_chunks_later_is_added_to_the_collection(double: Double, tmp_path: Path) -> None:
    store = at(double, tmp_path)
    store.sync(CHUNKS)
    made = double.schema[COLLECTION]["properties"]
    made[:] = [p for p in made if p["name"] != "heading"]
    store.sync([CHUNKS[0].model_copy(update={"heading": "Tides"})])
    [added] = [p for p in made if p["name"] == "heading"]
    assert (added["dataType"], added["tokenization"]) == (["text"], "field")
    store.close()


def test_objects_that_fail_are_counted_with_the_first_reason(double: Double, tmp_path: Path) -> None:
    store = at(double, tmp_path)
    store.sync(CHUNKS[:1])
    double.refused = {object_id("runa-h", "b"): "shard is read-only"}
    with pytest.raises(TwinError, match=r"did not store 1 of 2 chunks.*shard is read-only"):
        store.sync(CHUNKS)
    assert store.count() == 2
    double.refused = {}
    assert store.sync(CHUNKS).model_dump() == {"added": 1, "updated": 1, "deleted": 0, "unchanged": 1}
    with pytest.raises(TwinError, match="vector lengths"):
        store.search("tide", np.ones(3, dtype=np.float32), 1, embedder="e1")
    store.close()


def test_stores_share_one_connection_until_the_last_is_closed(double: Double, tmp_path: Path) -> None:
    stores = [at(double, tmp_path) for _ in range(2)]
    threads = [threading.Thread(target=s.count) for s in stores * 3]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    [shared] = connection.CONNECTIONS._open.values()
    assert shared.users == 2
    assert (client := shared.client)
    stores[0].close()
    assert client.is_connected()
    stores[1].close()
    assert not client.is_connected()
    assert not connection.CONNECTIONS._open


def test_a_missing_url_is_named(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match="TWIN_WEAVIATE_URL"):
        open_store(settings(tmp_path), "runa")


@pytest.mark.parametrize(
    "url", ["host:8080", "ftp://host", "http://", "http://u:p@host", "http://host/weaviate", "http://host:50051", "http://host:x"],
)  # fmt: skip
def test_a_url_that_can_not_be_is_refused_without_quoting_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(TwinError, match="TWIN_WEAVIATE_URL") as caught:
        open_store(settings(tmp_path, weaviate_url=url), "runa")
    assert url.partition("//")[2] == "" or url not in str(caught.value)


def test_weaviate_cloud_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match="TWIN_WEAVIATE_API_KEY"):
        open_store(settings(tmp_path, weaviate_url="https://twin.c0.weaviate.cloud"), "runa")


def test_a_server_that_is_down_is_named_and_not_waited_for(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    store = open_store(settings(tmp_path, weaviate_url=url), "runa")
    start = time.monotonic()
    with pytest.raises(TwinError, match=f"{url}.*TWIN_WEAVIATE_URL"):
        store.sync(CHUNKS)
    assert (
        time.monotonic() - start < PATIENCE / 3
    )  # it ends by itself: a client of Weaviate would wait for ever
    store.close()
    assert url not in {server.url for server in connection.CONNECTIONS._open}


def test_a_closed_grpc_port_is_named_and_not_waited_for(tmp_path: Path) -> None:
    with running() as double:
        store = at(double, tmp_path, weaviate_grpc_port=(closed := free_port()))
        start = time.monotonic()
        with pytest.raises(TwinError, match=rf"gRPC port {closed}.*TWIN_WEAVIATE_GRPC_PORT"):
            store.count()
        assert time.monotonic() - start < PATIENCE / 3


@pytest.mark.parametrize("key", [None, "wrong-key-99"])
def test_a_refused_key_is_named_and_never_shown(tmp_path: Path, key: str | None) -> None:
    with running(KEY) as double:
        store = at(double, tmp_path, weaviate_api_key=key)
        with pytest.raises(TwinError, match=r"refused.*TWIN_WEAVIATE_API_KEY") as caught:
            store.count()
    assert f"127.0.0.1:{double.http_port}" in str(caught.value)
    assert caught.value.__cause__ is None
    assert key is None or key not in str(caught.value)


@pytest.mark.parametrize("key", ["secret\nkey", "secret key", "secrét"])
def test_a_malformed_key_is_refused_before_it_is_sent(tmp_path: Path, key: str) -> None:
    with pytest.raises(TwinError, match="TWIN_WEAVIATE_API_KEY") as caught:
        open_store(settings(tmp_path, weaviate_url="http://host:8080", weaviate_api_key=key), "runa")
    assert "secr" not in str(caught.value)


def test_a_key_that_the_server_revokes_later_is_named_too(tmp_path: Path) -> None:
    with running(KEY) as double:
        store = at(double, tmp_path, weaviate_api_key=KEY)
        store.sync(CHUNKS)
        double.key = "another"
        with pytest.raises(TwinError, match=r"refused.*TWIN_WEAVIATE_API_KEY") as caught:
            store.search("tide", np.array(vector(0), dtype=np.float32), 1, embedder="e1")
        assert KEY not in str(caught.value)
        double.key = KEY
        assert store.count() == 3
        store.close()


def test_the_right_key_opens_rest_and_grpc(tmp_path: Path) -> None:
    with running(KEY) as double:
        store = at(double, tmp_path, weaviate_api_key=f"{KEY}\n")
        assert store.sync(CHUNKS).added == 3
        query = np.array(vector(0), dtype=np.float32)
        assert store.search("tide", query, 1, embedder="e1")[0].chunk_id == "a"
        store.close()


def test_an_embedded_weaviate_that_can_not_start_says_what_to_do(tmp_path: Path) -> None:
    with running() as double:  # takes the port that the embedded one would need
        store = open_store(
            settings(tmp_path, weaviate_url="embedded", weaviate_grpc_port=double.grpc_port), "runa"
        )
        with pytest.raises(TwinError, match=r"embedded Weaviate did not start.*TWIN_WEAVIATE_URL"):
            store.count()
