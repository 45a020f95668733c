"""The gate's verdict in words, and the page that a person decides by."""

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.evaluation.evaluation_factories import reciting_report
from twin_assets.core.models.profiles import Gate
from twin_assets.evaluation.gate import GATES, GateResult, check_gate, compare_systems
from twin_assets.evaluation.report.page import render_html, summary_table
from twin_assets.evaluation.report.plots import voice_plot
from twin_assets.evaluation.results import BEFORE, EvaluationReport
from twin_assets.evaluation.sense.meter import SenseScore

LOOSE = Gate(min_voice_gain=0.0, max_copied_share=1.0, max_copied_words=10_000, min_refusal_rate=0.0)


def by_name(report: EvaluationReport, gate: Gate) -> dict[str, GateResult]:
    return {result.name: result for result in check_gate(report, gate)}


def test_a_candidate_within_every_threshold_passes() -> None:
    results = by_name(reciting_report(), LOOSE)
    assert tuple(results) == GATES
    assert all(r.passed for r in results.values())
    blocking = [name for name, r in results.items() if r.blocking]
    assert blocking == ["voice_beats_baseline", "not_copied", "refuses"]  # the others have no threshold


def reading(**changes: Any) -> EvaluationReport:
    """The report of a candidate whose passages read so."""
    given = {
        "passages": 24,
        "share": 0.95,
        "worse": 0.55,
        "worse_loss": 0.5,
        "loss": 3.8,
        "loss_low": 3.7,
        "loss_high": 3.9,
    }
    score = SenseScore(**(given | changes))
    report = reciting_report()
    candidate = report.systems["candidate"].model_copy(update={"sense": score})
    return report.model_copy(
        update={"systems": report.systems | {"candidate": candidate}, "upper_bound_sense": score}
    )


SENSE = LOOSE.model_copy(update={"min_reading_share": 0.8, "max_worse_reading": 0.8})


def test_what_does_not_read_as_language_is_stopped_before_its_voice_is_asked() -> None:
    assert GATES[0] == "reads_as_language"
    fine = by_name(reading(), SENSE)["reads_as_language"]
    assert (fine.passed, fine.blocking) == (True, True)
    assert "95% of 24 passages read as the author's own do (at least 80%)" in fine.message
    strange = by_name(reading(share=0.4, worst="Mud the of."), SENSE)["reads_as_language"]
    assert not strange.passed
    assert "40% of the passages too few" in strange.message
    assert strange.example == "Mud the of."
    shuffled = by_name(reading(worse=0.97), SENSE)["reads_as_language"]
    assert not shuffled.passed
    assert "worse in 17% of pairs too many" in shuffled.message
    assert compare_systems(reading(worse=0.97), SENSE).cheapest is None


def test_an_unusually_low_loss_is_told_and_blocks_nothing() -> None:
    low = by_name(reading(worse_loss=0.05), SENSE)["reads_as_language"]
    assert low.passed
    assert "unusually easy to predict" in low.message


def test_reading_that_was_not_measured_passes_only_where_nothing_is_asked() -> None:
    report = reading(share=None, worse=None, note="TWIN_REFERENCE_MODEL is none")
    stopped = by_name(report, SENSE)["reads_as_language"]
    assert (stopped.passed, stopped.blocking) == (False, True)
    assert "TWIN_REFERENCE_MODEL is none" in stopped.message
    noise = by_name(reading(share=0.1), LOOSE)["reads_as_language"]
    assert (noise.passed, noise.blocking, noise.mark) == (False, False, "!")
    reported = by_name(report, LOOSE)["reads_as_language"]
    assert (reported.passed, reported.blocking) == (True, False)


def test_reports_of_before_the_measure_load_and_are_not_called_noise() -> None:
    stored = json.loads(reciting_report().model_dump_json())
    del stored["upper_bound_sense"]
    for result in stored["systems"].values():
        del result["sense"]
    report = EvaluationReport.model_validate(stored)
    assert report.systems["candidate"].sense is None
    assert by_name(report, LOOSE)["reads_as_language"].passed
    assert "Does it read as language?" not in render_html(report, check_gate(report, LOOSE))


def test_the_page_says_who_reads_as_language() -> None:
    html = render_html(reading(worse_loss=0.05), check_gate(reading(), SENSE))
    assert "Does it read as language?" in html
    assert "unusually easy to predict" in html
    assert html.index("Does it read as language?") < html.index("<h2>Voice</h2>")


def test_a_gain_below_its_threshold_says_how_much_is_missing() -> None:
    report = reciting_report().model_copy(update={"gain": 0.05, "gain_low": -0.02, "gain_high": 0.12})
    result = by_name(report, LOOSE.model_copy(update={"min_voice_gain": 0.1}))["voice_beats_baseline"]
    assert not result.passed
    assert "must be above +0.100: short by 0.120" in result.message


