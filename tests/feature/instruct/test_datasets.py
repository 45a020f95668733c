"""Chunks lose nothing; answers are the author's; the same inputs give the same dataset version."""

import itertools
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.core.datasets.store import read_rows, write_dataset
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.talk import exchanges_of
from twin_assets.core.prompts.templates import passages_in, read_back, without_passages
from twin_assets.core.records import EmbeddedChunk, Passage, SplitDocument
from twin_assets.core.storage.lake import LocalLake
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.feature.corpus.ngrams import shared_ngrams
from twin_assets.feature.index.chunk import chunk_documents
from twin_assets.feature.index.embed import embed_chunks
from twin_assets.feature.instruct.build import RowSource, unverifiable_rows
from twin_assets.feature.instruct.near_heldout import texts_near_heldout
from twin_assets.feature.instruct.passages import passages_of
from twin_assets.feature.instruct.tasks import _shown_part, _topic
from twin_assets.inference.twin.answer import conversation
from twin_assets.settings import ROOT

embed = load_embedder("offline-minilm").embed

RUNA = Persona(
    name="runa", full_name="Runa Hollis", about="She looks after a ferry company's data.", license="CC-BY-4.0"
)


def document(
    text: str, category: str = "article", split: str = "train", url: str = "https://x/a"
) -> SplitDocument:
    return SplitDocument.model_validate({
        "persona": "runa", "source": "medium", "category": category, "doc_id": text_hash(text), "url": url, "title": "Mud",
        "content_hash": text_hash(text), "voice_text": text, "search_text": text, "words": len(text.split()),
        "cluster_id": text_hash(text), "split": split, "published_at": datetime(2024, 1, 1, tzinfo=UTC),
    })  # fmt: skip


def demo_documents() -> list[SplitDocument]:
    """A few real pieces of the demo persona, one of them held out."""
    paths = sorted((ROOT / "demo" / "writing").glob("*/0[1-4]-*.md"))
    bodies = [path.read_text().split("---\n", 2)[2].strip() for path in paths]
    categories = ["post" if path.parent.name == "linkedin" else "article" for path in paths]
    return [
        document(body, category, "heldout" if number == 1 else "train", f"https://x/{number}")
        for number, (body, category) in enumerate(zip(bodies, categories, strict=True))
    ]


def embedded(documents: list[SplitDocument], folder: Path) -> list[EmbeddedChunk]:
    embedder = load_embedder("offline-minilm")
    return embed_chunks(chunk_documents(documents, embedder.count_tokens), embedder, folder).chunks


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="ab .!?\n#-é⛴", max_size=60), min_size=1, max_size=8),
    st.sampled_from(["post", "article", "code"]),
)
def test_chunks_are_slices_that_lose_and_repeat_nothing(parts: list[str], category: str) -> None:
    source = document("\n\n".join(parts), category, url="https://x/a.py")
    chunks = chunk_documents([source], lambda text: len(text.split()), max_tokens=5)
    assert all(c.text == source.voice_text[c.start : c.end] for c in chunks)
    assert all(a.end <= b.start for a, b in itertools.pairwise(chunks))
    assert "".join("".join(c.text.split()) for c in chunks) == "".join(source.voice_text.split())


def test_a_fence_stays_with_its_code() -> None:
    text = "One two three four.\n\n```sql\n\nselect a\nfrom b\n\nselect c\n\n```\n\nFive six seven."
    for tokens in range(3, 12):
        chunks = chunk_documents([document(text)], lambda t: len(t.split()), max_tokens=tokens)
        assert not [c.text for c in chunks if c.text.endswith("```sql") or c.text.startswith("```\n\nFive")]
        assert "".join("".join(c.text.split()) for c in chunks) == "".join(text.split())


def test_python_is_chunked_by_function() -> None:
    code = "import os\n\n\ndef first():\n    return 1\n\n\n@cached\ndef second():\n    return 2\n"
    chunks = chunk_documents(
        [document(code, "code", url="https://x/a.py")], lambda t: len(t.split()), max_tokens=6
    )
    assert [c.heading for c in chunks] == [None, "def first()", "def second()"]
    assert chunks[2].text.startswith("@cached")


