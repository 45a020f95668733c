"""One contract for every vector store: synced by difference, hybrid, filtered, and true to its embedder."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import lancedb
import numpy as np
import pytest

from tests.support.chunks import CHUNKS, DIMENSIONS, chunk, vector
from tests.support.weaviate_double import running
from twin_assets.core.errors import TwinError
from twin_assets.core.vectors import VectorStore, open_store
from twin_assets.core.vectors.common import BuiltBefore
from twin_assets.core.vectors.findable import findable
from twin_assets.settings import Settings, load_settings

NOT_RUN = (
    "WEAVIATE HALF DID NOT RUN: set TWIN_WEAVIATE_URL (and TWIN_WEAVIATE_API_KEY) to a server for tests."
)

Opener = Callable[[str], VectorStore]


@pytest.fixture(params=["lancedb", "weaviate over a local double", "weaviate"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the store of a persona; afterwards every one is emptied and closed."""
    with ExitStack() as afterwards:
        run = ""
        if request.param == "lancedb":
            settings = Settings(home=tmp_path, vector_store="lancedb")
        elif request.param == "weaviate":
            if "TWIN_WEAVIATE_URL" not in os.environ:
                pytest.skip(NOT_RUN)
            settings = load_settings().model_copy(update={"vector_store": "weaviate"})
            run = f"-{uuid.uuid4().hex[:8]}"  # other people may test on the same server
        else:
            double = afterwards.enter_context(running())
            settings = Settings(
                home=tmp_path, vector_store="weaviate", weaviate_url=f"http://127.0.0.1:{double.http_port}",
                weaviate_grpc_port=double.grpc_port, weaviate_api_key=None,
            )  # fmt: skip

        def open_for(persona: str) -> VectorStore:
            store = open_store(settings, persona + run)
            afterwards.callback(store.close)
            afterwards.callback(store.reset)
            return store

        yield open_for


@pytest.fixture
def store(opener: Opener) -> VectorStore:
    return opener("runa-h")


def found(store: VectorStore, text: str, axis: int, **options: object) -> list[str]:
    passages = store.search(text, np.array(vector(axis), dtype=np.float32), 3, embedder="e1", **options)  # type: ignore[arg-type]
    assert all(0 <= p.score <= 1 for p in passages)
    return [p.chunk_id for p in passages]


def test_sync_makes_the_index_equal_to_the_corpus_and_is_idempotent(store: VectorStore) -> None:
    assert store.sync(CHUNKS).added == 3
    assert store.sync(CHUNKS).model_dump() == {"added": 0, "updated": 0, "deleted": 0, "unchanged": 3}
    changed = [CHUNKS[0], CHUNKS[1].model_copy(update={"title": "Tuesdays"})]
    assert store.sync(changed).model_dump() == {"added": 0, "updated": 1, "deleted": 1, "unchanged": 1}
    assert store.count() == 2


def test_search_finds_by_meaning_by_word_and_what_was_just_added(store: VectorStore) -> None:
    store.sync(CHUNKS[:2])
    assert found(store, "nothing of the kind", 1)[0] == "b"
    assert found(store, "tide", 5, alpha=0.0)[0] == "a"
    store.sync(CHUNKS)
    assert found(store, "logbook", 5, alpha=0.0)[0] == "c"


def test_filters_leave_out_what_does_not_match(store: VectorStore) -> None:
    store.sync(CHUNKS)
    assert "c" not in found(store, "logbook", 2, filters={"split": "train"})
    assert found(store, "logbook", 2)[0] == "c"
    assert found(store, "tide", 0, filters={"category": ["post"]}) == ["c"]
    assert found(store, "tide", 0, filters={"doc_id": "o'clock"}) == []


def test_an_empty_index_finds_nothing(store: VectorStore) -> None:
    assert found(store, "tide", 0) == []
    assert (store.count(), store.fingerprint()) == (0, None)


def test_another_embedder_is_refused_with_both_named(store: VectorStore) -> None:
    store.sync(CHUNKS)
    with pytest.raises(TwinError, match=r"e1.*e2"):
        store.search("tide", np.zeros(DIMENSIONS, dtype=np.float32), 1, embedder="e2")
    with pytest.raises(TwinError, match=r"e1.*e2"):
        store.sync([CHUNKS[0].model_copy(update={"embedder": "e2"})])


