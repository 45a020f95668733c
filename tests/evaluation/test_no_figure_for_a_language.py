"""An author of whose language no other writer is known: no figure of voice, and the report and the page's data say why."""

from datetime import UTC, datetime
from pathlib import Path

from tests.evaluation.evaluation_factories import (
    document,
    neighbours,
    request,
    run_evaluation,
    runa,
    sentences_of,
)
from tests.support.unspaced_texts import japanese
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.lake import LocalLake
from twin_assets.evaluation.contest.write import System
from twin_assets.evaluation.gate import check_gate
from twin_assets.evaluation.report.page import render_html
from twin_assets.evaluation.voice.background import gather
from twin_assets.evaluation.voice.persona_meter import no_voice, persona_instrument, persona_meter
from twin_assets.inference.twin.request_log import write_object
from twin_assets.monitoring.scores.live_voice import add_voices, pooled, read_voices

SAYS = "there is no figure for this language"


def written(split: str, count: int, seed: int) -> list[SplitDocument]:
    return [
        document(f"{split}-{n}", japanese(60, seed=seed + n)).model_copy(update={"split": split})
        for n in range(count)
    ]


def test_the_report_gives_no_voice_rather_than_one_of_languages() -> None:
    train, heldout = written("train", 6, 0), written("heldout", 3, 50)
    own = [d.voice_text for d in train]
    background = gather(["Runa Hollis"], own, neighbours(), packages=False)
    assert (background.people, set(background.left_out.values())) == ({}, {"it is in another language"})
    writer = sentences_of(own)
    report = run_evaluation(
        {"candidate": System("a", writer, "twin"), "base+prompt+retrieval": System("b", writer, "baseline")},
        train=train, heldout=heldout, background=background,
    )  # fmt: skip
    for score in (report.systems["candidate"].voice, report.upper_bound, report.lower_bound):
        assert (score.margin, score.verifier) == (None, None)
        assert score.figure is not None
        assert score.figure.value is None
        assert SAYS in str(score.figure.note)
    assert (report.gain, report.gain_low) == (None, None)
    gate = load_profile("pocket").gate
    voice = next(r for r in check_gate(report, gate) if r.name == "voice_beats_baseline")
    assert not voice.passed
    assert SAYS in voice.message
    page = render_html(report, check_gate(report, gate))
    assert "Whose voice this is can&#39;t be said: there is no figure for this language" in page.replace(
        "&#x27;", "&#39;"
    )
    assert "was not measured: there is no figure for this language" in page
    assert "too little text was written" not in page


def test_what_is_served_has_no_voice_either_and_says_why(tmp_path: Path) -> None:
    lake, corpus, at = LocalLake(tmp_path), written("train", 6, 0), datetime(2026, 1, 1, tzinfo=UTC)
    persona = runa()
    assert persona.impostors, "people are named, in English"
    assert persona_meter(persona, corpus) is None
    assert persona_instrument(persona, corpus, lake, None) is None
    why = no_voice(persona, corpus, lake, None)
    assert SAYS in why
    write_object(
        lake,
        "requests/runa/2026-01-01",
        "a",
        [request(0, time=at, answer=japanese(60), prompt_kind="write_post")],
    )
    add_voices(lake, "runa", "2026-01-01", None, None, why_none=why)
    [found] = pooled(read_voices(lake, "runa"), 1)
    assert (found.figure, found.margin, found.note) == (None, None, why)
