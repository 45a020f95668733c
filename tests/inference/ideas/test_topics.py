"""Topics that a corpus touches and never wrote about: what is one, what is an idiom, and what was written already."""

from pathlib import Path

import numpy as np
import pytest

from tests.inference.ideas.made_corpus import TEXTS, TOPIC, chunks
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.errors import TwinError
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.storage.library import LIBRARY
from twin_assets.inference.ideas.corpus import Corpus, WrittenAbout, read_corpus
from twin_assets.inference.ideas.topics import find_topics, touched_phrases
from twin_assets.settings import Settings

EMBEDDER = load_embedder("offline-minilm")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(open_lake(Settings(home=tmp_path)))


def read(store: FeatureStore, rows: list[EmbeddedChunk], audience: str = "public") -> Corpus:
    store.write("embeddings", "runa", rows, list[EmbeddedChunk])
    return read_corpus(store, "runa", audience, EMBEDDER.fingerprint)  # type: ignore[arg-type]


def topics(corpus: Corpus) -> list[str]:
    written = WrittenAbout(corpus, EMBEDDER.embed, OFFLINE_MINILM.same_subject)
    return [one.name for one in find_topics(corpus, EMBEDDER.embed, written)]


def test_what_two_texts_touch_and_none_is_about_is_a_topic(store: FeatureStore) -> None:
    corpus = read(store, chunks())
    assert "tide table" in touched_phrases(corpus), "two texts say it"
    found = topics(corpus)
    assert found[0] == TOPIC
    assert not [name for name in found if "run" in name], "an idiom is none, though three texts have it"
    assert not [name for name in found if "tide" in name], "a text of that title is there"


def test_a_text_that_speaks_of_it_throughout_is_about_it(store: FeatureStore) -> None:
    rows = chunks()
    said = " ".join(f"The Decca navigator of boat {n} was blue." for n in range(8))
    rows[8] = rows[8].model_copy(update={"text": said})
    assert TOPIC not in topics(read(store, rows))


def test_a_part_of_a_name_is_named_whole(store: FeatureStore) -> None:
    rows = chunks()
    rows[0] = rows[0].model_copy(
        update={"text": "We sailed past New York in March, and I would see New York again."}
    )
    rows[1] = rows[1].model_copy(
        update={"text": "The fog came in at noon. In New York the ferries stopped too."}
    )
    embedded = EMBEDDER.embed([row.text for row in rows[:2]])
    rows[:2] = [
        row.model_copy(update={"vector": v.tolist()}) for row, v in zip(rows[:2], embedded, strict=True)
    ]
    names = touched_phrases(read(store, rows))
    assert "New York" in names
    assert "York" not in names


def test_only_what_the_audience_may_see_and_the_persona_wrote_counts(store: FeatureStore) -> None:
    closed = chunks(fog="connections")
    assert TOPIC not in topics(read(store, closed))
    assert topics(read(store, closed, "private"))[0] == TOPIC
    library = [c.model_copy(update={"source": LIBRARY}) if c.chunk_id == "fog" else c for c in chunks()]
    corpus = read(store, library)
    assert (len(corpus.passages), TOPIC in topics(corpus)) == (len(TEXTS) - 1, False)


def test_a_written_title_is_known_by_its_words_and_by_its_sense(store: FeatureStore) -> None:
    corpus = read(store, chunks())
    written = WrittenAbout(corpus, EMBEDDER.embed, OFFLINE_MINILM.same_subject)
    titles = ["the tide table", "Practising restores", TOPIC, "Elections in Peru"]
    assert written.which(titles, EMBEDDER.embed(titles)) == [True, True, False, False]


def test_without_writing_or_with_anothers_vectors_the_fix_is_said(store: FeatureStore) -> None:
    with pytest.raises(TwinError, match="no writing that ideas could be made from"):
        read_corpus(store, "runa", "public", EMBEDDER.fingerprint)
    closed = [c.model_copy(update={"visibility": "private"}) for c in chunks()]
    with pytest.raises(TwinError, match="no writing that ideas could be made from"):
        read(store, closed)
    other = [c.model_copy(update={"embedder": "another"}) for c in chunks()]
    with pytest.raises(TwinError, match="embedded by another"):
        read(store, other)


def test_of_one_passage_nothing_can_be_told() -> None:
    passage = Corpus([*read_one()], np.ones((1, 1), np.float32))
    assert find_topics(passage, EMBEDDER.embed, WrittenAbout(passage, EMBEDDER.embed, 0.7)) == []


def read_one() -> list:
    from twin_assets.core.records import Passage

    row = chunks()[0].model_dump(include=set(Passage.model_fields))
    return [Passage.model_validate(row | {"score": 0.0})]