def test_chunks_of_two_embedders_are_refused(store: VectorStore) -> None:
    with pytest.raises(TwinError, match=r"e1.*e2"):
        store.sync([CHUNKS[0], CHUNKS[1].model_copy(update={"embedder": "e2"})])


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ([float("nan")] * DIMENSIONS, "length nan"), ([0.0] * DIMENSIONS, "length 0"), ([0.5] * DIMENSIONS, r"length 1\.414"),
        ([1.0, 0.0], "2 numbers"), ([], "0 numbers"), ([float("inf")] * DIMENSIONS, "length inf"),
    ],
)  # fmt: skip
def test_no_bad_vector_enters_and_the_chunk_is_named(store: VectorStore, bad: list[float], told: str) -> None:
    for chunks in (
        [*CHUNKS[:2], chunk("odd", "odd", 0, vector=bad)],
        [chunk("odd", "odd", 0, vector=bad), *CHUNKS],
    ):
        with pytest.raises(TwinError, match=rf"Chunk \w+ has a vector of .*({told}|8 numbers)"):
            store.sync(chunks)
        assert store.count() == 0
    store.sync(CHUNKS)
    with pytest.raises(TwinError, match=rf"Chunk odd has a vector of {told}"):
        store.sync([*CHUNKS, chunk("odd", "odd", 0, vector=bad)])
    assert store.sync(CHUNKS).unchanged == 3


def test_similarity_is_the_cosine_and_only_ranking_weighs_words(store: VectorStore) -> None:
    store.sync(CHUNKS)
    for alpha in (0.0, 0.5, 1.0):
        passages = store.search(
            "tide", np.array(vector(1), dtype=np.float32), 3, embedder="e1", alpha=alpha
        )  # fmt: skip
        near = {p.chunk_id: p.similarity for p in passages}
        assert all(near[i] == pytest.approx(1.0 if i == "b" else 0.0) for i in near)


def test_every_fact_comes_back_and_counts_for_a_change(store: VectorStore) -> None:
    full = chunk(
        "d", "Ærøskøbing 🌊\nnext line", 3, title="T", heading="H", tokens=2**40,
        published_at=datetime(2024, 5, 1, 10, 30, 0, 120000, tzinfo=UTC),
    )  # fmt: skip
    store.sync([full])
    assert store.sync([full]).unchanged == 1
    naive = full.model_copy(update={"published_at": datetime(2024, 5, 1, 10, 30, 0, 120000)})
    assert store.sync([naive]).unchanged == 1
    for change in ({"published_at": None}, {"heading": None}, {"tokens": 1}, {"text": "new"}):
        full = full.model_copy(update=change)
        assert store.sync([full]).updated == 1
    [passage] = store.search("", np.array(vector(3), dtype=np.float32), 3, embedder="e1")
    assert (passage.text, passage.title, passage.heading, passage.doc_id) == ("new", "T", None, "doc-d")


def test_a_filter_without_values_finds_nothing_and_an_unknown_one_is_refused(store: VectorStore) -> None:
    store.sync(CHUNKS)
    assert found(store, "tide", 0, filters={"split": []}) == []
    assert found(store, "tide", 0, filters={"split": "train", "category": ["post", "article"]}) == ["a", "b"]
    with pytest.raises(TwinError, match="colour"):
        found(store, "tide", 0, filters={"colour": "red"})


def test_a_large_sync_goes_in_pieces(store: VectorStore) -> None:
    many = [chunk(f"n{i}", f"sentence {i}", i % DIMENSIONS) for i in range(1201)]
    assert store.sync(many).added == len(many)
    assert store.count() == len(many)
    assert store.sync(many[:1]).model_dump() == {"added": 0, "updated": 0, "deleted": 1200, "unchanged": 1}


def test_an_empty_sync_empties_the_index(store: VectorStore) -> None:
    store.sync(CHUNKS)
    assert store.sync([]).deleted == 3
    assert (store.count(), store.fingerprint()) == (0, None)


def test_personas_do_not_see_each_other(opener: Opener) -> None:
    one, other = opener("runa-h"), opener("peder")
    one.sync(CHUNKS)
    other.sync(CHUNKS[:1])
    other.reset()
    assert (one.count(), other.count()) == (3, 0)


def test_after_a_reset_another_embedder_with_other_dimensions_fits(store: VectorStore) -> None:
    store.sync(CHUNKS)
    store.reset()
    assert store.count() == 0
    store.sync([CHUNKS[0].model_copy(update={"embedder": "e2", "vector": [0.0, 1.0]})])
    assert store.fingerprint() == "e2"


def test_erased_documents_leave_the_index_for_good_and_the_others_are_found_as_before(
    store: VectorStore,
) -> None:
    store.sync(CHUNKS)
    assert store.erase([CHUNKS[0].doc_id, "never-there"]) == sum(c.doc_id == CHUNKS[0].doc_id for c in CHUNKS)
    left = [c for c in CHUNKS if c.doc_id != CHUNKS[0].doc_id]
    assert left
    assert store.count() == len(left)
    assert found(store, left[-1].text, 2)[0] == left[-1].chunk_id
    assert store.sync(left).unchanged == len(left)
    assert store.erase([CHUNKS[0].doc_id]) == 0
    assert store.erase([c.doc_id for c in CHUNKS]) == len(left)
    assert (store.count(), store.fingerprint()) == (0, None)
    assert store.sync(CHUNKS).added == len(CHUNKS)


