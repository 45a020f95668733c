"""The second stage has to gain something on SFT, surely, and lose nothing: else the model of before is the candidate."""

import pytest

from tests.evaluation.evaluation_factories import run_evaluation, sentences_of, train
from twin_assets.evaluation.evaluate import System
from twin_assets.evaluation.grounding.qa_eval import Answered, Claim, Grounding, Kind, QaEval, Refusals
from twin_assets.evaluation.report.page import render_html, stages_table
from twin_assets.evaluation.stages import StageGains, compare_stages

QUESTIONS = 8


def answers(supported: list[int], declined: list[int]) -> QaEval:
    """`supported` of four claims an answer; `declined` 1 where an unanswerable question is."""

    def one(kind: Kind, held: int, declines: bool) -> Answered:
        claims = [Claim(text="c", support=float(n < held)) for n in range(4)] if kind == "own" else []
        return Answered(kind=kind, question="q", text="t", declined=declines, passages=["p"], claims=claims)

    made = [one("own", held, False) for held in supported]
    made += [one("unanswerable", 0, bool(it)) for it in declined]
    return QaEval(grounding=Grounding(answers=0, claims=0), refusals=Refusals(), answers=made)


def compared(sft: tuple[list[int], list[int]], dpo: tuple[list[int], list[int]]) -> StageGains:
    return compare_stages(([], answers(*sft)), ([], answers(*dpo)), None, None, 17)


@pytest.mark.parametrize(
    ("sft", "dpo", "keeps", "says"),
    [
        (([1] * 8, [0] * 8), ([3] * 8, [0] * 8), True, "gained surely in support and lost surely in nothing"),
        (([2, 1, 3, 2, 1, 3, 2, 2], [0, 1] * 4), ([2, 2, 2, 3, 1, 2, 2, 2], [0, 1] * 4), False, "gained in nothing that this evaluation can tell"),
        (([1] * 8, [1] * 8), ([3] * 8, [0] * 8), False, "gained in support and lost in refusals"),
        (([3] * 8, [1] * 8), ([1] * 8, [1] * 8), False, "gained in nothing and lost in support"),
    ],
)  # fmt: skip
def test_the_verdict_follows_from_intervals(
    sft: tuple[list[int], list[int]], dpo: tuple[list[int], list[int]], keeps: bool, says: str
) -> None:
    found = compared(sft, dpo)
    assert found.keeps_dpo is keeps
    assert says in found.verdict
    assert {one.measure: one.pairs for one in found.gains} == {"support": QUESTIONS, "refusals": QUESTIONS}


def test_a_gain_has_both_means_and_too_few_tasks_have_none() -> None:
    [support, _] = compared(([1] * 8, [0] * 8), ([3] * 8, [0] * 8)).gains
    assert (support.sft, support.dpo, support.gain, support.low, support.high) == (0.25, 0.75, 0.5, 0.5, 0.5)
    assert compared(([1] * 3, [0] * 3), ([3] * 3, [1] * 3)).gains == []


def test_where_the_second_stage_gains_nothing_the_sft_model_is_evaluated_gated_and_reported_as_the_candidate() -> (
    None
):
    own = sentences_of([d.voice_text for d in train()])
    report = run_evaluation(
        {
            "candidate": System("runa:dpo", own, "twin"),
            "base+prompt+retrieval": System("base:one", own, "baseline"),
            "SFT alone": System("runa:sft", own, "twin"),
        },
        method="GRPO",
    )
    assert report.candidate == report.systems["candidate"].model == "runa:sft"
    assert report.systems["with GRPO"].model == "runa:dpo"
    assert "SFT alone" not in report.systems
    assert report.stages is not None
    assert (
        "GRPO gained in nothing that this evaluation can tell: the SFT model is the candidate"
        in report.stages.verdict
    )
    assert "| measure | pairs | SFT | GRPO | GRPO minus SFT | 95% interval |" in stages_table(report.stages)
    html = render_html(report, [], None)
    assert "GRPO minus SFT, with 95% intervals" in html
    assert "DPO" not in html
