"""Transcripts: whose speech it is, in WebVTT and SRT as recorders, platforms and people write them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.feature.crawl.writing import crawl, settings, stored, write
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.sources import Transcripts
from twin_assets.feature.crawl.formats.talks.captions import read_captions, speech


def who(*files: Path) -> Persona:
    return Persona(
        name="runa", full_name="Runa Hollis", also_known_as=["Runa H."], about="Ferries.", license="CC-BY-4.0",
        transcripts=Transcripts(files=list(files)),
    )  # fmt: skip


def vtt(*cues: str, head: str = "WEBVTT") -> str:
    """A file of cues, each three seconds long and one after the other."""
    times = [
        f"00:{n // 20:02}:{n % 20 * 3:02}.000 --> 00:{(n + 1) // 20:02}:{(n + 1) % 20 * 3:02}.000"
        for n in range(len(cues))
    ]
    return f"{head}\n\n" + "\n\n".join(f"{time}\n{cue}" for time, cue in zip(times, cues, strict=True)) + "\n"


def said(text: str, *own: str) -> str:
    return speech(read_captions(text, ("Runa Hollis",)).cues, set(own) if own else None)


@pytest.mark.parametrize(
    "text",
    [
        vtt(
            "<v Kim Lund>Is it late?",
            "<v Runa Hollis>By four minutes.",
            "<v Runa Hollis>It was <i>always</i> late.</v>",
        ),
        vtt(
            "<v.first Kim Lund>Is it late?\n<v.second.loud Runa Hollis>By four minutes.",
            "<v Runa Hollis>It was always late.",
        ),
        vtt(
            "Kim Lund: Is it late?",
            "Runa Hollis: By four minutes.",
            "It was always late.",
            "Kim Lund: I see.",
        ),
        vtt(
            "KIM: Is it late?",
            "&gt;&gt; RUNA HOLLIS: By four minutes.",
            "It was always late.",
            ">> KIM: I see.",
        ),
        vtt(
            "[Kim Lund] Is it late?",
            "[Runa Hollis] By four minutes.",
            "It was always late.",
            "[Kim Lund] I see.",
        ),
        vtt(
            "(Kim Lund)\nIs it late?\n-\n(Runa Hollis)\nBy four minutes.",
            "(Runa Hollis)\nIt was always late.",
            "(Kim Lund)\nI see.",
        ),
        vtt("- Kim: Is it late?\n- Runa Hollis: By four minutes.", "It was always late.", "Kim: I see."),
    ],
)
def test_only_the_personas_speech_is_kept_however_speakers_are_named(text: str, tmp_path: Path) -> None:
    here = settings(tmp_path)
    path = write(tmp_path / "2020-03-02 harbour.en.vtt", text)
    report = crawl(here, who(path), "transcripts")
    [item] = stored(here, "transcripts")
    assert report.error is None
    assert report.skipped["somebody else speaks"] >= 1
    assert " ".join(item.body.split()) == "By four minutes. It was always late."
    assert (item.title, item.published_at) == ("2020-03-02 harbour", datetime(2020, 3, 2, tzinfo=UTC))


def test_a_file_without_speakers_is_the_personas_and_pauses_make_its_paragraphs() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nIt is, uh,\n\n2\n00:00:02,100 --> 00:00:03,000\n{\\an8}<i>late</i>.\n\n"
    assert (
        said(f"{text}3\n00:00:09,000 --> 00:00:10,000\nAnd yet: it runs.")
        == "It is, uh, late.\n\nAnd yet: it runs."
    )


def test_others_who_speak_between_end_a_paragraph() -> None:
    text = vtt("<v Runa Hollis>One.", "<v Kim>Mm.", "<v Runa Hollis>Two.")
    assert said(text, "Runa Hollis") == "One.\n\nTwo."


def test_notes_styles_settings_sounds_and_entities_are_no_speech() -> None:
    head = "WEBVTT - a talk\nKind: captions\n\nNOTE\nmade by hand --\nfor the harbour\n\nSTYLE\n::cue { color: red }"
    text = vtt(
        "[MUSIC]",
        "Rock &amp; <c.yellow>tide</c>",
        "(applause)",
        "♪ la la ♪",
        "so [inaudible] late",
        head=head,
    )
    assert said(text.replace("03.000\n[M", "03.000 align:start position:0%\n[M")) == "Rock & tide\n\nso late"


def test_lines_that_roll_on_are_said_once() -> None:
    text = vtt(
        " \nthe<00:00:01.000><c> clock</c>",
        "the clock",
        "the clock\nis late",
        "is late",
        "is late\nfour minutes",
        "four minutes",
    )
    assert said(text) == "the clock is late four minutes"
    assert said(vtt("the", "the clock", "the clock is", "the clock is late")) == "the clock is late"


def test_what_was_truly_said_twice_stays_twice() -> None:
    assert said(
        vtt("No.", "No.", "Never at sea.", "In May?", "Perhaps.", "It was June.", "So it was.", "Yes.")
    ).startswith("No. No.")


def test_japanese_lines_are_joined_without_spaces() -> None:
    assert said(vtt("港の時計は", "四分遅れています。")) == "港の時計は四分遅れています。"


def test_one_broken_cue_is_counted_and_the_others_stay(tmp_path: Path) -> None:
    here = settings(tmp_path)
    path = write(
        tmp_path / "talk.srt",
        "1\n00:00:01,000 --> 00:00:02,000\nOne.\n\n2\nxx --> yy\nLost.\n\n3\n0:00:03.5 --> 0:00:04.0\nThree.\n",
    )
    report = crawl(here, who(path), "transcripts")
    assert (report.error, report.skipped) == (None, {"a cue with a broken time": 1})
    assert stored(here, "transcripts")[0].body == "One. Three."


def test_files_of_others_of_other_kinds_and_without_times_are_told(tmp_path: Path) -> None:
    here = settings(tmp_path)
    folder = tmp_path / "talks"
    write(folder / "own.vtt", vtt("<v Runa H.>Mine."))
    write(folder / "kim.vtt", vtt("<v Kim>Theirs."))
    write(folder / "unnamed.vtt", vtt(">> One?", ">> Two."))
    write(folder / "notes.txt", "notes")
    write(folder / "empty.vtt", "WEBVTT\n")
    (folder / "old.srt").write_bytes(
        "1\n00:00:01,000 --> 00:00:02,000\nGrüße aus dem schönen Hafen.\n".encode("cp1252")
    )
    report = crawl(here, who(folder, tmp_path / "none"), "transcripts")
    assert report.skipped == {
        "no speaker is the persona": 2,
        "no transcript (.txt)": 1,
        "unreadable transcript": 1,
    }
    assert "kim.vtt: Kim" in report.left_out["no speaker is the persona"]
    assert report.failed == {"missing file": 1}
    assert {item.item_id: item.body for item in stored(here, "transcripts")} == {
        "own.vtt": "Mine.", "old.srt": "Grüße aus dem schönen Hafen.",
    }  # fmt: skip
