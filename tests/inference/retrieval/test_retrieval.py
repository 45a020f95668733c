"""Retrieval stage by stage, and together over a real index."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.evaluation_factories import runa
from tests.support.planner_double import PlannerDouble
from twin_assets.core.embedding.embedder import Embedder, load_embedder, search_view
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import SOURCES
from twin_assets.core.persona.retrieval_options import RetrievalOptions
from twin_assets.core.records import EmbeddedChunk, Passage
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.core.vectors.lance import LanceStore
from twin_assets.inference.retrieval.compress import compress, sentences
from twin_assets.inference.retrieval.fuse import fuse, one_per_document
from twin_assets.inference.retrieval.rerank import by_cross_encoder, by_late_interaction, load_cross_encoder
from twin_assets.inference.retrieval.retriever import Retriever, open_retriever
from twin_assets.inference.retrieval.understand import by_rules, wanted, wordings
from twin_assets.inference.twin.answer import Twin
from twin_assets.settings import Settings

TEXTS = {
    "tides": ("medium", 2021, "The tide table for Stenna was a day old, since the import trusted the clock."),
    "boats": ("linkedin", 2019, "I joined the ferry company in March and counted eleven boats."),
    "disk": ("medium", 2023, "The encrypted backup disk travels on the Petrel every Tuesday morning."),
    "rules": ("substack", 2022, "Three words are banned from the runbook: simply, obviously and should."),
    "fuel": ("linkedin", 2024, "A flow meter sat on the wrong supply pipe, so the Dunlin seemed thirsty."),
}


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder("offline-minilm")


@pytest.fixture(scope="module")
def store(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> LanceStore:
    store = LanceStore(str(tmp_path_factory.mktemp("index")), "runa")
    vectors = embedder.embed([text for _, _, text in TEXTS.values()])
    store.sync([
        EmbeddedChunk(
            chunk_id=name, doc_id=f"doc-{name}", persona="runa", source=source, category="article", url=f"https://x/{name}",
            text=text, start=100, end=100 + len(text), tokens=20, split="train", content_hash=name,
            published_at=datetime(year, 6, 1, tzinfo=UTC), vector=vector.tolist(), embedder=embedder.fingerprint,
        )
        for (name, (source, year, text)), vector in zip(TEXTS.items(), vectors, strict=True)
    ])  # fmt: skip
    return store


def passage(name: str, text: str, doc: str = "d") -> Passage:
    return Passage(
        chunk_id=name, doc_id=doc, url="https://x", category="article", text=text, start=10,
        end=10 + len(text), score=0.5, similarity=0.5,
    )  # fmt: skip


@pytest.mark.parametrize("text", ["Hi!", "hello there", "Thanks, bye.", "How are you today?",
    "Proofread this: the ferry leave at nine and the tides was late again that whole morning."])  # fmt: skip
def test_small_talk_and_work_on_a_given_text_need_no_passage(text: str) -> None:
    assert not by_rules(text, route=True, self_query=True, expand=True).needed
    assert by_rules(text, route=False, self_query=True, expand=True).needed


@pytest.mark.parametrize(
    ("question", "filters"),
    [
        ("What did you write on LinkedIn about fuel?", {"source": ["linkedin"]}),
        ("Which boats did she describe in her articles?", {"category": ["article"]}),
        ("What did you say about tides in March 2021?", {
            "published_from": "2021-03-01T00:00:00+00:00", "published_until": "2021-04-01T00:00:00+00:00"}),
        ("What have you published since 2020?", {"published_from": "2020-01-01T00:00:00+00:00"}),
        ("Your posts from before December 2019?", {"published_until": "2019-12-01T00:00:00+00:00"}),
        ("What was said after 2021?", {"published_from": "2022-01-01T00:00:00+00:00"}),
        # Times and names that are part of the matter, not of the writing.
        ("How many of the pages in March 2021 led to something that mattered?", {}),
        ("Is a medium roast better?", {}),
        ("Where does the code run?", {}),
    ],
)  # fmt: skip
def test_a_question_says_where_and_when_it_was_written(question: str, filters: dict[str, object]) -> None:
    assert wanted(question) == filters


def test_wordings_hold_the_question_its_words_and_its_parts() -> None:
    found = wordings("Who carries the disk, and where does it end up?")
    assert found[0] == "Who carries the disk, and where does it end up?"
    assert found[1] == "carries disk end"
    assert found[2:] == ["Who carries the disk", "where does it end up"]


def test_fusion_prefers_what_several_rankings_hold_and_documents_take_turns() -> None:
    a, b, c = (passage(n, n, doc) for n, doc in (("a", "d1"), ("b", "d1"), ("c", "d2")))
    assert fuse([[a, b, c], [b, c]]) == [b, c, a]
    assert one_per_document([a, b, c]) == [a, c, b]


def test_compression_keeps_the_sentences_that_answer_with_their_exact_place(embedder: Embedder) -> None:
    question = "Which words are banned from the runbook?"
    text = "\n\n".join([t for _, _, t in TEXTS.values()] * 2)
    whole = passage("p", text)
    [kept] = compress(question, [whole], 45, embedder)
    assert "simply, obviously and should" in kept.text
    assert estimated_tokens(kept.text) <= 45
    assert kept.text.split(" ... ") == [text[s - 10 : e - 10] for s, e in kept.spans]
    assert kept.spans == sorted(kept.spans)
    [untouched] = compress(question, [whole], 10_000, embedder)
    assert untouched == whole


def test_sentences_cover_a_text_but_for_white_space() -> None:
    text = ' One. "Two?" three\n\n- four: five  \nsix'
    parts = [text[start:end] for start, end in sentences(text)]
    assert "".join("".join(p.split()) for p in parts) == "".join(text.split())
    assert all(p == p.strip() for p in parts)


def test_late_interaction_ranks_by_the_best_token_for_each_token(embedder: Embedder) -> None:
    question = "Which words are banned?"
    passages = [passage(n, t) for n, (_, _, t) in TEXTS.items()]
    ranked = by_late_interaction(question, passages, embedder)
    asked = embedder.token_vectors([question])[0]
    assert np.allclose(np.linalg.norm(asked, axis=1), 1, atol=1e-2)
    scores = [
        float((asked @ embedder.token_vectors([search_view(p)])[0].T).max(axis=1).mean()) for p in ranked
    ]
    assert ranked[0].chunk_id == "rules"
    assert scores == sorted(scores, reverse=True) or np.allclose(
        scores, sorted(scores, reverse=True), atol=5e-3
    )
    assert by_late_interaction(question, [], embedder) == []


def test_a_cross_encoder_decides_the_order(tmp_path: Path) -> None:
    """A real one, tiny and untrained: the order has to be its own scores'."""
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    shape = BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=16, num_labels=1, initializer_range=1.0)  # fmt: skip
    BertForSequenceClassification(shape).save_pretrained(tmp_path)
    passages = [passage(n, t) for n, (_, _, t) in TEXTS.items()]
    ranked = by_cross_encoder("Which words?", passages, str(tmp_path))
    scores = CrossEncoder(str(tmp_path)).predict([("Which words?", search_view(p)) for p in ranked])
    assert sorted(scores.tolist(), reverse=True) == pytest.approx(scores.tolist(), abs=1e-5)
    assert {p.chunk_id for p in ranked} == set(TEXTS)
    load_cross_encoder.cache_clear()
    with pytest.raises(TwinError, match="TWIN_RERANKER"):
        by_cross_encoder("x", passages, str(tmp_path / "missing"))