def test_a_closed_store_opens_again(store: VectorStore) -> None:
    store.sync(CHUNKS)
    store.close()
    store.close()
    assert store.count() == 3


def test_a_store_that_is_kept_open_sees_what_another_writes(opener: Opener) -> None:
    reader, writer = opener("runa-h"), opener("runa-h")
    assert found(reader, "tide", 0) == []
    writer.sync(CHUNKS)
    assert found(reader, "tide", 0)[0] == "a"
    writer.reset()
    writer.sync([CHUNKS[1].model_copy(update={"text": "tide again"})])
    assert found(reader, "tide", 1) == ["b"]


def test_alpha_moves_the_ranking_from_words_to_meaning(store: VectorStore) -> None:
    store.sync(CHUNKS)
    assert found(store, "tide", 1, alpha=0.0)[0] == "a"
    assert found(store, "tide", 1, alpha=0.1)[0] == "a"
    assert found(store, "tide", 1, alpha=0.9)[0] == "b"
    assert found(store, "tide", 1, alpha=1.0)[0] == "b"


CLOSED = [
    chunk("open", "the tide table was late", 0),
    chunk("circle", "the tide table for connections", 0, visibility="connections"),
    chunk("mine", "the tide table of my own", 0, visibility="private"),
]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_an_audience_finds_only_what_it_may_see_by_words_as_by_meaning(
    store: VectorStore, alpha: float
) -> None:
    store.sync(CLOSED)
    assert found(store, "tide table", 0, alpha=alpha) == ["open"]  # nobody in particular is the public
    assert sorted(found(store, "tide table", 0, alpha=alpha, audience="connections")) == ["circle", "open"]
    assert sorted(found(store, "tide table", 0, alpha=alpha, audience="private")) == [
        "circle",
        "mine",
        "open",
    ]


def test_closed_chunks_take_no_places_from_those_that_may_be_seen(store: VectorStore) -> None:
    closed = [chunk(f"c{n}", "the tide table of my own", 0, visibility="private") for n in range(40)]
    store.sync([*closed, chunk("open", "a note on tides", 1)])
    assert found(store, "the tide table of my own", 0) == ["open"]


def test_a_filter_can_not_widen_an_audience(store: VectorStore) -> None:
    store.sync(CLOSED)
    assert found(store, "tide", 0, filters={"visibility": "connections"}) == []
    assert found(store, "tide", 0, filters={"visibility": "connections"}, audience="private") == ["circle"]
    [passage] = store.search("tide", np.array(vector(0), dtype=np.float32), 1, embedder="e1")
    assert (passage.chunk_id, passage.visibility) == ("open", "public")


def test_a_text_that_is_closed_or_opened_is_an_update_of_the_index(store: VectorStore) -> None:
    store.sync(CHUNKS)
    closed = CHUNKS[0].model_copy(update={"visibility": "connections"})
    assert store.sync([closed, *CHUNKS[1:]]).model_dump() == {
        "added": 0,
        "updated": 1,
        "deleted": 0,
        "unchanged": 2,
    }
    assert "a" not in found(store, "tide", 0)
    assert store.sync(CHUNKS).updated == 1
    assert found(store, "tide", 0)[0] == "a"


def test_an_older_lance_index_shows_nothing_until_its_next_sync_says_who_may_see_what(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, vector_store="lancedb")
    store = open_store(settings, "runa")
    store.sync(CLOSED)
    lancedb.connect(settings.vectors_uri).open_table("chunks_runa").drop_columns(["visibility"])
    with pytest.raises(BuiltBefore, match=r"chunks_runa was built before .* materialise vector_index again"):
        found(store, "tide", 0, audience="private")
    assert (store.count(), store.fingerprint()) == (3, "e1")
    # What is private needs no writing: that is what an unknown visibility counts as meanwhile.
    assert store.sync(CLOSED).model_dump() == {"added": 0, "updated": 2, "deleted": 0, "unchanged": 1}
    assert found(store, "tide table", 0) == ["open"]
    assert len(found(store, "tide table", 0, audience="private")) == 3


