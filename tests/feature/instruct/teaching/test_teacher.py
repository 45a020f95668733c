"""A teacher that misbehaves as hosted models do costs no crash, no second payment and no more than its budget."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.sites.answers import Answer
from tests.support.teacher_double import LESSON, TeacherDouble, fitting_lesson
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.llm.hosted import HostedModel
from twin_assets.feature.instruct.build import RowSource, passages_to_teach, unverifiable_rows
from twin_assets.feature.instruct.row_filters import copied_share
from twin_assets.feature.instruct.teaching.teacher import (
    PaidTeaching,
    SyntheticExample,
    Teacher,
    TeacherRequest,
)
from twin_assets.settings import Settings


@pytest.fixture
def double() -> Iterator[TeacherDouble]:
    with TeacherDouble() as server:
        yield server


def teacher(double: TeacherDouble, home: Path, **changes: Any) -> Teacher:
    values: dict[str, Any] = {
        "home": home, "teacher_model": "openai/some-model", "teacher_url": double.url,
        "teacher_api_key": "very-secret", "teacher_backoff": 0.01, "teacher_timeout": 1.0,
    } | changes  # fmt: skip
    return Teacher(Settings(**values), lambda line: None)


def passages(count: int) -> list[TeacherRequest]:
    return [TeacherRequest(title="Mud", text=f"Passage number {n}, of some words.") for n in range(count)]


def teach(double: TeacherDouble, home: Path, count: int, **changes: Any) -> PaidTeaching:
    return teacher(double, home, **changes).teach(passages(count))


def test_every_answer_is_asked_for_once(double: TeacherDouble, tmp_path: Path) -> None:
    first = teach(double, tmp_path, 5)
    again = teach(double, tmp_path, 6)
    assert (first.asked, first.cached, len(first.lessons)) == (5, 0, 5)
    assert (again.asked, again.cached, len(double.asked)) == (1, 5, 6)
    assert first.lessons[passages(1)[0].key] == SyntheticExample.model_validate(LESSON)
    assert "Passage number" in double.asked[0]["messages"][0]["content"]
    assert double.asked[0]["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("fault", ["rate limit", "busy", "slow", "garbage", "half"])
def test_a_passing_fault_is_tried_again(double: TeacherDouble, tmp_path: Path, fault: str) -> None:
    double.script = [fault]
    result = teach(double, tmp_path, 1)
    assert (len(result.lessons), result.dropped, len(double.asked)) == (1, {}, 2)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (["garbage"] * 2, "teacher_malformed"), ([{"topic": "no more"}] * 2, "teacher_malformed"),
        (["refusal"], "teacher_refused"), (["refusal field"], "teacher_refused"), (["empty"], "teacher_empty"),
        (["null"], "teacher_empty"), (["thought only"], "teacher_empty"), (["filtered"], "teacher_filtered"),
        (["thought without an end"], "teacher_empty"), (["tools only"], "teacher_empty"), (["curly refusal"], "teacher_refused"),
        (["thought too long"], "teacher_cut_off"), (["cut off"], "teacher_cut_off"), (["busy"] * 6, "teacher_unavailable"),
    ],
)  # fmt: skip
def test_what_stays_wrong_is_dropped_by_reason(
    double: TeacherDouble, tmp_path: Path, script: list[Any], reason: str
) -> None:
    double.script = list(script)
    assert teach(double, tmp_path, 1).dropped == {reason: 1}
    asked = len(double.asked)
    again = teach(double, tmp_path, 1)
    # A refusal was an answer, and paid for; the rest is asked for again.
    assert len(double.asked) == asked + (reason != "teacher_refused")
    assert len(again.lessons) == (reason != "teacher_refused")


def test_answers_that_are_cut_off_are_said_with_their_fix_and_asked_for_again(
    double: TeacherDouble, tmp_path: Path
) -> None:
    said: list[str] = []
    double.script = ["thought too long", "cut off"]
    settings = Settings(
        home=tmp_path, teacher_model="openai/some-model", teacher_url=double.url, teacher_max_tokens=90
    )
    first = Teacher(settings, said.append).teach(passages(3))
    assert (first.dropped, len(first.lessons)) == ({"teacher_cut_off": 2}, 1)
    assert any(
        "2 answers were cut off at 90 tokens" in line and "TWIN_TEACHER_MAX_TOKENS" in line for line in said
    )
    assert double.asked[0]["max_tokens"] == 90
    assert len(teach(double, tmp_path, 3, teacher_max_tokens=900).lessons) == 3


def test_a_teacher_that_is_always_cut_off_is_not_paid_for_every_passage(
    double: TeacherDouble, tmp_path: Path
) -> None:
    double.script = ["thought too long"] * 200
    with pytest.raises(TwinError, match=r"cut off at 700 tokens.*TWIN_TEACHER_MAX_TOKENS"):
        teach(double, tmp_path, 100)
    assert len(double.asked) < 20


def test_a_refusal_kept_by_an_older_version_is_asked_for_again(double: TeacherDouble, tmp_path: Path) -> None:
    one = teacher(double, tmp_path)
    one.teach(passages(1))
    with sqlite3.connect(tmp_path / "cache" / "teacher.sqlite") as cache:
        cache.execute("update lessons set value = 'refused'")
    assert len(one.teach(passages(1)).lessons) == 1
    assert len(double.asked) == 2


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (
            "temperature",
            "Unsupported value: 'temperature' does not support 0.3 with this model. Only 1 is supported.",
        ),
        ("response_format", "json_object: response_format is not supported by this model"),
    ],
)
def test_a_model_that_refuses_a_parameter_is_asked_without_it(
    double: TeacherDouble, tmp_path: Path, parameter: str, message: str
) -> None:
    double.refuses = {parameter: message}
    assert len(teach(double, tmp_path, 6).lessons) == 6
    # Those that were on their way, four at a time, and none after that.
    assert sum(parameter in asked for asked in double.asked) <= 4
    assert "max_tokens" in double.asked[-1]
    before = len(double.asked)
    teach(double, tmp_path, 7)
    assert [parameter in asked for asked in double.asked[before:]] == [False]


def test_a_limit_of_tokens_goes_under_the_name_that_the_model_takes(
    double: TeacherDouble, tmp_path: Path
) -> None:
    double.refuses = {
        "max_tokens": "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        "temperature": "Unsupported value: 'temperature' does not support 0.3 with this model.",
    }
    assert len(teach(double, tmp_path, 1).lessons) == 1
    last = double.asked[-1]
    assert (last["max_completion_tokens"], "max_tokens" in last, "temperature" in last) == (700, False, False)


def test_a_model_of_the_clients_own_table_that_takes_no_temperature(
    double: TeacherDouble, tmp_path: Path
) -> None:
    assert len(teach(double, tmp_path, 1, teacher_model="openai/o3-mini").lessons) == 1
    assert "temperature" not in double.asked[0]


@pytest.mark.parametrize(
    "message", ["the moon is in the wrong house", "max_completion_tokens: unknown field"]
)
def test_another_refusal_is_named_with_its_fix(double: TeacherDouble, tmp_path: Path, message: str) -> None:
    double.refuses = {"messages": message}
    with pytest.raises(TwinError, match=rf"refused the request \(400\): .*{message}.*TWIN_TEACHER_MODEL"):
        teach(double, tmp_path, 1)
    assert len(double.asked) <= 4


def refusal(status: int, message: str, **more: Any) -> Answer:
    return Answer.json({"error": {"message": message} | more}, status)


@pytest.mark.parametrize(
    "fault",
    [
        refusal(400, "This model's maximum context length is 4096 tokens.", code="context_length_exceeded"),
        refusal(413, "payload"),
    ],
    ids=["context", "413"],
)
def test_a_passage_that_is_too_long_is_counted_and_the_others_are_taught(
    double: TeacherDouble, tmp_path: Path, fault: Answer
) -> None:
    double.script = [fault]
    result = teach(double, tmp_path, 3)
    assert (len(result.lessons), result.dropped) == (2, {"teacher_too_long": 1})


def test_an_account_without_money_is_named_and_not_waited_for(double: TeacherDouble, tmp_path: Path) -> None:
    double.script = [refusal(429, "You exceeded your current quota.", code="insufficient_quota")] * 9
    with pytest.raises(TwinError, match="has no credit left"):
        teach(double, tmp_path, 1)
    assert len(double.asked) == 1


def test_a_provider_that_says_overloaded_in_its_own_way_is_asked_again(
    double: TeacherDouble, tmp_path: Path
) -> None:
    double.script = [refusal(529, "overloaded")] * 2
    assert len(teach(double, tmp_path, 1).lessons) == 1


@pytest.mark.parametrize("answer", [Answer.json({"choices": None}), Answer.html("<html>hello</html>")])
def test_an_answer_that_is_none_is_not_paid_for_six_times(
    double: TeacherDouble, tmp_path: Path, answer: Answer
) -> None:
    double.script = [answer] * 9
    assert teach(double, tmp_path, 1).dropped == {"teacher_unavailable": 1}
    assert len(double.asked) == 2


@pytest.mark.parametrize("step", ["chatty", "thought in the text"])
def test_chatter_round_the_json_is_no_fault(double: TeacherDouble, tmp_path: Path, step: str) -> None:
    double.script = [step]
    assert len(teach(double, tmp_path, 1).lessons) == 1


def test_the_estimate_is_held_against_the_budget_before_anything_is_asked(
    double: TeacherDouble, tmp_path: Path
) -> None:
    prices = {"teacher_price_in": 1_000.0, "teacher_price_out": 1_000.0, "teacher_budget_usd": 0.5}
    with pytest.raises(TwinError, match=r"about \$\d+\.\d\d, the budget is \$0\.50.*TWIN_TEACHER_BUDGET_USD"):
        teach(double, tmp_path, 20, **prices)
    assert double.asked == []


def test_a_budget_that_is_spent_stops_the_run_and_nothing_is_paid_twice(
    double: TeacherDouble, tmp_path: Path
) -> None:
    # The estimate is low for what this model takes: 1,500 tokens an answer.
    prices = {"teacher_price_in": 20.0, "teacher_price_out": 20.0, "teacher_budget_usd": 0.4}
    with pytest.raises(TwinError, match=r"budget of \$0\.40 is spent.*is kept"):
        teach(double, tmp_path, 25, **prices)
    paid = len(double.asked)
    assert 0.4 / 0.03 <= paid < 0.4 / 0.03 + 6
    result = teach(double, tmp_path, 25, **prices | {"teacher_budget_usd": 5.0})
    assert len(result.lessons) == 25
    assert len(double.asked) <= 25 + 4  # at most those that were on their way when it stopped
    assert result.cost == pytest.approx((len(double.asked) - paid) * 0.03)


def test_a_refused_key_is_named_and_never_shown(double: TeacherDouble, tmp_path: Path) -> None:
    double.script = ["bad key"] * 4
    with pytest.raises(TwinError, match="TWIN_TEACHER_API_KEY") as error:
        teach(double, tmp_path, 1)
    assert "very-secret" not in str(error.value)
    assert double.keys[0] == "Bearer very-secret"


def test_an_unknown_price_and_no_teacher_are_errors(double: TeacherDouble, tmp_path: Path) -> None:
    with pytest.raises(TwinError, match="TWIN_TEACHER_PRICE_IN"):
        teacher(double, tmp_path, teacher_url=None, teacher_model="openai/nobody-knows-this")
    with pytest.raises(TwinError, match="TWIN_TEACHER_MODEL"):
        teacher(double, tmp_path, teacher_model=None)
    assert HostedModel(Settings(teacher_model="gpt-4o-mini"), "teacher").cost(1_000, 0) > 0


def test_lessons_make_instructions_and_the_answers_stay_the_authors(tmp_path: Path) -> None:
    from tests.feature.instruct.test_datasets import RUNA, demo_documents, embed, embedded
    from twin_assets.core.models.profiles import load_profile

    documents, profile = demo_documents(), load_profile("nano")
    wanted = passages_to_teach(documents, profile)
    lessons = {p.key: SyntheticExample.model_validate(fitting_lesson(p.text)) for p in wanted}
    # One draft that only repeats the author, and one lesson about something else.
    copied, strayed = [p for p in wanted if len(p.text.split()) > 60][:2]
    lessons[copied.key] = lessons[copied.key].model_copy(
        update={"draft": " ".join(copied.text.split()[2:])[:3_500]}
    )
    lessons[strayed.key] = SyntheticExample.model_validate(
        LESSON
        | {"topic": "growing orchids", "question": "How do I grow orchids?", "draft": "Keep them warm."}
    )
    rows = RowSource(documents, embedded(documents, tmp_path), RUNA, profile, 17, embed).build(lessons)
    assert unverifiable_rows(rows.rows, documents) == []
    rewrites = [r for r in rows.rows if r.task == "rewrite"]
    assert rewrites
    assert rows.dropped["instruction_copies_the_author"] >= 1
    assert 1 <= rows.dropped["teacher_disagrees"] < len(wanted) / 4
    taught = {text_hash(r.messages[-1].content) for r in rewrites}
    assert taught.isdisjoint({copied.key, strayed.key})
    asked = " ".join(m.content for r in rows.rows for m in r.messages if m.role == "user")
    assert "What does she say of this" in asked
    assert "orchids?" not in asked.replace("How do I grow orchids indoors?", "")
    assert copied_share(copied.text, copied.text) == 1
    assert copied_share("Something else entirely.", copied.text) == 0