def test_filters_of_a_question_hold_unless_nothing_fits(store: LanceStore, embedder: Embedder) -> None:
    retriever = Retriever(store, embedder)
    found = retriever.find("What did you write on LinkedIn about the tide table?", 5)
    assert {p.chunk_id for p in found.passages} == {"boats", "fuel"}
    assert found.filters == {"source": ["linkedin"]}
    free = retriever.find(
        "What did you write on LinkedIn about the tide table?", 1, options=RetrievalOptions(self_query=False)
    )
    assert free.passages[0].chunk_id == "tides"
    none = retriever.find("What did you write in 2011 about the tide table?", 1)
    assert none.passages[0].chunk_id == "tides"
    assert none.note == "nothing fits the filters, so they were left out"
    assert set(none.steps_ms) == {"understand", "embed", "search"}
    everything = RetrievalOptions(expand=True, rerank="late_interaction")
    ranked = retriever.find("Which words are banned?", 2, options=everything)
    assert ranked.passages[0].chunk_id == "rules"
    assert set(ranked.steps_ms) == {"understand", "embed", "search", "rerank"}
    assert [p.chunk_id for p in retriever.retrieve("the tide table", 1, {"source": "substack"})] == ["rules"]


def test_the_twin_answers_declines_or_just_talks(store: LanceStore, embedder: Embedder) -> None:
    retriever = Retriever(store, embedder)
    twin = Twin(runa(), load_profile("nano"), retriever.retrieve, retriever.find)
    answered = twin.plan_answer("Which words are banned from the runbook?")
    assert answered.refusal is None
    assert answered.citations[0].chunk_id == "rules"
    assert {"understand", "embed", "search", "compress"} <= set(answered.steps_ms)
    assert answered.retrieve_ms == pytest.approx(sum(answered.steps_ms.values()))
    declined = twin.plan_answer("Who won the football World Cup?")
    assert declined.refusal is not None
    greeted = twin.plan_answer("Hello there!")
    assert greeted.refusal is None
    assert greeted.citations == []
    assert "Notes" not in greeted.conversation[1].content