def test_a_period_keeps_to_what_was_published_in_it(store: VectorStore) -> None:
    march, april = datetime(2021, 3, 9, tzinfo=UTC), datetime(2021, 4, 1, tzinfo=UTC)
    store.sync([CHUNKS[0].model_copy(update={"published_at": march}), CHUNKS[1].model_copy(
        update={"published_at": april}), CHUNKS[2]])  # fmt: skip
    assert sorted(found(store, "tide", 0, filters={"published_from": "2021-03-01"})) == ["a", "b"]
    until = {"published_until": "2021-04-01T02:00:00+02:00"}
    assert found(store, "tide", 0, filters=until) == ["a"]
    assert found(store, "tide", 0, filters=until | {"category": "post"}) == []
    with pytest.raises(TwinError, match="last spring"):
        found(store, "tide", 0, filters={"published_from": "last spring"})


@pytest.mark.parametrize(
    "question",
    [
        '"tide zebra"',
        '"tide" or "zebra"',
        '"tide',
        "'tide'",
        "tide AND zebra",
        "+zebra -tide",
        "tide~2 zebra^3",
    ],
)
def test_no_sign_in_a_question_makes_it_another_kind_of_search(store: VectorStore, question: str) -> None:
    store.sync(CHUNKS)
    assert found(store, question, 1, alpha=0.0) == ["a"]


def test_a_full_text_search_gives_hits_only(store: VectorStore) -> None:
    store.sync(CHUNKS)
    assert found(store, "zebra", 0, alpha=0.0) == []
    assert found(store, "tide zebra", 1, alpha=0.0) == ["a"]


def test_what_the_index_holds_is_found_by_vector_and_by_word(store: VectorStore) -> None:
    same = [chunk(f"same{i}", "the tide table once more", 3) for i in range(30)]
    chunks = [*CHUNKS, *same, chunk("mute", "...", 4), chunk("j", "船長は航海日誌を書いた。", 5)]
    store.sync(chunks)
    told = findable(store, chunks)
    assert told.good
    assert (told.by_vector, told.missed_by_vector) == (20, 0)
    away = [chunk(f"away{i}", "nobody stored this sentence", 6) for i in range(35)]
    told = findable(store, away)
    assert (told.good, told.missed_by_vector, told.missed_by_word) == (False, 20, 20)


SCRIPTS = [
    chunk("j", "冬の終わりに私は航海日誌を隠さずに書いた。", 3), chunk("k", "船長は古い時刻表を読み直した。", 4),
    chunk("l", "กัปตันอ่านตารางเวลาเล่มเก่าก่อนเรือออก", 5), chunk("m", "船长把潮汐表藏在航海日志里。", 6),
]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "expected"),
    [("航海日誌", "j"), ("古い時刻表", "k"), ("ตารางเวลา", "l"), ("潮汐表", "m"), ("late tide", "a")],
)
def test_words_are_found_inside_a_run_of_letters_without_spaces(
    store: VectorStore, question: str, expected: str
) -> None:
    store.sync(CHUNKS)
    store.sync([*CHUNKS, *SCRIPTS])
    assert found(store, question, 7, alpha=0.0)[0] == expected


@pytest.mark.parametrize("question", ["蒸気機関", "รถไฟ", "蒸汽机", "zebra 蒸気"])
def test_words_that_stand_nowhere_find_nothing_in_any_script(store: VectorStore, question: str) -> None:
    store.sync([*CHUNKS, *SCRIPTS])
    assert found(store, question, 3, alpha=0.0) == []


def test_one_text_in_another_script_among_many_is_found_by_its_words(store: VectorStore) -> None:
    store.sync(
        [*(chunk(f"n{i}", f"sentence {i} of a long book", i % DIMENSIONS) for i in range(300)), SCRIPTS[0]]
    )
    assert found(store, "航海日誌", 7, alpha=0.0) == ["j"]


def test_a_lance_index_made_before_words_were_divided_serves_and_is_made_anew_by_its_next_sync(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=tmp_path, vector_store="lancedb")
    store, chunks = open_store(settings, "runa"), [*CHUNKS, *SCRIPTS]
    store.sync(chunks)
    table = lancedb.connect(settings.vectors_uri).open_table("chunks_runa")
    table.drop_columns(["words"])
    table.create_fts_index("text", base_tokenizer="simple")
    assert found(store, "tide", 7, alpha=0.0) == ["a"]
    assert found(store, "時刻表", 7, alpha=0.0) == []
    assert store.sync(chunks).unchanged == len(chunks)
    assert "chunks_runa is made anew" in caplog.text
    assert found(store, "tide", 7, alpha=0.0) == ["a"]
    assert found(store, "時刻表", 7, alpha=0.0) == ["k"]
    caplog.clear()
    table = lancedb.connect(settings.vectors_uri).open_table("chunks_runa")
    for index in table.list_indices():  # as where a sync died before it made them
        table.drop_index(index.name)
    assert store.sync(chunks).unchanged == len(chunks)
    assert found(store, "時刻表", 7, alpha=0.0) == ["k"]
    assert "anew" not in caplog.text
