"""What a base model asks about a passage is a row's request where it leads back to that passage, and only there."""

import re
from pathlib import Path

from tests.feature.instruct.test_datasets import RUNA, demo_documents, embedded
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.prompts.templates import without_passages
from twin_assets.core.records import Message
from twin_assets.core.storage.kept import KeptValues
from twin_assets.defs.datasets.requests import wanted_passages
from twin_assets.feature.instruct.build import (
    RowSource,
    passages_to_teach,
    unverifiable_rows,
)
from twin_assets.feature.instruct.choice import slot_of
from twin_assets.feature.instruct.teaching.backtranslation import KINDS, backtranslate
from twin_assets.feature.instruct.teaching.lessons import Teaching
from twin_assets.feature.instruct.teaching.teacher import TeacherRequest

embed = load_embedder("offline-minilm").embed
TIDE = (
    "The tide table came from a file that was a day old, so every crossing was planned for yesterday's water."
)
BREAD = "My bread rises on the boiler overnight, and I fold the dough before I go to bed."


class Writer:
    """Writes what a script says of each passage, and remembers what it was asked."""

    def __init__(self, questions: dict[str, str], titles: dict[str, str]) -> None:
        self.said = {"question": questions, "title": titles}
        self.asked: list[list[Message]] = []

    def __call__(self, conversations: list[list[Message]], tokens: int) -> list[str]:
        self.asked += conversations
        return [self._of(conversation[-1].content) for conversation in conversations]

    def _of(self, asked: str) -> str:
        kind = "question" if "Write the question" in asked else "title"
        return next((said for text, said in self.said[kind].items() if text in asked), "")


def ask(writer: Writer, folder: Path, texts: tuple[str, ...] = (TIDE, BREAD)) -> Teaching:
    kept: KeptValues[str] = KeptValues(folder / "requests.sqlite", "written")
    passages = [TeacherRequest(title="", text=text) for text in texts]
    same = OFFLINE_MINILM.agreeing_request
    return backtranslate(
        dict.fromkeys(KINDS, passages), writer, embed, same, kept, "base:1", lambda line: None
    )


def test_what_leads_back_is_kept_and_what_leads_elsewhere_is_not(tmp_path: Path) -> None:
    writer = Writer(
        {TIDE: "Why was the tide table a day old?\nAnd more.", BREAD: "Why was the tide table a day old?"},
        {TIDE: "Title: A tide table of yesterday.", BREAD: '"Bread that rises overnight"'},
    )
    made = ask(writer, tmp_path)
    tide, bread = (made.lessons[TeacherRequest(title="", text=text).key] for text in (TIDE, BREAD))
    assert (tide.question, tide.topic) == ("Why was the tide table a day old?", "A tide table of yesterday")
    assert (bread.question, bread.topic) == ("", "Bread that rises overnight")
    assert made.dropped == {"base_model_question": 1}


def test_chatter_and_circles_are_no_requests(tmp_path: Path) -> None:
    writer = Writer(
        {TIDE: "Tide tables are old.", BREAD: "Bread?"},
        {
            TIDE: "The tide table of the tide table of the tide table of the tide table of",
            BREAD: "Bread! #bread #boiler",
        },
    )
    made = ask(writer, tmp_path)
    assert made.lessons == {}
    assert made.dropped == {"base_model_question": 2, "base_model_title": 2}


def test_a_chain_of_words_is_no_title(tmp_path: Path) -> None:
    writer = Writer(
        {}, {TIDE: "A tide table for-yesterday-and-the-table-of-the-tide", BREAD: "Bread that rises over-"}
    )
    assert ask(writer, tmp_path).dropped["base_model_title"] == 2
    common = Writer({}, {TIDE: "An out-of-the-way tide table"})
    [lesson] = ask(common, tmp_path / "common", (TIDE,)).lessons.values()
    assert lesson.topic


def test_how_a_thing_differs_from_itself_is_no_question(tmp_path: Path) -> None:
    writer = Writer(
        {
            TIDE: "What is the difference between the tide table and the tide table?",
            BREAD: "What is the difference between Bread and bread?",
        },
        {},
    )
    made = ask(writer, tmp_path)
    assert [lesson.question for lesson in made.lessons.values()] == []
    apart = Writer({TIDE: "What is the difference between the tide table and yesterday's water?"}, {})
    [lesson] = ask(apart, tmp_path / "apart").lessons.values()
    assert lesson.question


def test_nothing_is_asked_twice_also_after_a_stop(tmp_path: Path) -> None:
    writer = Writer({TIDE: "Why was the tide table old?"}, {TIDE: "An old tide table"})
    first, again = ask(writer, tmp_path, (TIDE,)), ask(writer, tmp_path)
    assert (first.asked, first.cached) == (2, 0)
    assert (again.asked, again.cached) == (2, 2)
    assert len(writer.asked) == 4
    # Two examples stand before the passage: a small model takes a bare task for talk.
    assert [m.role for m in writer.asked[0]] == ["user", "assistant"] * 2 + ["user"]