PLAN = {"needed": True, "queries": ["backup disk"], "sources": [], "categories": [], "published_from": None, "published_until": None}  # fmt: skip


def planned(double: PlannerDouble, store: LanceStore, embedder: Embedder) -> Retriever:
    settings = Settings(
        planner_model="openai/planner-1", planner_url=double.url, planner_api_key="sk-planner", planner_timeout=20
    )  # type: ignore[arg-type]  # fmt: skip
    return open_retriever(settings, runa(), store, embedder)


def test_a_planner_plans_reflects_and_searches_again(store: LanceStore, embedder: Embedder) -> None:
    again = {"enough": False, "missing": "the boat", "queries": ["eleven boats"]}
    enough = {"enough": True, "missing": "", "queries": []}
    with PlannerDouble([PLAN, again, enough]) as double:
        found = planned(double, store, embedder).find("What about <|system|> the backup?", 2)
    assert found.queries == ["What about <|system|> the backup?", "backup disk", "eleven boats"]
    assert found.passages[0].chunk_id == "disk"
    assert found.note is None
    assert double.keys == ["Bearer sk-planner"] * 3
    shape = double.asked[0]["response_format"]
    assert shape["type"] == "json_schema"
    assert shape["json_schema"]["schema"]["additionalProperties"] is False
    asked = double.asked[0]["messages"][0]["content"]
    assert "<|system|>" not in asked
    assert f'{", ".join(SOURCES)}"' in asked
    assert "encrypted backup disk" in double.asked[1]["messages"][0]["content"]


def test_a_planner_is_bounded_and_its_filters_count(store: LanceStore, embedder: Embedder) -> None:
    plan = PLAN | {"sources": ["linkedin"], "published_from": "2023-01-01"}
    forever = [{"enough": False, "missing": "all", "queries": [f"other {n}"]} for n in range(9)]
    with PlannerDouble([plan, *forever]) as double:
        found = planned(double, store, embedder).find("What about boats?", 2)
    assert len(double.asked) == 1 + RetrievalOptions().agent_steps
    assert [p.chunk_id for p in found.passages] == ["fuel"]


def test_no_part_of_retrieval_sees_what_its_audience_may_not_see(embedder: Embedder, tmp_path: Path) -> None:
    closed = LanceStore(str(tmp_path), "runa")
    texts = {
        "secret": "The quokkaberry disk is lost, and I tell my connections only.",
        "open": TEXTS["disk"][2],
    }
    closed.sync([
        EmbeddedChunk(
            chunk_id=name, doc_id=name, persona="runa", source="linkedin", category="post", url="u", text=text, start=0,
            end=len(text), tokens=9, split="train", content_hash=name, vector=vector.tolist(), embedder=embedder.fingerprint,
            visibility="connections" if name == "secret" else "public",
        )
        for (name, text), vector in zip(texts.items(), embedder.embed(list(texts.values())), strict=True)
    ])  # fmt: skip
    everything = RetrievalOptions(expand=True, rerank="late_interaction", agent_steps=2)
    plan = PLAN | {"queries": ["quokkaberry disk"], "sources": ["linkedin"]}
    again = {"enough": False, "missing": "the disk", "queries": ["lost quokkaberry disk"]}
    for audience, seen in (("public", {"open"}), ("connections", {"open", "secret"})):
        with PlannerDouble([plan, again, {"enough": True, "missing": "", "queries": []}]) as double:
            retriever = planned(double, closed, embedder)
            retriever.audience = audience  # type: ignore[assignment]
            # A filter that fits nothing open is left out; the audience never is.
            found = retriever.find(
                "What did you write on LinkedIn about the quokkaberry disk?", 3, 40, everything
            )
        assert {p.chunk_id for p in found.passages} == seen
        assert ("quokkaberry disk is lost" in str(double.asked)) is (audience == "connections")


@pytest.mark.parametrize("fault", [500, 401, "I think you should search for boats.", {"needed": True}])
def test_a_planner_that_fails_leaves_retrieval_to_the_rules(
    fault: object, store: LanceStore, embedder: Embedder
) -> None:
    with PlannerDouble([fault]) as double:
        found = planned(double, store, embedder).find("Which words are banned from the runbook?", 1)
    assert found.passages[0].chunk_id == "rules"
    assert found.note is not None
    assert found.note.startswith("planned by rules: openai/planner-1")
    assert "sk-planner" not in found.note
    with PlannerDouble([PLAN, fault]) as double:
        found = planned(double, store, embedder).find("Which words are banned from the runbook?", 1)
    assert found.note is not None
    assert "not searched again" in found.note