def test_an_embedding_is_computed_once(tmp_path: Path) -> None:
    embedder = load_embedder("offline-minilm")
    chunks = chunk_documents(demo_documents()[:2], embedder.count_tokens)
    first = embed_chunks(chunks, embedder, tmp_path)
    again = embed_chunks(chunks, embedder, tmp_path)
    assert (first.computed, again.computed) == (len(chunks), 0)
    assert again.chunks == first.chunks


def test_every_answer_is_the_authors_and_no_training_row_quotes_the_heldout_side(tmp_path: Path) -> None:
    documents = demo_documents()
    built = RowSource(documents, embedded(documents, tmp_path), RUNA, load_profile("nano"), 17, embed).build()
    assert unverifiable_rows(built.rows, documents) == []
    tasks = {row.task for row in built.rows}
    assert {"write_post", "write_section", "continue", "answer", "refuse"} <= tasks
    heldout = next(d for d in documents if d.split == "heldout")
    sentence = heldout.voice_text.split("\n\n")[1][:60]
    assert not [
        r for r in built.rows if r.split == "train" and any(sentence in m.content for m in r.messages)
    ]
    tampered = built.rows[0].model_copy(
        update={"task": "write_post", "messages": [*built.rows[0].messages[:-1], built.rows[0].messages[0]]}
    )
    assert unverifiable_rows([tampered], documents) == [tampered.row_id]


