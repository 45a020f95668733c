"""Pairs for blind readers: like in length and form, each text once, and nothing but the writing tells them apart."""

import itertools
import re

import pytest

from tests.evaluation.evaluation_factories import (
    heldout,
    neighbours,
    reciting_report,
    run_evaluation,
    sentences_of,
    train,
)
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.records import Message
from twin_assets.core.text.words import count_words, first_words, ngrams, terms
from twin_assets.evaluation.blind_pairs import LEAST_WORDS, MOST_WORDS, Drafts, alike, blind_pairs, readable
from twin_assets.evaluation.contest.write import System
from twin_assets.evaluation.results import REAL_WORDS, SHOWN_SAMPLES, EvaluationReport
from twin_assets.evaluation.write_tasks import write_tasks
from twin_assets.inference.generation.local import Generation

PLAIN = "The tide table wasn't new again, it's a day old and nobody said so. "


def words(n: int, what: str = "word") -> str:
    return " ".join(f"{what}{i}" for i in range(n))


def draft(n: int, base: bool = True) -> Drafts:
    return Drafts(
        f"topic {n}",
        words(100, f"author{n}x"),
        words(90, f"ours{n}x"),
        words(120, f"base{n}x") if base else None,
    )


def test_both_texts_fill_as_much_of_the_page_and_end_alike() -> None:
    wordy = " ".join(f"extraordinarily{i}" for i in range(100))
    for one, other in (
        (words(300), words(95, "v")), (words(50), words(60, "v")), (words(1000), words(1000, "v")), (wordy, words(90)),
        ("\n\n".join([PLAIN * 3] * 3), f"{words(30)}\n\n{words(50)}"),
    ):  # fmt: skip
        left, right = alike(one, other) or ("", "")
        assert abs(len(left) - len(right)) <= 20, "a word more or less"
        assert (
            15
            < min(map(count_words, (left, right)))
            <= max(map(count_words, (left, right)))
            <= MOST_WORDS + 1
        )
        assert left.endswith(" …")
        assert right.endswith(" …")
    short = alike(words(60) + ".", words(61, "v")) or ("", "")
    assert "word59" not in short[0], "the end of the shorter text would show that it ends there"
    assert alike(words(LEAST_WORDS), words(500)) is None
    assert alike(words(90), words(90)) is None, "the same text twice"


@pytest.mark.parametrize(
    "marked",
    [
        "# Why tides are late\n\n" + PLAIN * 8, "Why tides are late\n\n" + PLAIN * 8, "Tides\n=====\n\n" + PLAIN * 8,
        (PLAIN.replace("nobody", "**nobody**")) * 8, PLAIN.replace(" again", " again [1]") * 8,
        PLAIN.replace("old", "old [2, 3]") * 8, PLAIN.replace("tide table", "[tide table](https://x.example/a_(b))") * 8,
        "\n\n".join([PLAIN * 2] * 4), "> " + PLAIN * 8, "- " + PLAIN * 8, PLAIN * 4 + "\n```\nselect 1\n```\n" + PLAIN * 4,
        PLAIN * 4 + "![A boat](boat.png) " + PLAIN * 4, PLAIN * 4 + " ## " + PLAIN * 4, PLAIN * 4 + "<br>" + PLAIN * 4,
        PLAIN.replace("'", "’") * 8, PLAIN.replace(" said", "\nsaid") * 8, PLAIN.replace("table", "`table`") * 8,
    ],
)  # fmt: skip
def test_what_only_one_side_has_but_words_is_taken_out(marked: str) -> None:
    left, right = alike(marked, words(200)) or ("", "")
    assert left.removesuffix(" …") == first_words(PLAIN * 8, count_words(left) - 1).rstrip(".")
    assert "\n" not in left + right


def test_paragraphs_stay_where_both_have_them() -> None:
    left, right = alike("\n\n".join([PLAIN * 3] * 3), f"{words(30)}\n\n{words(50)}") or ("", "")
    assert "\n\n" in left
    assert "\n\n" in right


def test_each_topic_is_in_one_pair_and_each_kind_has_its_half() -> None:
    pairs = blind_pairs([draft(n) for n in range(20)], "twin:1", "base+prompt", [])
    assert [p.kind for p in pairs] == ["author"] * 10 + ["base"] * 10
    assert len({p.topic for p in pairs}) == 20
    assert {p.other_is for p in pairs} == {"", "base+prompt"}
    for pair in pairs:
        number = pair.topic.split()[1]
        assert pair.candidate.startswith(f"ours{number}x0 ")
        assert pair.other.startswith(f"{pair.kind}{number}x0 ")
    others = blind_pairs([draft(n) for n in range(20)], "twin:2", "base+prompt", [])
    assert {p.topic for p in others if p.kind == "author"} != {p.topic for p in pairs if p.kind == "author"}
    many = blind_pairs([draft(n) for n in range(90)], "twin:1", "base+prompt", [])
    assert len(many) == 48
    alone = blind_pairs([draft(n, base=n < 4) for n in range(12)], "twin:1", "base+prompt", [])
    assert len(alone) == 12, "what the base model did not write on is for the other question"


