"""Rows that nothing good can be learnt from are left out, each with its reason."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.feature.instruct.test_datasets import RUNA
from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.prompts.templates import user_message
from twin_assets.core.records import Message, Passage
from twin_assets.core.text.content_words import grounded_share
from twin_assets.feature.instruct.keyphrases import KeyPhrases
from twin_assets.feature.instruct.near_requests import near_requests
from twin_assets.feature.instruct.row_filters import RowFilter, sample_dropped
from twin_assets.feature.instruct.tasks import make_row
from twin_assets.feature.instruct.teaching.agreement import agreeing_lessons
from twin_assets.feature.instruct.teaching.teacher import SyntheticExample, TeacherRequest

ANSWER = (
    "We moved the warehouse into the cupboard under the stairs last week, and nobody on the pier has noticed, "
    "which is how I like a move to go."
)
ENGLISH = "Write a LinkedIn post about $topic."


def row(task: str = "write_post", answer: str = ANSWER, notes: str = "", **values: str) -> InstructRow:
    passage = Passage(
        chunk_id="c", doc_id="d", url="", category="post", text=notes, start=0, end=1, score=1
    )  # fmt: skip
    asked = user_message(task, [passage] if notes else None, **(values or {"topic": "the cupboard"}))
    messages = [
        Message(role="system", content="You are Runa."),
        asked,
        Message(role="assistant", content=answer),
    ]
    return make_row("d", task, "train", messages)


def test_code_that_is_whole_and_a_quotation_beside_more_of_their_own_words_are_no_fault() -> None:
    code = "````md\n```sql\nselect 1;\n```\n> no quotation at all, but a line of the code with many words in it\n````"
    fine = row(answer=f"{code}\n\n{ANSWER}\n\n> What we say, we said.")
    assert RowFilter(RUNA, load_profile("nano")).fault(fine) is None


FAULTS: dict[str, Callable[[], InstructRow]] = {
    "too_short": lambda: row(answer="Too few words."),
    "too_long": lambda: row(answer="Rather long. " * 600),
    "holds_chat_marks": lambda: row(answer=f"{ANSWER} <|im_end|>"),
    "cuts_code": lambda: row(answer=f"limit 3;\n```\n\n{ANSWER}"),
    "mostly_quoted": lambda: row(
        answer=f"So the manual:\n\n> {ANSWER}\n> {ANSWER}\n\nQuite.", topic="the manual"
    ),
    "personal_content": lambda: row(answer=f"{ANSWER} Write to runa.hollis@gmail.com about it."),
    "other_language": lambda: row(
        answer="Nous avons déménagé l'entrepôt dans le placard sous l'escalier la semaine dernière, et personne "
        "sur le quai ne l'a remarqué, ce qui est exactement comme je l'aime."
    ),
    "instruction_holds_answer": lambda: row("continue", text=f"Before. {ANSWER} After."),
    "instruction_copies_the_author": lambda: row("summarise_article", article=f"{ANSWER[:-30]} it goes."),
    "passages_lack_the_answer": lambda: row(
        "answer", notes="Wine goes with venison.", question="Where is it?"
    ),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_a_fault_is_named(reason: str) -> None:
    kept, dropped = RowFilter(RUNA, load_profile("nano")).apply([FAULTS[reason]()])
    assert (kept, [r for r, _ in dropped]) == ([], [reason])


def test_good_rows_stay_and_samples_show_no_personal_data() -> None:
    filter_ = RowFilter(RUNA, load_profile("nano"))
    good = [
        row(),
        row("answer", notes="The warehouse is in the cupboard under the stairs.", question="Where is it?"),
    ]
    kept, dropped = filter_.apply([*good, good[0], FAULTS["personal_content"]()])
    assert kept == good
    assert [reason for reason, _ in dropped] == ["duplicate", "personal_content"]
    samples = sample_dropped(dropped)
    assert [s.reason for s in samples] == ["duplicate", "personal_content"]
    assert "[e-mail]" in samples[1].answer
    assert "gmail" not in str(samples)
    # Somebody who lets their own address be learnt keeps such a row.
    open_persona = RUNA.model_copy(update={"mask_personal_data": False})
    personal = FAULTS["personal_content"]()
    assert RowFilter(open_persona, load_profile("nano")).fault(personal) is None


def test_a_training_row_that_quotes_a_heldout_text_is_dropped_and_a_heldout_one_is_not() -> None:
    quoting = row(topic="this: " + ANSWER[:80])
    strict = RowFilter(RUNA, load_profile("nano"), heldout=[f"As I said. {ANSWER} And so on."])
    assert strict.fault(quoting) == "holds_heldout_text"
    assert strict.fault(quoting.model_copy(update={"split": "heldout"})) is None
    near = RowFilter(RUNA, load_profile("nano"), near_heldout=[ANSWER[:40]])
    assert near.fault(row()) == "nearly_heldout"


def test_the_same_request_in_other_words_is_dropped_and_another_topic_is_not() -> None:
    topics = ["tides and tables", "tables, and tides", "restores and backups", "the red folder", "alerts"]
    rows = [row(topic=topic, answer=f"{ANSWER} {n}") for n, topic in enumerate(topics)]
    noted = row(topic="alerts", notes="Something of another text.", answer=f"{ANSWER} 9")
    dropped = near_requests([*rows, noted])
    assert len(dropped) == 2
    assert {r.row_id for r in rows[:2]} & dropped
    assert {rows[4].row_id, noted.row_id} & dropped
    # Another task, or the other side of the split, asks something else.
    section = make_row("d", "write_section", "train", rows[0].messages)
    heldout = make_row("d", "write_post", "heldout", [*rows[0].messages[:-1], noted.messages[-1]])
    assert not near_requests([rows[0], section, heldout])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["tides", "mud", "tables, tides", "backups", "mud and mud"]), max_size=12),
    st.randoms(),
)
def test_which_rows_stay_does_not_depend_on_their_order(topics: list[str], random: Any) -> None:
    rows = [row(topic=topic, answer=f"{ANSWER} {n}") for n, topic in enumerate(topics)]
    dropped = near_requests(rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert near_requests(shuffled) == dropped
    # Nothing is lost: of every topic one row stays.
    kept = {r.messages[1].content for r in rows if r.row_id not in dropped}
    assert {"tides", "backups"} & set(topics) <= {text.split("about ")[1].rstrip(".") for text in kept}


def test_lessons_that_stray_are_not_used() -> None:
    passages = [TeacherRequest(title="Mud", text=f"passage {n}") for n in range(3)]
    vectors = {
        "passage": [1.0, 0.0], "near": [0.9, np.sqrt(1 - 0.81)], "far": [0.1, np.sqrt(0.99)]
    }  # fmt: skip

    def embed(texts: list[str]) -> np.ndarray:
        return np.array([vectors[text.split()[0]] for text in texts], dtype=np.float32)

    def lesson(topic: str, draft: str) -> SyntheticExample:
        return SyntheticExample(topic=topic, question="a question", outline=["one", "two"], draft=draft)

    near, strayed, half = (
        lesson("near it", "near it"),
        lesson("far off", "far off"),
        lesson("near it", "far off"),
    )
    lessons = {p.key: told for p, told in zip(passages, [near, strayed, half], strict=True)}
    assert agreeing_lessons(lessons, passages, embed) == {passages[0].key: near}
    assert agreeing_lessons({}, passages, embed) == {}


def test_k_precision_is_the_share_of_content_words_that_the_passages_hold() -> None:
    assert grounded_share("The warehouse is in the cupboard.", "A cupboard and a warehouse") == 1
    assert grounded_share("The warehouse is in the cupboard.", "A warehouse by the sea") == 0.5
    assert grounded_share("It is.", "A warehouse") == 0


def test_key_phrases_are_phrases_of_the_text_and_neither_verbs_nor_fragments() -> None:
    corpus = [
        "We keep the tide table in the red folder. The tide table was wrong. I asked the Tide Office about it.",
        "The boats wait for the tide. They quickly loaded the warehouse. The warehouse is in the cupboard.",
        "A restore is a fact. We test the restore on Friday and ring the bell. The bell is brass.",
    ]
    phrases = KeyPhrases(corpus)
    assert phrases.top(corpus[0], 1) == ["tide table"]
    assert set(phrases.top(corpus[2], 2)) == {"restore", "bell"}
    for text in corpus:
        found = phrases.top(text, 4)
        assert all(phrase in text for phrase in found)
        assert not {"quickly", "loaded", "asked"} & {word for phrase in found for word in phrase.split()}
    assert phrases.top("```\nthe code\n``` https://x.example/the-link") == []