def test_an_interval_that_reaches_zero_is_no_gain() -> None:
    report = reciting_report().model_copy(update={"gain": 0.2, "gain_low": 0.0})
    assert not by_name(report, LOOSE)["voice_beats_baseline"].passed


def test_a_gain_that_could_not_be_measured_does_not_pass() -> None:
    report = reciting_report().model_copy(update={"gain": None, "gain_low": None, "gain_pairs": 2})
    result = by_name(report, LOOSE)["voice_beats_baseline"]
    assert not result.passed
    assert "too little text" in result.message
    assert "2 pairs" in result.message
    reported = by_name(report, LOOSE.model_copy(update={"min_voice_gain": None}))["voice_beats_baseline"]
    assert (reported.passed, reported.blocking, reported.message) == (True, False, result.message)


def test_copying_over_the_limit_says_by_how_much() -> None:
    gate = LOOSE.model_copy(update={"max_copied_share": 0.3, "max_copied_words": 40})
    result = by_name(reciting_report(), gate)["not_copied"]
    copying = reciting_report().systems["candidate"].copying
    assert not result.passed
    assert f"{copying.copied_share - 0.3:.0%} of words too many" in result.message
    assert f"{copying.longest_words - 40} words too long" in result.message


def test_copying_within_a_lax_limit_is_still_called_reciting() -> None:
    assert "partly recited" in by_name(reciting_report(), LOOSE)["not_copied"].message


def test_refusing_everything_is_no_way_through_the_gate() -> None:
    report = reciting_report().model_copy(update={"refusal_rate": 1.0, "false_refusal_rate": 0.9})
    gate = LOOSE.model_copy(update={"min_refusal_rate": 0.6, "max_false_refusal_rate": 0.2})
    result = by_name(report, gate)["refuses"]
    assert not result.passed
    assert "90% of answerable ones are declined (at most 20%), 70% too many" in result.message
    assert "short by 60%" in by_name(report.model_copy(update={"refusal_rate": 0.0}), gate)["refuses"].message


def test_refusals_that_were_not_measured_are_said_to_be_so() -> None:
    report = reciting_report().model_copy(update={"refusal_rate": None, "false_refusal_rate": None})
    result = by_name(report, LOOSE)["refuses"]
    assert result.passed
    assert "not measured" in result.message


