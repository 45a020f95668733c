"""What the corpus can't answer is declined in the persona's manner; an article is summarised by its author."""

from pathlib import Path

import pytest

from tests.feature.instruct.test_datasets import RUNA, document, embed, embedded
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.prompts.refusals import declines
from twin_assets.core.prompts.templates import looked_for, refusal, refusals_of
from twin_assets.core.records import Passage, SplitDocument
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.feature.instruct.refusals import refusal_row, unanswerable_questions
from twin_assets.feature.instruct.summaries import find_summaries
from twin_assets.inference.twin.answer import Twin
from twin_assets.settings import ROOT

OWN_WAYS = ["Ask the harbour about $looked_for.", "No table: I've nothing on $looked_for, so use the book."]
SALTY = RUNA.model_copy(update={"refusals": OWN_WAYS})


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("What is the depth of Lake Baikal?", "the depth of Lake Baikal"),
        ("How do I rebuild a gearbox?", "how to rebuild a gearbox"),
        ("Who won at Wimbledon?", "who won at Wimbledon"),
        ("Where do your parents live?", "where do my parents live"),
        ("Explain the proof of Fermat's last theorem.", "the proof of Fermat's last theorem"),
        ("Lantern?", "Lantern"),
        ("why " * 20, "why " * 12 + "..."),
        ("", ""),
    ],
)
def test_what_was_asked_for_reads_well_in_a_sentence(question: str, said: str) -> None:
    assert looked_for(question) == said


def test_the_service_declines_in_the_words_of_the_dataset() -> None:
    def nothing(query: str, k: int) -> list[Passage]:
        return []

    for persona in (RUNA, SALTY):
        twin = Twin(persona, load_profile("nano"), nothing)
        for question in ("How deep is Lake Baikal?", "Which wine goes with venison?", "Who are you?"):
            row = refusal_row(persona, question)
            assert twin.plan_answer(question).refusal == row.messages[-1].content
            assert looked_for(question) in row.messages[-1].content
    questions, _ = unanswerable_questions([], embed)
    for persona in (RUNA, SALTY):
        # One parrot sentence is what must not be learnt.
        ways = {refusal(persona, q).replace(looked_for(q), "$looked_for") for q in questions}
        assert ways == set(refusals_of(persona))


def test_a_refusal_is_known_by_its_words() -> None:
    runa = load_persona(ROOT / "personas", "runa")
    for persona in (RUNA, SALTY, runa):
        assert all(
            declines(refusal(persona, q), persona) for q in ("How deep is Lake Baikal?", "Why?", "Who?")
        )
    assert declines("Well, I don't know, but I could ask.", RUNA)
    assert declines("I'm unable to answer that.", RUNA)
    assert not declines("Lake Baikal is 1,642 metres deep, and I measured it myself.", RUNA)
    assert not declines("You could ask the harbour master.", SALTY)


def test_a_question_that_the_corpus_may_answer_is_not_declined(tmp_path: Path) -> None:
    about = document(
        "Saffron is harvested by hand: at dawn the saffron crocus is picked, and dried. " * 3, "post"
    )
    questions, answerable = unanswerable_questions(embedded([about], tmp_path), embed)
    assert answerable == ["How is saffron harvested?"]
    assert len(questions) > 40
    assert "How is saffron harvested?" not in questions


def article(**changes: object) -> SplitDocument:
    body = (
        "We moved the data warehouse from a rented cluster into one computer in the cupboard under the stairs, and "
        "this is why: the cluster cost money every month, and one computer in a cupboard holds the same data, which is "
        "38 gigabytes, and three people can look after it and understand it.\n\n"
        + "\n\n".join(
            f"## Reason {n}\n\nThe cluster cost money every month, number {n}, and nobody understood the cluster, while the warehouse "
            "on one computer in the cupboard holds the same data and answers the same queries within a second."
            for n in range(6)
        )
    )
    made = document(body, url="https://runa.example/warehouse/")
    return made.model_copy(update={"title": "A warehouse under the stairs"} | changes)


def summaries(documents: list[SplitDocument], folder: Path, room: int = 700) -> list[tuple[str, str, str]]:
    found = find_summaries(documents, embedded(documents, folder), embed, room, 256)
    return [(s.document.doc_id, s.article, s.answer) for s in found]


def test_an_article_is_summarised_by_a_post_about_it_else_by_its_own_opening(tmp_path: Path) -> None:
    told = article()
    [(doc_id, shown, answer)] = summaries([told], tmp_path)
    assert doc_id == told.doc_id
    assert answer in told.voice_text
    assert answer.startswith("We moved the data warehouse")
    # The passage that answers is not shown, and what is shown is the rest.
    assert answer not in shown
    assert shown.startswith("A warehouse under the stairs\n\n## Reason 0")
    post = document(
        "The cluster cost money every month and nobody understood the cluster, so the warehouse is on one "
        "computer in the cupboard under the stairs now, with the same data and the same queries.",
        "post",
    )
    link = document("I wrote something down: runa.example/warehouse is the address of it.", "post")
    heldout = document("The data warehouse under the stairs: one computer.", "post", "heldout")
    other = document("Wine goes with venison, or so they say in the galley.", "post")
    found = summaries([told, post, link, heldout, other], tmp_path)
    assert {(doc_id, answer) for doc_id, _, answer in found} == {
        (post.doc_id, post.voice_text), (link.doc_id, link.voice_text),
    }  # fmt: skip
    assert all("We moved the data warehouse" in shown for _, shown, _ in found)


def test_a_shown_article_fits_its_room_and_ends_with_a_paragraph(tmp_path: Path) -> None:
    told = article()
    for room in (60, 200, 320, 700):
        for _, shown, answer in summaries([told], tmp_path, room):
            assert estimated_tokens(shown) + estimated_tokens(answer) <= room + 5
            assert told.voice_text.replace(answer, "").strip().startswith(shown.split("\n\n", 1)[1][:50])
            assert shown.endswith(".")
            assert len(shown.split()) >= 1.5 * len(answer.split())
    assert summaries([told], tmp_path, 60) == []


def test_an_opening_that_leads_elsewhere_is_no_summary(tmp_path: Path) -> None:
    greeting = (
        "Hello again, dear readers, and thank you all for the kind letters and the lovely knitted hats. " * 3
    )
    rest = article().voice_text.split("\n\n", 1)[1]
    closing = (
        "Next month there will be cake at the harbour, and a raffle, so bring your aunts and your umbrellas. "
        * 3
    )
    assert summaries([document(f"{greeting}\n\n{rest}\n\n{closing}")], tmp_path) == []