def test_rows_ask_what_the_model_asked_and_answer_with_the_author_to_the_letter(tmp_path: Path) -> None:
    documents, profile = demo_documents(), load_profile("pocket")
    passages = passages_to_teach(documents, profile)
    first = next(
        p for p in passages if any(p.text in d.voice_text and d.category == "article" for d in documents[1:])
    )
    start = first.text[:40]
    sentence = max(" ".join(first.text.split()[:80]).split(". ")[:-1], key=len)
    writer = Writer({start: f"{sentence.rstrip('.')[:120]}?"}, {start: " ".join(sentence.split()[:8])})
    kept: KeptValues[str] = KeptValues(tmp_path / "requests.sqlite", "written")
    made = backtranslate(
        dict.fromkeys(KINDS, passages), writer, embed, 0.2, kept, "base:1", lambda line: None
    )
    assert first.key in made.lessons
    result = RowSource(documents, embedded(documents, tmp_path), RUNA, profile, 17, embed).build(made.lessons)
    asked = [without_passages(r.messages[1]) for r in result.rows if r.messages[-1].content in first.text]
    lesson = made.lessons[first.key]
    assert any(lesson.topic[1:] in request for request in asked)
    assert any(lesson.question in request for request in asked)
    assert unverifiable_rows(result.rows, documents) == []
    # A passage that the model has nothing good for is asked for by rules, and a base model makes no drafts.
    assert {"write_section", "write_post"} & {
        r.task for r in result.rows if r.messages[-1].content != first.text
    }
    assert not any(r.task == "rewrite" for r in result.rows)


def test_what_a_model_adds_to_a_passage_is_no_request(tmp_path: Path) -> None:
    writer = Writer(
        {TIDE: "Which tide table do captains of merchant fleets prefer in stormy weather?"},
        {TIDE: "Tide table"},
    )
    made = ask(writer, tmp_path, (TIDE,))
    assert [(one.topic, one.question) for one in made.lessons.values()] == [("Tide table", "")]


def test_the_model_is_asked_only_about_rows_that_stay_and_they_stay(tmp_path: Path) -> None:
    documents = demo_documents()
    profile = load_profile("pocket").model_copy(update={"max_train_rows": 60})
    made_of = (documents, embedded(documents, tmp_path), RUNA, profile, 17, embed)
    planned = RowSource(*made_of).plan()
    wanted = wanted_passages(planned, documents, profile, most=1000)
    all_passages = passages_to_teach(documents, profile)
    assert (
        0 < sum(map(len, wanted.values())) < len(all_passages)
    )  # of two kinds, each of which was asked about each
    # What is asked is in the passage's words, so that it is used.
    said = {p.text[:40]: f"Why {' '.join(p.text.split()[3:12])}?" for p in all_passages}
    titles = {begins: " ".join(question.split()[1:7]) for begins, question in said.items()}
    writer = Writer(said, titles)
    kept: KeptValues[str] = KeptValues(tmp_path / "requests.sqlite", "written")
    made = backtranslate(wanted, writer, embed, 0.1, kept, "base:1", lambda line: None)
    assert len(writer.asked) == made.asked == sum(map(len, wanted.values()))
    rows = RowSource(*made_of).build(made.lessons, planned=planned).rows
    assert sum(row.split == "train" for row in rows) == 60
    answers = {row.messages[-1].content for row in rows}
    asked_about = {p.text for passages in wanted.values() for p in passages}
    assert all(any(answer in text for answer in answers) for text in asked_about)
    assert len({slot_of(row) for row in planned} - {slot_of(row) for row in rows}) <= 2
    questions = {lesson.question for lesson in made.lessons.values() if lesson.question}
    assert any(question in row.messages[1].content for row in rows for question in questions)


def test_it_says_how_much_there_is_to_ask_and_how_long_it_goes_on(tmp_path: Path) -> None:
    lines: list[str] = []
    kept: KeptValues[str] = KeptValues(tmp_path / "requests.sqlite", "written")
    passages = [TeacherRequest(title="", text=f"{TIDE} That was day {n}.") for n in range(20)]
    wanted = dict.fromkeys(KINDS, passages)
    backtranslate(wanted, Writer({}, {}), embed, 0.5, kept, "base:1", lines.append)
    assert lines[0] == "40 titles and questions to ask the base model for, 0 known"
    assert re.fullmatch(
        r"the base model wrote 32 of 40 titles and questions in \d+ s, about \d+ s left", lines[1]
    )
    assert re.fullmatch(r"the base model wrote 40 of 40 titles and questions in \d+ s", lines[2])


def test_a_setting_bounds_what_is_asked_and_the_training_side_comes_first(tmp_path: Path) -> None:
    documents, profile = demo_documents(), load_profile("pocket")
    planned = RowSource(documents, embedded(documents, tmp_path), RUNA, profile, 17, embed).plan()
    bounded = wanted_passages(planned, documents, profile, most=5)
    assert {kind: len(passages) for kind, passages in bounded.items()} == {"question": 5, "title": 5}
    train = "\n".join(d.voice_text for d in documents if d.split == "train")
    assert all(p.text in train for passages in bounded.values() for p in passages)
    assert wanted_passages(planned, documents, profile, most=0) == {"question": [], "title": []}