class Page(HTMLParser):
    """Tags and text of a page, and whatever in it points outside."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action") and not (value or "").startswith("data:image/png"):
                self.outside.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


def page(report: EvaluationReport) -> Page:
    return Page(render_html(report, check_gate(report, LOOSE), compare_systems(report, LOOSE)))


def test_the_page_stands_alone() -> None:
    html = render_html(reciting_report(), check_gate(reciting_report(), LOOSE))
    found = Page(html)
    assert found.outside == []
    assert not {"script", "link", "iframe"} & set(found.tags)
    assert "url(" not in html
    assert "@import" not in html
    assert found.tags.count("img") == 2


def test_the_page_says_the_verdict_before_any_figure() -> None:
    text = page(reciting_report()).text
    assert 0 < text.index("passed its gate") < text.index("voice margin")
    assert text.index("This model recites") < text.index("verifier")


def test_the_page_shows_every_system_the_samples_and_the_real_text() -> None:
    report = reciting_report()
    text = page(report).text
    for role, result in report.systems.items():
        assert role in text
        assert result.samples[0].text[:60] in text
    assert report.real_sample[:60] in text
    assert report.lower_bound_is in text


def test_the_page_warns_of_what_the_model_learnt_that_is_not_public() -> None:
    learnt = {"public": 80, "connections": 12, "private": 1}
    warned = page(reciting_report().model_copy(update={"learnt_from": learnt}))
    assert "It learnt from 12 rows for connections only and 1 private row." in warned.text
    assert (
        "It learnt from"
        not in page(reciting_report().model_copy(update={"learnt_from": {"public": 80}})).text
    )


def test_a_failed_gate_turns_the_verdict() -> None:
    report = reciting_report()
    gates = check_gate(report, LOOSE.model_copy(update={"max_copied_share": 0.1}))
    assert "did not pass" in Page(render_html(report, gates)).text


def test_text_of_a_model_cannot_become_markup() -> None:
    report = reciting_report()
    result = report.systems["candidate"]
    sample = result.samples[0].model_copy(update={"text": "<script>alert(1)</script><img src=http://x.org>"})
    changed = result.model_copy(update={"samples": [sample, *result.samples[1:]]})
    report = report.model_copy(update={"systems": report.systems | {"candidate": changed}})
    found = page(report)
    assert "script" not in found.tags
    assert found.outside == []
    assert "<script>alert(1)" in found.text


def test_a_report_with_too_little_text_still_has_a_page_and_a_plot() -> None:
    report = reciting_report()
    empty = {"margin": None, "margin_low": None, "margin_high": None, "verifier": None, "windows": 0}
    silent = {
        role: c.model_copy(update={"voice": c.voice.model_copy(update=empty), "own_voice": None})
        for role, c in report.systems.items()
    }
    nothing = {"gain": None, "gain_low": None, "gain_high": None}
    report = report.model_copy(update={"systems": silent, **nothing})
    assert "too little text" in page(report).text
    assert voice_plot(report).startswith(b"\x89PNG")


def test_the_summary_is_a_markdown_table_with_a_row_for_each() -> None:
    report = reciting_report()
    lines = summary_table(report).split("\n")
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(report.systems) + 2
    assert len({line.count("|") for line in rows}) == 1
    assert any(line.startswith("| candidate") for line in rows)


def test_a_score_above_the_authors_own_is_not_sold_as_a_better_voice() -> None:
    report = reciting_report()
    low = report.upper_bound.model_copy(update={"margin": -1.0})
    assert "More like the author than the author" in page(report.model_copy(update={"upper_bound": low})).text
    high = report.upper_bound.model_copy(update={"margin": 1.0})
    assert "More like the author" not in page(report.model_copy(update={"upper_bound": high})).text


def test_page_and_gate_say_in_a_sentence_where_the_voice_stands() -> None:
    report = reciting_report()
    figure = report.systems["candidate"].voice.figure
    assert figure is not None
    said = f"On the way from other people's writing (0) to the author's own new texts (1) this stands at {figure.value:.2f}."
    shown = page(report).text
    assert said in shown
    assert "The author was told from 4 other people" in shown
    assert "twin impostors fetch" in shown
    assert said in by_name(report, LOOSE)["voice_beats_baseline"].message


def test_what_is_more_typical_than_the_author_is_flagged_wherever_the_figure_stands() -> None:
    report = reciting_report()
    candidate = report.systems["candidate"]
    assert candidate.voice.figure is not None
    typical = candidate.voice.figure.model_copy(
        update={"value": 1.0, "low": 1.0, "high": 1.0, "typical": True}
    )
    voice = candidate.voice.model_copy(update={"figure": typical})
    flagged = report.model_copy(
        update={"systems": report.systems | {"candidate": candidate.model_copy(update={"voice": voice})}}
    )
    assert "More like the author than the author" in page(flagged).text
    assert "1.00 !" in page(flagged).text
    assert "no praise" in by_name(flagged, LOOSE)["voice_beats_baseline"].message
    assert voice_plot(flagged) != voice_plot(report)


def test_the_comparison_asks_the_figure_and_reports_from_before_there_was_one_their_margins() -> None:
    report = reciting_report()
    figure = report.systems["candidate"].voice.figure
    assert figure is not None
    shares = {one.role: one.voice_share for one in compare_systems(report, LOOSE).systems}
    assert shares["candidate"] == figure.value
    stored = report.model_dump(mode="json", exclude={"gain_in", "told_from", "voice_caution"})
    for score in (
        stored["upper_bound"],
        stored["lower_bound"],
        *(s["voice"] for s in stored["systems"].values()),
    ):
        score.pop("figure")
    before = EvaluationReport.model_validate_json(json.dumps(stored))
    assert before.gain_in == "margin"
    margin = before.systems["candidate"].voice.margin
    assert margin is not None
    assert before.lower_bound.margin is not None
    assert before.upper_bound.margin is not None
    place = (margin - before.lower_bound.margin) / (before.upper_bound.margin - before.lower_bound.margin)
    (asked,) = [one for one in compare_systems(before, LOOSE).systems if one.role == "candidate"]
    assert asked.voice_share == pytest.approx(place)
    assert "in margins" in by_name(before, LOOSE)["voice_beats_baseline"].message
    assert voice_plot(before)[:4] == b"\x89PNG"


def test_a_report_stored_under_the_names_of_before_is_read_as_it_was() -> None:
    report = reciting_report()
    stored = report.model_dump(mode="json")
    old = {new: name for name, new in BEFORE.items()}
    stored["systems"] = {
        role: {old.get(name, name): value for name, value in result.items()}
        for role, result in stored["systems"].items()
    }
    stored = {old.get(name, name): value for name, value in stored.items()}
    assert {"contestants", "ceiling", "floor"} <= set(stored)
    assert EvaluationReport.model_validate_json(json.dumps(stored)) == report