def test_a_talk_is_laid_out_as_the_service_does_and_only_its_last_answer_is_new(tmp_path: Path) -> None:
    documents = demo_documents()
    profile = load_profile("pocket")
    rows = RowSource(documents, embedded(documents, tmp_path), RUNA, profile, 17, embed).build().rows
    talks = [row for row in rows if row.task == "follow_up"]
    assert len(talks) >= 3
    for row in talks:
        system, *before, request, _ = row.messages
        assert [turn.role for turn in before] == ["user", "assistant"] * (len(before) // 2) != []
        values = read_back("passages", request.content)
        shown = values["passages"].splitlines() if values else []
        passages = [
            Passage(chunk_id=line, doc_id="d", url="u", category="article", text=line[4:], start=0, end=1, score=1.0)
            for line in shown
        ]  # fmt: skip
        task = without_passages(request)
        served = conversation(RUNA, profile, task, passages, before=exchanges_of(before))
        assert served == [system, *before, request]
        assert unverifiable_rows([row], documents) == []
    assert any(
        "And what about" in without_passages(row.messages[-2])
        and "What do you say about" in row.messages[1].content
        for row in talks
    )


def test_a_training_passage_that_says_what_a_heldout_one_says_is_no_answer(tmp_path: Path) -> None:
    documents = [
        *demo_documents(),
        document("def mud(): pass  # " + "the harbour is full of mud " * 9, "code"),
    ]
    chunks = embedded(documents, tmp_path)
    held = next(c for c in chunks if c.split == "heldout" and c.tokens >= 40 and c.category != "code")
    twin = max((c for c in chunks if c.split == "train"), key=lambda c: c.tokens)
    retold = [c.model_copy(update={"vector": held.vector}) if c is twin else c for c in chunks]
    assert texts_near_heldout(chunks) == []
    assert texts_near_heldout(retold) == [twin.text]
    built = RowSource(documents, retold, RUNA, load_profile("nano"), 17, embed).build()
    assert built.dropped["nearly_heldout"] > 0
    assert not [r for r in built.rows if r.split == "train" and twin.text in r.messages[-1].content]
    # Nor is it read before SFT; neither are the held-out document, a text that quotes it, and code.
    heldout = next(d for d in documents if d.split == "heldout")
    quotes = document("As I wrote elsewhere:\n\n" + heldout.voice_text.split("\n\n")[1])
    source = RowSource([*documents, quotes], retold, RUNA, load_profile("nano"), 17, embed)
    read = source.documents_to_read(100_000)
    assert read.dropped == {"document_nearly_heldout": 1, "document_holds_heldout_text": 1}
    train = {d.doc_id for d in documents if d.split == "train" and d.category != "code"}
    assert {row.doc_id for row in read.rows} == train - {twin.doc_id}
    assert {(row.split, row.task, len(row.messages)) for row in read.rows} == {("train", "documents", 1)}
    assert unverifiable_rows(read.rows, documents) == []
    texts = [row.messages[0].content for row in read.rows]
    assert shared_ngrams(texts, [heldout.voice_text]) == set()
    some = source.documents_to_read(500)
    assert 0 < sum(estimated_tokens(row.messages[0].content) for row in some.rows) <= 500
    assert some.dropped["document_over_its_tokens"] == len(read.rows) - len(some.rows)


def test_a_row_limit_leaves_every_task_its_share_and_the_heldout_side_whole(tmp_path: Path) -> None:
    documents = demo_documents()
    chunks, profile = embedded(documents, tmp_path), load_profile("nano")
    whole = RowSource(documents, chunks, RUNA, profile, 17, embed).build()
    limited = profile.model_copy(update={"max_train_rows": 60})
    built = RowSource(documents, chunks, RUNA, limited, 17, embed).build()
    before, after = (Counter(r.task for r in b.rows if r.split == "train") for b in (whole, built))
    assert (after.total(), built.dropped["over_the_row_limit"]) == (60, before.total() - 60)
    assert all(abs(after[task] - 60 * n / before.total()) <= 1 for task, n in before.items())
    assert [r for r in built.rows if r.split != "train"] == [r for r in whole.rows if r.split != "train"]


def test_every_passage_comes_once_before_any_comes_again(tmp_path: Path) -> None:
    documents = demo_documents()
    chunks, profile = embedded(documents, tmp_path), load_profile("nano")
    limited = profile.model_copy(update={"max_train_rows": 60})
    built = RowSource(documents, chunks, RUNA, limited, 17, embed).build()
    answered = Counter(
        row.messages[-1].content for row in built.rows if row.split == "train" and row.task != "refuse"
    )
    # Of the writing of this corpus there are more passages than rows.
    assert max(answered.values()) == 1


def test_a_question_is_answered_by_what_its_passages_show_and_no_more(tmp_path: Path) -> None:
    documents = demo_documents()
    built = RowSource(documents, embedded(documents, tmp_path), RUNA, load_profile("nano"), 17, embed).build()
    answers = [row for row in built.rows if row.task == "answer"]
    shown = [
        " ".join(row.messages[-1].content.split()) in " ".join(passages_in(row.messages[1]).split())
        for row in answers
    ]
    # What no passage shows enough of is answered with the whole passage, as before.
    assert len(answers) > 10
    assert sum(shown) >= 0.7 * len(shown)
    assert not any(row.messages[-1].content.startswith("#") for row, all_shown in zip(answers, shown, strict=True) if all_shown)  # fmt: skip


def test_no_answer_ends_with_a_line_whose_sentence_goes_on_nor_within_code() -> None:
    """Seen in a real blog: its lines are wrapped, and long listings lie between its paragraphs."""
    first = "The bridge printer stopped at noon, and so we read the tables by"
    rest = "Holm harbour's old telephone. It is slow and it has never been wrong."
    listing = (
        "```sh\n" + "\n".join(f"scp tables-{n}.csv bridge-{n}:/var/tables/{n}" for n in range(8)) + "\n```"
    )
    block = f"{first}\n{rest}\n\nThis is what it runs at night:\n\n{listing}"
    source = document(block)

    def shown(part: str) -> str:
        return _shown_part(
            source,
            block,
            [
                Passage(
                    chunk_id="c",
                    category="article",
                    doc_id=source.doc_id,
                    url="u",
                    text=part,
                    score=1,
                    similarity=1,
                    start=0,
                    end=9,
                )
            ],
        )

    assert shown(first) == ""
    assert shown(f"{first} {rest}") == f"{first}\n{rest}"
    assert shown(" ".join(block.split())[:-150]) == f"{first}\n{rest}\n\nThis is what it runs at night:"
    assert shown(block) == block


@pytest.mark.parametrize(
    ("title", "topic"),
    [
        ("3. Rainbowstream", "rainbowstream"),
        ("12) The Switch.", "The Switch"),
        ("1984", "1984"),
        ("2.5 metres", "2.5 metres"),
    ],
)
def test_the_number_of_a_heading_is_no_topic(title: str, topic: str) -> None:
    assert _topic(title) == topic


def test_code_that_is_too_long_for_a_passage_is_in_none() -> None:
    listing = "```\n" + "\n".join(f"url: results[{n}].url," for n in range(60)) + "\n```"
    text = f"Before it we ask.\n\n{listing}\n\nAfter it we know."
    assert passages_of(text, 100) == ["Before it we ask.", "After it we know."]
    assert passages_of(text, 1000) == [text]


def test_too_little_text_names_persona_count_and_fix() -> None:
    with pytest.raises(TwinError, match=r"'runa' gives \d+ training rows of its own.*needs 40.*add sources"):
        RowSource([document("Only this. " * 12, "post")], [], RUNA, load_profile("nano"), 17, embed).build()


def test_the_same_inputs_give_the_same_version_and_others_another(tmp_path: Path) -> None:
    documents = demo_documents()
    rows = (
        RowSource(documents, embedded(documents, tmp_path), RUNA, load_profile("nano"), 17, embed)
        .build()
        .rows
    )
    facts = {
        "parents": {"c": "1"},
        "prompts": "p",
        "dropped": {},
        "license": "x",
        "visibility": "public",
        "summary": "s",
    }
    here, there = LocalLake(tmp_path / "here"), LocalLake(tmp_path / "there")
    first = write_dataset(here, "runa", "instruct", rows, seed=1, **facts)
    assert write_dataset(there, "runa", "instruct", rows, seed=1, **facts).version == first.version
    assert write_dataset(there, "runa", "instruct", rows[1:], seed=1, **facts).version != first.version
    assert len(read_rows(here, "runa", "instruct", first.version, "train")) == first.counts["train"]


CANARY = "quokkaberry"


def closed_corpus() -> list[SplitDocument]:
    """The demo pieces, two of them for connections only, on either side of the split; each has a word of its own."""
    made = demo_documents()
    closed = {next(n for n, d in enumerate(made) if d.split == side) for side in ("train", "heldout")}
    return [
        document(
            f"{d.voice_text}\n\nThe {CANARY} was only for people I know.", d.category, d.split, d.url
        ).model_copy(update={"visibility": "connections"})
        if n in closed
        else d
        for n, d in enumerate(made)
    ]


def test_who_may_see_a_document_may_see_its_chunks(tmp_path: Path) -> None:
    documents = closed_corpus()
    seen = {d.doc_id: d.visibility for d in documents}
    chunks = embedded(documents, tmp_path)
    assert {c.visibility for c in chunks} == {"public", "connections"}
    assert all(c.visibility == seen[c.doc_id] for c in chunks)


def test_a_public_twin_does_not_learn_what_is_for_connections_only(tmp_path: Path) -> None:
    documents, profile = closed_corpus(), load_profile("nano")
    chunks = embedded(documents, tmp_path)
    made = RowSource(documents, chunks, RUNA, profile, 17, embed).build()
    assert CANARY not in "".join(row.model_dump_json() for row in made.rows)
    assert {row.visibility for row in made.rows} == {"public"}
    assert made.dropped["document_for_connections_only"] == 2
    # The same rows as if they were not there, but for what is too near to the closed held-out piece.
    rest = [d for d in documents if d.visibility == "public"]
    alone = RowSource(rest, [c for c in chunks if c.visibility == "public"], RUNA, profile, 17, embed).build()
    assert {row.row_id for row in made.rows} <= {row.row_id for row in alone.rows}


def test_a_persona_may_say_that_its_twin_learns_from_more_than_is_public(tmp_path: Path) -> None:
    documents = closed_corpus()
    chunks = embedded(documents, tmp_path)
    wide = RUNA.model_copy(update={"train_on": "connections"})
    made = RowSource(documents, chunks, wide, load_profile("nano"), 17, embed).build()
    assert "document_for_connections_only" not in made.dropped
    closed = {d.doc_id for d in documents if d.visibility == "connections"}
    by_visibility = {v: [r for r in made.rows if r.visibility == v] for v in ("public", "connections")}
    # A row is as closed as the most closed text in it, passages of other documents among them.
    assert {r.doc_id for r in by_visibility["connections"]} >= closed
    assert CANARY not in "".join(row.model_dump_json() for row in by_visibility["public"])
    assert {RUNA.learns_from, RUNA.model_copy(update={"visibility": "private"}).learns_from} == {
        "public",
        "private",
    }
