"""Evaluation end to end: small real writers over the demo's texts."""

from html import unescape
from typing import get_args

import pytest

from tests.evaluation.evaluation_factories import (
    by_hashed_words,
    by_shared_words,
    document,
    generation,
    heldout,
    neighbours,
    passage,
    plan,
    reciting_report,
    run_evaluation,
    runa,
    sentences_of,
    train,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.records import Message, Passage
from twin_assets.core.vectors.base import Filters
from twin_assets.evaluation.contest.write import MOST_PILOTED, ContestWriter, Prompting
from twin_assets.evaluation.evaluate import Instruments, Question, System, read_questions
from twin_assets.evaluation.grounding.qa_eval import MADE, PUBLIC, WRITTEN
from twin_assets.evaluation.grounding.questions import score_retrieval
from twin_assets.evaluation.report.page import render_html
from twin_assets.evaluation.results import EvaluationReport
from twin_assets.evaluation.voice.background import Background
from twin_assets.evaluation.write_tasks import write_tasks
from twin_assets.inference.generation.local import Generation
from twin_assets.inference.twin.answer import Twin


class Recorder:
    """A writer that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[Message]] = []

    def __call__(self, conversations: list[list[Message]], tokens: int) -> list[Generation]:
        if tokens == load_profile("nano").answer_tokens:  # shorter ones are answers to questions
            self.asked += conversations
        return sentences_of([d.voice_text for d in train()])(conversations, tokens)


def test_each_topic_is_searched_once_for_all_systems() -> None:
    searched: list[str] = []

    def retrieve(query: str, k: int, filters: Filters | None) -> list[Passage]:
        searched.append(query)
        return by_shared_words(query, k, filters)

    writer, tasks = (
        ContestWriter(train(), runa(), load_profile("nano"), retrieve, seed=1),
        write_tasks(heldout(), train())[:3],
    )
    prompts = {mode: [writer.conversation(t, mode, 0)[-1] for t in tasks] for mode in get_args(Prompting)}
    assert prompts["twin"] == prompts["baseline"] != prompts["prompted"]
    assert len(searched) == len(set(searched)) == len({t.topic for t in tasks})


def test_a_report_puts_systems_between_other_authors_and_the_author() -> None:
    report = reciting_report()
    candidate, baseline = report.systems["candidate"], report.systems["base+prompt+retrieval"]
    assert candidate.voice.margin is not None
    assert baseline.voice.margin is not None
    assert report.upper_bound.margin is not None
    assert report.lower_bound.margin is not None
    assert candidate.voice.margin > baseline.voice.margin
    assert report.upper_bound.margin > report.lower_bound.margin
    assert report.gain_low is not None
    assert report.gain_low > 0
    assert all(c.voice.windows >= 8 for c in report.systems.values())


def test_a_report_has_figures_from_other_people_to_the_author_and_the_gain_is_one_of_figures() -> None:
    report = reciting_report()
    author, candidate = report.upper_bound.figure, report.systems["candidate"].voice.figure
    baseline = report.systems["base+prompt+retrieval"].voice.figure
    assert author is not None
    assert candidate is not None
    assert baseline is not None
    assert author.value is not None
    assert candidate.value is not None
    assert baseline.value is not None
    assert 0 <= baseline.value < 0.5 < author.value <= 1
    assert candidate.value > baseline.value
    assert report.gain_in == "figure"
    assert report.gain is not None
    assert abs(report.gain) <= 1
    assert report.told_from == len(neighbours())
    assert "twin impostors fetch" in (report.voice_caution or "")


def test_without_other_writers_of_the_language_there_is_no_figure_and_margins_are_compared() -> None:
    others = [t for texts in neighbours().values() for t in texts]
    systems = {
        "candidate": System("runa:one", sentences_of([d.voice_text for d in train()]), "twin"),
        "base+prompt+retrieval": System("base:one", sentences_of(others), "baseline"),
    }
    report = run_evaluation(systems, background=Background({}))
    figure = report.systems["candidate"].voice.figure
    assert figure is not None
    assert figure.value is None
    assert "too little writing" in (figure.note or "")
    assert report.gain_in == "margin"
    assert report.gain is not None


def test_a_reciting_candidate_is_caught_and_the_author_is_not() -> None:
    report = reciting_report()
    assert report.systems["candidate"].copying.copied_share > 0.8
    assert report.systems["base"].copying.copied_share < 0.05
    assert report.upper_bound_copying is not None
    assert report.upper_bound_copying.copied_share < 0.05
    own = report.systems["candidate"].own_voice
    assert own is not None
    assert own.words < 0.3 * report.systems["candidate"].words


def test_questions_give_retrieval_and_both_refusal_rates() -> None:
    report = reciting_report()
    assert report.questions == 2
    assert report.hit_rate is not None
    assert (report.refusal_rate, report.false_refusal_rate) == (1.0, 0.0)


def test_without_questions_nothing_is_made_up() -> None:
    report = run_evaluation({"candidate": System("runa:one", Recorder(), "twin")})
    assert (report.hit_rate, report.mrr, report.refusal_rate, report.false_refusal_rate) == (None,) * 4
    assert (report.gain, report.ability, report.verdicts) == (None, None, [])
    qa_eval = report.systems["candidate"].qa_eval
    assert qa_eval is not None
    assert list(qa_eval.refusals_by_set) == [s.written_by for s in report.question_sets] == [MADE]
    assert qa_eval.refusals.answerable == report.heldout_questions > 0  # those that held-out documents give
    assert qa_eval.refusals == qa_eval.refusals_by_set[MADE]


def test_questions_are_counted_by_who_wrote_them_and_never_together() -> None:
    own = [Question(question="Who won the football World Cup in 2022?", unanswerable=True)]
    public = (Question(question="Is throat cancer treatable?", unanswerable=True),)
    instruments = Instruments(by_shared_words, plan, by_hashed_words, public_questions=public)
    report = run_evaluation(
        {"candidate": System("runa:one", Recorder(), "twin")}, questions=own, instruments=instruments
    )
    counts = {s.written_by: (s.answerable > 0, s.unanswerable) for s in report.question_sets}
    assert counts[WRITTEN] == (False, 1)
    assert counts[PUBLIC] == (False, 1)
    assert counts[MADE][0]
    assert counts[MADE][1] > 1
    assert {s.written_by: s.declined for s in report.question_sets}[WRITTEN] == 1.0
    qa_eval = report.systems["candidate"].qa_eval
    assert qa_eval is not None
    by_set = {name: (r.answerable > 0, r.unanswerable) for name, r in qa_eval.refusals_by_set.items()}
    assert by_set == counts
    assert qa_eval.refusals == qa_eval.refusals_by_set[WRITTEN]
    page = render_html(report, [])
    for name in (WRITTEN, MADE, PUBLIC):
        assert unescape(page).count(name) == 2, name


def test_a_report_survives_json_and_repeats_with_its_seed() -> None:
    report = reciting_report()
    assert EvaluationReport.model_validate_json(report.model_dump_json()) == report
    again = run_evaluation({"candidate": System("runa:one", Recorder(), "twin")})
    assert again.systems["candidate"].voice == report.systems["candidate"].voice


def test_everybody_gets_the_same_tasks_in_their_own_format() -> None:
    twin, baseline, bare = Recorder(), Recorder(), Recorder()
    run_evaluation({
        "candidate": System("a", twin, "twin"),
        "base+prompt+retrieval": System("b", baseline, "baseline"),
        "base": System("b", bare, "bare"),
    })  # fmt: skip
    assert len(twin.asked) == len(baseline.asked) == len(bare.asked) == 24
    for ours, theirs, alone in zip(twin.asked, baseline.asked, bare.asked, strict=True):
        assert [m.role for m in ours] == ["system", "user"]
        assert ours[1] == theirs[1]
        assert "Imitate the writing" in theirs[0].content
        assert [m.role for m in alone] == ["user"]
        assert ours[1].content.endswith(alone[0].content)


def test_the_twin_is_asked_exactly_as_the_service_asks_it() -> None:
    """Otherwise the gate would measure another prompt than the one in production."""

    def from_train(query: str, k: int) -> list[Passage]:
        return by_shared_words(query, k, {"split": "train"})

    asked = Recorder()
    run_evaluation({"candidate": System("a", asked, "twin")})
    served = Twin(runa(), load_profile("nano"), from_train)
    for task, conversation in zip(write_tasks(heldout(), train()), asked.asked, strict=False):
        kind = "linkedin_post" if task.prompt == "write_post" else "article"
        assert served.plan_write(kind, task.topic).conversation == conversation  # type: ignore[arg-type]


def test_no_prompt_hands_over_the_held_out_text() -> None:
    twin, baseline = Recorder(), Recorder()
    run_evaluation({
        "candidate": System("a", twin, "twin"), "base+prompt+retrieval": System("b", baseline, "baseline"),
    })  # fmt: skip
    prompts = " ".join(" ".join(m.content.split()) for c in twin.asked + baseline.asked for m in c)
    for held in heldout():
        words = held.voice_text.split()
        for start in range(0, len(words) - 12, 12):
            assert " ".join(words[start : start + 12]) not in prompts


def test_the_baselines_samples_leave_room_for_the_answer() -> None:
    baseline = Recorder()
    run_evaluation({"candidate": System("a", baseline, "baseline")})
    profile = load_profile("nano")
    for conversation in baseline.asked:
        words = sum(len(m.content.split()) for m in conversation)
        assert words * 1.7 + profile.answer_tokens <= profile.context_tokens
        assert words > 100


def test_brief_writers_are_asked_for_more() -> None:
    asked = Recorder()

    def briefly(conversations: list[list[Message]], tokens: int) -> list[Generation]:
        return [generation(" ".join(g.text.split()[:60])) for g in asked(conversations, tokens)]

    report = run_evaluation({"candidate": System("a", briefly, "twin")})
    assert report.prompts > 24
    assert len({c[-1].content for c in asked.asked}) == report.prompts


def test_a_gain_that_is_told_too_widely_gets_more_texts_of_the_two_that_it_is_between() -> None:
    own, others = [d.voice_text for d in train()], [t for texts in neighbours().values() for t in texts]
    systems = {
        "candidate": System("a", sentences_of([*own, *others]), "twin"),
        "base+prompt+retrieval": System("b", sentences_of(others), "baseline"),
        "base+prompt": System("b", sentences_of(others), "prompted"),
    }
    before = run_evaluation(systems)
    assert before.gain_low is not None
    assert before.gain_high is not None
    half = (before.gain_high - before.gain_low) / 2
    profile, said = load_profile("nano"), list[str]()
    size = profile.evaluation.model_copy(update={"gain_within": half / 2})
    close = run_evaluation(
        systems, profile=profile.model_copy(update={"evaluation": size}), on_progress=said.append
    )
    assert before.prompts < close.prompts <= MOST_PILOTED * before.prompts
    assert close.gain_pairs > before.gain_pairs
    assert [line for line in said if f"{close.prompts - before.prompts} texts more are written" in line]
    words = {role: (before.systems[role].words, close.systems[role].words) for role in systems}
    assert all(words[role][1] > words[role][0] for role in ("candidate", "base+prompt+retrieval"))
    assert words["base+prompt"][1] == words["base+prompt"][0]
    assert close.gain_low is not None
    assert close.gain_high is not None
    assert (close.gain_high - close.gain_low) / 2 < half


def test_topics_come_from_held_out_titles_headings_and_telling_words() -> None:
    post = document("p", "The gantry cranes woke early. " * 8 + "Cranes, gantry.", "post", split="heldout")
    article = document("a", "Opening.\n\n## Why ropes fray\n\nMore.", title="On ropes", split="heldout")
    code = document("c", "print(1)", "code", title="script", split="heldout")
    tasks = write_tasks([post, article, code], train())
    assert {(t.prompt, t.topic) for t in tasks} == {
        ("write_post", "cranes and gantry"), ("write_article", "On ropes"), ("write_article", "Why ropes fray"),
    }  # fmt: skip


def test_too_little_writing_is_said_so() -> None:
    with pytest.raises(TwinError, match="add writing"):
        run_evaluation({"candidate": System("a", Recorder(), "twin")}, train=[document("one", "Short.")])


def test_two_impostors_are_split_by_document_for_the_floor() -> None:
    two = dict(list(neighbours().items())[:2])
    report = run_evaluation({"candidate": System("a", Recorder(), "twin")}, impostors=two)
    assert report.lower_bound.margin is not None
    assert "not shown" in report.lower_bound_is


def test_an_answer_spread_over_passages_counts_where_it_is_complete() -> None:
    shelf = [passage("It was in March 2019.", "a"), passage("Eleven boats.", "b"), passage("12019", "c")]

    def all_of_it(query: str, k: int, filters: dict[str, str | list[str]] | None) -> list[Passage]:
        return shelf

    both = Question(question="When, and how many?", answer_facts=["march 2019", "eleven"])
    score = score_retrieval([both], all_of_it)
    assert (score.hit_rate, score.mrr, score.questions) == (1.0, 0.5, 1)
    part_of_a_word = Question(question="Year?", answer_facts=["201"])
    assert score_retrieval([part_of_a_word], all_of_it).hit_rate == 0
    by_source = Question(question="Boats?", source="b")
    assert score_retrieval([by_source], all_of_it).mrr == 0.5
    assert score_retrieval([Question(question="?", unanswerable=True)], all_of_it).hit_rate is None


def test_the_demos_questions_can_be_read_and_broken_ones_are_named(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    assert len(read_questions(runa().questions)) > 30
    assert read_questions(None) == []
    broken = tmp_path_factory.mktemp("questions") / "q.yaml"
    broken.write_text("- answer_facts: [no question]")
    with pytest.raises(TwinError, match=r"q\.yaml"):
        read_questions(broken)


def test_made_up_words_show_beside_the_authors_own_share() -> None:
    def nonsense(conversations: list[list[Message]], tokens: int) -> list[Generation]:
        return [generation("the weekr in a drassing and the sailingwing of it was " * 13)] * len(
            conversations
        )

    report = run_evaluation({"candidate": System("a", nonsense, "twin")})
    made_up, real = report.systems["candidate"].unseen_words, report.upper_bound_unseen_words
    assert made_up is not None
    assert real is not None
    assert made_up > 0.25 > real
