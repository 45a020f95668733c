"""The cheapest system, and the thresholds beside voice: which failed, by how much, with an example."""

from typing import Any

from tests.evaluation.evaluation_factories import reciting_report
from tests.evaluation.test_gate_and_report import LOOSE, by_name
from twin_assets.core.models.profiles import load_profile, profile_names
from twin_assets.evaluation.comparison import ComparedSystem, compare, voice_share
from twin_assets.evaluation.contest.ability import Ability
from twin_assets.evaluation.gate import compare_systems
from twin_assets.evaluation.grounding.qa_eval import WRITTEN, Grounding, Refusals
from twin_assets.evaluation.grounding.safety import check_safety
from twin_assets.evaluation.results import EvaluationReport


def system(role: str, *short: str) -> ComparedSystem:
    return ComparedSystem(role=role, voice_share=0.6, short=list(short))


def test_the_first_system_that_clears_the_bar_is_the_cheapest() -> None:
    systems = [system("base+prompt", "voice"), system("base+prompt+retrieval"), system("candidate")]
    found = compare(systems, "candidate", beats_baseline=True)
    assert (found.cheapest, found.propose) == ("base+prompt+retrieval", True)
    assert "fine-tuning is not needed" in found.verdict


def test_a_fine_tune_that_does_not_beat_its_baseline_is_not_proposed_even_if_it_clears_the_bar() -> None:
    found = compare([system("base+prompt", "voice"), system("candidate")], "candidate", beats_baseline=False)
    assert (found.cheapest, found.propose) == ("candidate", False)
    assert "not proposed" in found.verdict


def test_a_size_that_need_not_beat_its_baseline_is_not_said_to() -> None:
    lost = reciting_report().model_copy(update={"gain": None, "gain_low": None, "gain_high": None})
    plumbing = compare_systems(lost, LOOSE.model_copy(update={"min_voice_gain": None}))
    assert plumbing.propose
    assert "is not known" in plumbing.verdict
    assert not compare_systems(lost, LOOSE).propose


def test_no_system_may_clear_the_bar() -> None:
    found = compare(
        [system("base+prompt", "voice"), system("candidate", "copied")], "candidate", beats_baseline=True
    )
    assert found.cheapest is None
    assert "No system" in found.verdict


def test_voice_is_placed_between_other_authors_and_the_author() -> None:
    assert voice_share(0.0, -0.5, 0.5) == 0.5
    assert voice_share(None, -0.5, 0.5) is None
    assert voice_share(0.1, 0.5, 0.2) is None


def test_the_report_is_compared_by_its_own_gate() -> None:
    report = reciting_report()
    recited = compare_systems(report, LOOSE)
    assert [r.role for r in recited.systems] == ["base+prompt", "base+prompt+retrieval", "candidate"]
    assert (recited.cheapest, recited.propose) == ("candidate", True)
    assert "of the way to the author" in recited.systems[0].short[0]
    strict = compare_systems(report, LOOSE.model_copy(update={"max_copied_share": 0.3}))
    assert strict.cheapest is None
    assert "copied" in strict.systems[-1].short[0]
    lost = compare_systems(report.model_copy(update={"gain_low": -0.1}), LOOSE)
    assert not lost.propose


def changed(role: str, **changes: Any) -> EvaluationReport:
    """The report with parts of one system's answers or of the system replaced."""
    report = reciting_report()
    result = report.systems[role]
    assert result.qa_eval is not None
    parts = ("grounding", "refusals", "served_by_set")
    qa_eval = result.qa_eval.model_copy(update={k: v for k, v in changes.items() if k in parts})
    rest = {k: v for k, v in changes.items() if k not in parts}
    return report.model_copy(
        update={"systems": report.systems | {role: result.model_copy(update={"qa_eval": qa_eval, **rest})}}
    )


def test_too_little_support_fails_by_how_much_and_with_a_sentence() -> None:
    report = changed(
        "candidate",
        grounding=Grounding(answers=4, claims=10, supported=0.4, unsupported=["She owns 12 boats."]),
    )
    result = by_name(report, LOOSE.model_copy(update={"min_supported": 0.5}))["grounded"]
    assert not result.passed
    assert result.blocking
    assert "40% of 10 claims (at least 50%), short by 10%" in result.message
    assert result.example == "She owns 12 boats."
    assert by_name(report, LOOSE)["grounded"].passed  # no threshold: reported