def test_an_excerpt_that_was_shown_or_is_in_another_pair_is_not_read_blind() -> None:
    same = [draft(n, base=False)._replace(author=words(100, "same")) for n in range(5)]
    assert [p.kind for p in blind_pairs(same, "twin:1", "", [])] == ["author"]
    assert blind_pairs(same, "twin:1", "", [words(30, "same")]) == []


def test_nobody_can_compute_from_a_pair_which_text_is_whose() -> None:
    given = draft(1)
    swapped = given._replace(candidate=given.author, author=given.candidate)
    [one], [other] = (blind_pairs([d], "twin:1", "", []) for d in (given, swapped))
    assert (one.candidate, one.other) == (other.other, other.candidate)
    assert one.pair_id == other.pair_id


def test_a_pair_with_an_erased_document_is_not_readable() -> None:
    pairs = blind_pairs([draft(n) for n in range(2)], "twin:1", "base", [])
    cleaned = pairs[0].model_copy(update={"other": "it said [erased] and went on"})
    assert readable([cleaned, pairs[1]]) == [pairs[1]]


def test_an_evaluation_keeps_pairs_of_what_it_does_not_show_by_name() -> None:
    report = reciting_report()
    kinds = [p.kind for p in report.blind_pairs]
    assert min(kinds.count("author"), kinds.count("base")) >= 8
    tasks = write_tasks(heldout(), train())
    shown = {t.topic for t in tasks[:SHOWN_SAMPLES]}
    assert shown.isdisjoint(p.topic for p in report.blind_pairs)
    named = [s.real for s in report.systems["candidate"].samples] + [report.real_sample]
    runs = {run for text in named for run in ngrams(terms(text), 8)}
    excerpts = [p.other for p in report.blind_pairs if p.kind == "author"]
    assert all(runs.isdisjoint(ngrams(terms(text), 8)) for text in excerpts)
    for one, other in itertools.combinations(excerpts, 2):
        assert set(ngrams(terms(one), 8)).isdisjoint(ngrams(terms(other), 8))
    whole = [" ".join(terms(d.voice_text)) for d in heldout()]
    for text in excerpts:
        begins = " ".join(terms(re.sub(r" …$", "", text))[:6])
        assert any(begins in document for document in whole)
    assert all(p.other_is == "base+prompt" for p in report.blind_pairs if p.kind == "base")
    again = EvaluationReport.model_validate_json(report.model_dump_json())
    assert again.blind_pairs == report.blind_pairs
    assert REAL_WORDS > MOST_WORDS


def test_further_texts_may_be_written_for_readers_and_change_no_figure() -> None:
    before = reciting_report()
    profile = load_profile("nano")
    more = profile.model_copy(
        update={"evaluation": profile.evaluation.model_copy(update={"blind_texts": 16})}
    )
    roles = {"candidate": "twin", "base+prompt+retrieval": "baseline", "base+prompt": "prompted"}
    others = [t for texts in neighbours().values() for t in texts]
    asked: dict[str, int] = {}

    def system(role: str) -> System:
        write = sentences_of([d.voice_text for d in train()] if role == "candidate" else others)

        def counted(conversations: list[list[Message]], tokens: int) -> list[Generation]:
            asked[role] = asked.get(role, 0) + len(conversations)
            return write(conversations, tokens)

        return System("runa:one" if role == "candidate" else "base:one", counted, roles[role])  # type: ignore[arg-type]

    report = run_evaluation({role: system(role) for role in roles}, profile=more)
    measured = asked["base+prompt+retrieval"]
    assert asked == {
        "candidate": measured + 16,
        "base+prompt+retrieval": measured,
        "base+prompt": measured + 16,
    }
    assert len(report.blind_pairs) >= len(before.blind_pairs) + 12
    assert (report.prompts, report.gain) == (24, before.gain)
    for role in roles:
        assert report.systems[role].voice == before.systems[role].voice
        assert report.systems[role].words == before.systems[role].words


def test_an_author_is_read_from_where_they_write_on_the_topic() -> None:
    documents = {d.doc_id: d for d in heldout()}
    for task in write_tasks(heldout(), train()):
        text = documents[task.doc_id].voice_text
        if task.start and (heading := re.search(rf"^#+ {re.escape(task.topic)}", text, re.MULTILINE)):
            assert text[task.start :].lstrip()[:20] == text[heading.end() :].lstrip(" .:,#*_").lstrip()[:20]
