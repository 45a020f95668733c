"""Preference pairs: three kinds, balanced in length, and only pairs that teach what their kind says."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.feature.instruct.test_datasets import RUNA
from twin_assets.core.datasets.rows import InstructRow, PairKind, PreferenceRow
from twin_assets.core.prompts.templates import user_message
from twin_assets.core.records import Message, Passage
from twin_assets.feature.instruct.refusals import refusal_row
from twin_assets.feature.instruct.tasks import make_row
from twin_assets.feature.preference.build import (
    Candidate,
    PairPrompt,
    build_preference_rows,
    missing_kinds,
    select_pair_prompts,
)
from twin_assets.feature.preference.length_balance import length_balance
from twin_assets.feature.preference.worst import worst_of

SHARES = {"voice": 0.75, "refusal": 0.25, "grounding": 0.3}
NOTES = "The tide table is in the red folder on the bridge, under page six."
ANSWER = (
    "The tide table lives in the red folder on the bridge, page six, where anybody can find it in the dark."
)
OTHER = (
    "A cake for the wedding needs eggs and flour, and an oven that nobody else has booked for the afternoon."
)
system = Message(role="system", content="You are Runa.")


def write_row(n: int) -> InstructRow:
    messages = [
        system,
        user_message("write_post", topic=f"tide {n}"),
        Message(role="assistant", content=f"{ANSWER} {n}"),
    ]
    return make_row(f"d{n % 7}", "write_post", "train", messages)


def answer_row(n: int, notes: str = NOTES) -> InstructRow:
    passage = Passage(chunk_id="c", doc_id="d", url="", category="post", text=notes, start=0, end=1, score=1)
    asked = user_message("answer", [passage] if notes else None, question=f"Where is table {n}?")
    messages = [system, asked, Message(role="assistant", content=f"{ANSWER} {n}")]
    return make_row(f"d{n % 7}", "answer", "train", messages)


def corpus(voice: int = 60, refusal: int = 30, grounding: int = 30) -> list[InstructRow]:
    return [
        *map(write_row, range(voice)),
        *(refusal_row(RUNA, f"What is fact {n}?") for n in range(refusal)),
        *map(answer_row, range(grounding)),
    ]


def kinds(prompts: list[PairPrompt]) -> dict[str, int]:
    return {kind: sum(p.kind == kind for p in prompts) for kind in SHARES}


def test_prompts_are_chosen_by_share_and_voice_fills_what_the_corpus_lacks() -> None:
    prompts = select_pair_prompts(corpus(), 50, SHARES, 17)
    assert kinds(prompts) == {"voice": 28, "refusal": 10, "grounding": 12}
    assert select_pair_prompts(corpus()[::-1], 50, SHARES, 17) == prompts
    assert kinds(select_pair_prompts(corpus(grounding=0), 50, SHARES, 17))["voice"] == 40
    # A question without passages has nothing to be grounded in.
    assert select_pair_prompts([answer_row(1, notes="")], 50, SHARES, 17) == []
    first = [p.row.doc_id for p in prompts if p.kind == "voice"][:7]
    assert len(set(first)) == 7


def test_the_rejected_side_of_a_question_is_asked_for_without_the_passages() -> None:
    for prompt in select_pair_prompts(corpus(), 50, SHARES, 17):
        asked = prompt.conversation[-1].content
        assert "red folder" not in asked
        if prompt.kind == "voice":
            assert prompt.conversation == prompt.row.messages[:-1]
        else:
            assert "If they don't hold the answer" not in asked
            question = re.findall(r"Question: (.+)", prompt.row.messages[-2].content)[0]
            assert asked.endswith(f"Question: {question}")


def pair(kind: PairKind, written: str) -> tuple[list[PreferenceRow], dict[str, int]]:
    row = {"voice": write_row, "refusal": lambda n: refusal_row(RUNA, "What is it?"), "grounding": answer_row}
    [prompt] = select_pair_prompts([row[kind](1)], 4, SHARES, 17)
    built = build_preference_rows([prompt], [[written]], RUNA, SHARES, 17)
    return built.rows, built.dropped


@pytest.mark.parametrize(
    ("kind", "written", "reason"),
    [
        ("voice", "Short.", "rejected_too_short"),
        ("voice", "Eight words are not half of the answer.", "lengths_differ"),
        ("voice", f"{ANSWER} 1", "rejected_is_chosen"),
        ("refusal", "I don't know that one, and I would not want to guess at it, sorry to say to you.", "rejected_declines"),
        ("grounding", f"It is in the red folder on the bridge: {ANSWER}", "rejected_uses_passages"),
    ],
)  # fmt: skip
def test_a_pair_that_teaches_nothing_is_dropped_with_kind_and_reason(
    kind: PairKind, written: str, reason: str
) -> None:
    assert pair(kind, written) == ([], {f"{kind}: {reason}": 1})


def test_a_pair_is_as_closed_as_its_row_and_made_only_where_the_persona_learns_from_that() -> None:
    closed = write_row(1).model_copy(update={"visibility": "connections"})
    [prompt] = select_pair_prompts([closed], 4, SHARES, 17)
    built = build_preference_rows([prompt], [[OTHER]], RUNA, SHARES, 17)
    assert (built.rows, built.dropped) == ([], {"voice: for_connections_only": 1})
    assert missing_kinds({}, {"voice: for_connections_only": 9}) == []
    wide = RUNA.model_copy(update={"train_on": "connections"})
    [row] = build_preference_rows([prompt], [[OTHER]], wide, SHARES, 17).rows
    assert row.visibility == "connections"


@pytest.mark.parametrize("kind", list(SHARES))
def test_a_good_pair_keeps_its_prompt_its_answer_and_its_kind(kind: PairKind) -> None:
    [row], dropped = pair(kind, OTHER)
    assert (row.kind, dropped) == (kind, {})
    # The model that is trained sees the passages, whatever the rejected text was written from.
    assert ("red folder" in row.messages[-1].content) == (kind == "grounding")
    assert row.rejected.content == OTHER
    assert (row.doc_id is None) == (kind == "refusal")


def test_the_worst_of_the_samples_that_are_near_in_length_is_rejected() -> None:
    [prompt] = select_pair_prompts([write_row(1)], 4, SHARES, 17)
    other, short = OTHER.replace("cake", "loaf"), "Too short, bad as it is."
    bad = {OTHER: 0.1, other: 0.9, short: 5.0}
    seen: list[str] = []

    def measure(candidates: Sequence[Candidate]) -> np.ndarray:
        seen.extend(text for _, text in candidates)
        return np.array([[bad[text], np.nan] for _, text in candidates])

    built = build_preference_rows([prompt], [[OTHER, short, other]], RUNA, SHARES, 17, measure)
    assert [row.rejected.content for row in built.rows] == [other]
    assert built.rejected == [(prompt, other)]
    assert seen == [OTHER, other]
    # What none of the samples can teach is dropped once, for the reason of the first.
    none = build_preference_rows([prompt], [["Short.", short]], RUNA, SHARES, 17, measure)
    assert (none.rows, none.dropped) == ([], {"voice: rejected_too_short": 1})


def test_measures_are_added_by_the_places_they_give() -> None:
    # The first is far out in one measure, the second a little worse in both others.
    assert worst_of(np.array([[99.0, 0.1, 0.1], [0.2, 0.2, 0.2], [0.1, 0.15, 0.15]])) == 1
    assert worst_of(np.array([[np.nan, 0.3], [5.0, 0.1]])) == 0
    assert worst_of(np.zeros((3, 0))) == 0


def test_no_kind_has_more_than_its_share_and_what_is_left_out_is_counted() -> None:
    prompts = select_pair_prompts(corpus(voice=20, refusal=30), 40, {"voice": 0.5, "refusal": 0.5}, 17)
    built = build_preference_rows(prompts, [[OTHER]] * len(prompts), RUNA, SHARES, 17)
    refusals = sum(r.kind == "refusal" for r in built.rows)
    assert built.dropped == {"refusal: over_its_share": len(prompts) - len(built.rows)}
    assert len(built.rows) >= 0.7 * len(prompts)
    assert refusals < 20


def test_a_kind_is_missed_only_where_the_model_has_something_to_learn() -> None:
    assert missing_kinds({"voice": 9}, {"refusal: rejected_declines": 9}) == []
    assert missing_kinds({"voice": 9}, {"refusal: rejected_too_short": 9}) == ["refusal"]
    assert missing_kinds({"voice": 9}, {"refusal: rejected_too_short": 2}) == []
    assert missing_kinds({"voice": 9, "refusal": 1}, {"refusal: rejected_too_short": 9}) == []
    assert missing_kinds({"voice": 9}, {}) == []


def made(kind: PairKind, chosen: int, rejected: int) -> PreferenceRow:
    texts = [Message(role="assistant", content="word " * n) for n in (chosen, rejected)]
    return PreferenceRow(
        row_id="r",
        doc_id="d",
        task="t",
        kind=kind,
        split="train",
        messages=[],
        chosen=texts[0],
        rejected=texts[1],
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairings_that_length_decides_rightly(lengths: list[tuple[int, int]]) -> None:
    whole, voice = length_balance([made("voice", c, r) for c, r in lengths])
    chosen, rejected = np.array(lengths).T
    wins = (chosen[:, None] > rejected).mean() + (chosen[:, None] == rejected).mean() / 2
    assert whole.auc == pytest.approx(wins, abs=1e-3)
    assert whole.longer_chosen == pytest.approx(
        (chosen > rejected).mean() + (chosen == rejected).mean() / 2, abs=1e-3
    )
    assert (whole.kind, voice.kind, whole.pairs) == ("all", "voice", len(lengths))


def test_length_that_tells_the_sides_apart_is_said_to() -> None:
    assert length_balance([]) == []
    telling = length_balance([made("voice", 20, 10)] * 30 + [made("refusal", 20, 20)] * 30)
    assert {b.kind: b.tells for b in telling} == {"all": True, "refusal": False, "voice": True}
    # The lengths of both sides are spread alike, and still every chosen text is longer than its own rejected one.
    crossed = [made("voice", n + 1, n) for n in range(1, 60)]
    assert length_balance(crossed)[0].auc < 0.6
    assert length_balance(crossed)[0].tells
    assert not length_balance(crossed[:10])[0].tells


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_a_rejected_text_is_cut_where_it_is_nearest_to_the_chosen_one(sentences: list[int]) -> None:
    text = " ".join(" ".join(["word"] * n) + "." for n in sentences)
    rows, dropped = pair("voice", text)
    wanted = len(write_row(1).messages[-1].content.split())
    if rows:
        got = len(rows[0].rejected.content.split())
        reachable = np.cumsum(sentences)
        assert abs(got - wanted) == min(abs(reachable - wanted))
    else:
        assert set(dropped) <= {"voice: rejected_too_short", "voice: lengths_differ"}