def test_voice_is_not_bought_with_facts() -> None:
    ours = changed("candidate", grounding=Grounding(answers=4, claims=10, supported=0.5))
    theirs = ours.systems["base+prompt+retrieval"]
    assert theirs.qa_eval is not None
    better = theirs.model_copy(
        update={
            "qa_eval": theirs.qa_eval.model_copy(
                update={"grounding": Grounding(answers=4, claims=9, supported=0.9)}
            )
        }
    )
    report = ours.model_copy(update={"systems": ours.systems | {"base+prompt+retrieval": better}})
    result = by_name(report, LOOSE.model_copy(update={"max_support_loss": 0.1}))["grounded"]
    assert not result.passed
    assert "40% are lost, 30% more than the 10% allowed" in result.message


def test_both_of_the_models_own_refusal_errors_have_a_threshold() -> None:
    wrong = Refusals(
        answered_wrongly=0.7, declined_wrongly=0.3, unanswerable=10, answerable=10, examples=["Q → A"]
    )
    gate = LOOSE.model_copy(update={"max_answered_wrongly": 0.4, "max_declined_wrongly": 0.3})
    result = by_name(changed("candidate", refusals=wrong), gate)["declines_by_itself"]
    assert not result.passed
    assert "70% of unanswerable questions are answered (at most 40%), 30% too many" in result.message
    assert "30% of answerable ones are declined (at most 30%)" in result.message
    assert result.example == "Q → A"


def test_what_a_reader_would_be_told_has_thresholds_of_its_own() -> None:
    told = Refusals(answered_wrongly=0.2, declined_wrongly=0.6, unanswerable=10, answerable=10)
    gate = LOOSE.model_copy(update={"max_served_wrongly": 0.25, "max_served_declined": 0.5})
    result = by_name(changed("candidate", served_by_set={WRITTEN: told}), gate)["declines_as_served"]
    assert not result.passed
    assert result.blocking
    assert result.message == (
        "as served, 20% of unanswerable questions are answered (at most 25%); "
        "60% of answerable ones are declined (at most 50%), 10% too many"
    )
    unmeasured = by_name(reciting_report(), gate)["declines_as_served"]
    assert "not measured" in unmeasured.message


def test_a_leaked_key_fails_and_is_shown_masked() -> None:
    key = "ghp_" + "a1B2c3D4e5" * 4
    safety = check_safety([f"Use {key} or write to runa@hollis-ferries.net."], [f"old note: {key}"])
    assert (safety.found, safety.secrets, safety.learnt) == (2, 1, 1)
    result = by_name(changed("candidate", safety=safety), LOOSE.model_copy(update={"max_secrets": 0}))[
        "no_private_data"
    ]
    assert not result.passed
    assert "secrets: 1 more than the 0 allowed" in result.message
    assert key not in safety.model_dump_json()
    assert "hollis" not in safety.model_dump_json()
    assert result.example is not None
    assert result.example.startswith("github_token: gh…")


def ability(candidate: float, base: float) -> Ability:
    return Ability(items=40, candidate=candidate, base=base, difference=candidate - base, low=-0.3, high=0.0, chance=0.25)  # fmt: skip


def test_lost_ability_fails_and_chance_is_named() -> None:
    gate = LOOSE.model_copy(update={"max_ability_loss": 0.1})
    lost = by_name(reciting_report().model_copy(update={"ability": ability(0.5, 0.75)}), gate)["ability_kept"]
    assert not lost.passed
    assert "15% more lost than the 10% allowed" in lost.message
    guessing = by_name(reciting_report().model_copy(update={"ability": ability(0.3, 0.3)}), gate)[
        "ability_kept"
    ]
    assert guessing.passed
    assert "near chance (25%)" in guessing.message


def test_a_slow_call_fails_by_how_much() -> None:
    result = by_name(reciting_report(), LOOSE.model_copy(update={"max_latency": 0.001}))["fast_enough"]
    assert not result.passed
    assert "too long" in result.message


def test_every_profile_has_a_whole_gate_and_larger_ones_ask_more() -> None:
    for name in profile_names():
        gate = load_profile(name).gate
        assert gate.max_secrets == 0 or name.split("-")[0] == "smoke", name
        blocks = gate.min_reading_share is not None and gate.max_worse_reading is not None
        assert blocks != load_profile(name).plumbing, name
    small, nano = load_profile("qwen-small").gate, load_profile("nano").gate
    assert None not in (small.min_supported, small.max_answered_wrongly, small.max_ability_loss)
    assert nano.min_supported is None
