"""A preview says what collecting an export would bring: through the real spiders, and nothing is stored or asked."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.feature.crawl.formats.test_recognise import MBOX, zipped
from twin_assets.core.persona.definition import Persona, save_persona
from twin_assets.core.persona.sources import Web
from twin_assets.core.uploads.preview import PreviewFailed, PreviewReport, preview_apart
from twin_assets.feature.crawl.preview import as_text
from twin_assets.settings import ROOT

LONG = "The ferry was late, since the tide had turned before the crew came aboard, and nobody had told the harbour. "
SHARES = "Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility\n" + "".join(
    f'2024-05-{n:02} 07:00:00,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A71000000000000000{n:02},"{n}. {LONG}",,,{seen}\n'
    for n, seen in [(1, "PUBLIC"), (2, "PUBLIC"), (3, "CONNECTIONS")]
)
MY_CHAT = "".join(
    f"02/03/2020, 10:{n:02} - {who}: {n} {LONG}\n" for n, who in enumerate(["Skipper", "Kim", "Skipper"], 10)
)


def who(**more: object) -> Persona:
    return Persona.model_validate(
        {"name": "runa", "full_name": "Runa Hollis", "about": "Ferries.", "license": "CC-BY-4.0"} | more
    )


def previewed(path: Path, tmp_path: Path, **more: object) -> PreviewReport:
    return preview_apart(who(**more), path, path.name, tmp_path / "into")


def test_it_counts_what_would_be_kept_by_category_and_visibility_with_dates_languages_and_texts(tmp_path: Path) -> None:  # fmt: skip
    path = zipped(
        tmp_path / "export.zip", {"Shares.csv": SHARES, "Comments.csv": "Date,Link,Message\nx,y,Nice!\n"}
    )
    report = previewed(path, tmp_path, languages=["en", "de"])
    assert (report.source, report.kind, report.entry) == ("linkedin", "LinkedIn's data export", "export.zip")
    assert (report.pieces, report.categories, report.visibilities) == (
        3,
        {"post": 3},
        {"public": 2, "connections": 1},
    )
    assert [str(day)[:10] for day in (report.first, report.last)] == ["2024-05-01", "2024-05-03"]
    assert (report.judged, report.languages, report.needs) == (3, {"en": 3}, ["profile"])
    assert [one.count for one in report.left_out] == [1]
    assert {s.text for s in report.samples} == {f"{n}. {LONG}".strip() for n in (1, 2, 3)}
    assert any("more closed than what may be learnt" in warning for warning in report.warnings)
    assert (tmp_path / "into/source/export.zip").is_file()


def test_a_folders_zip_says_what_is_left_out_and_why_and_what_is_kept_and_not_learnt(tmp_path: Path) -> None:
    files = {
        "_config.yml": "title: x", "_posts/2021-01-02-tides.md": f"---\ntitle: Tides\n---\n{LONG * 6}",
        "_posts/2021-01-03-short.md": "---\ntitle: Short\n---\nToo short.\n", "about.md": "---\npublished: false\n---\nNo.\n",
    }  # fmt: skip
    report = previewed(zipped(tmp_path / "blog.zip", files, "blog/"), tmp_path)
    assert (report.kind, report.entry, report.pieces) == ("a Jekyll site", "blog", 2)
    assert sum(one.count for one in report.left_out) >= 1
    assert report.dropped == {"too_short": 1}
    [sample] = report.samples
    assert (sample.title, sample.text) == ("Tides", (LONG * 6).strip())
    told = as_text(report)
    assert "a Jekyll site" in told
    assert "too short" in told
    assert LONG[:40] in told


def test_an_export_without_a_name_of_the_persona_is_warned_of_with_the_names_that_occur(tmp_path: Path) -> None:  # fmt: skip
    (tmp_path / "chat.txt").write_text(MY_CHAT)
    report = previewed(tmp_path / "chat.txt", tmp_path)
    assert (report.pieces, report.source) == (0, "chats")
    [warning] = report.warnings
    assert "add the name that you bear there to also_known_as" in warning
    assert "Skipper, Kim" in report.left_out[0].samples[0]
    assert "Skipper, Kim" in as_text(report)
    found = previewed(tmp_path / "chat.txt", tmp_path, also_known_as=["Skipper"])
    assert (found.pieces, found.visibilities) == (1, {"private": 1})


def test_the_personas_own_patterns_and_visibility_hold(tmp_path: Path) -> None:
    files = {"a.md": LONG, "drafts-b.md": LONG}
    path = zipped(tmp_path / "notes.zip", files)
    report = previewed(path, tmp_path, web={"exclude": ["drafts-*"], "visibility": "connections", "pages": ["https://x.example/a"]})  # fmt: skip
    assert (report.pieces, report.visibilities) == (1, {"connections": 1})


def test_what_a_persona_declares_elsewhere_is_not_asked_for_in_a_preview(tmp_path: Path) -> None:
    story = f'<html><head><title>Tides</title></head><body><section data-field="body"><p>{LONG * 6}</p></section></body></html>'
    path = zipped(tmp_path / "m.zip", {"posts/2020-01-02_Tides-0123456789ab.html": story})
    report = previewed(path, tmp_path, medium={"feed": "http://127.0.0.1:9/feed"})
    assert (report.pieces, report.warnings) == (1, [])


def test_mail_in_a_maildirs_zip_is_read(tmp_path: Path) -> None:
    mail = MBOX.split("\n", 1)[1].replace("Late.", LONG)
    path = zipped(tmp_path / "m.zip", {"Maildir/.Sent/cur/1583143860.M1.host:2,S": mail})
    report = previewed(path, tmp_path, also_known_as=["r@x.example"])
    assert (report.source, report.pieces, report.categories) == ("mail", 1, {"post": 1})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04 cut", "cut off on its way"),
        (b"a;b\n1;2\n", "no kind that is read"),
    ],
)
def test_a_broken_or_unknown_file_is_an_error_with_the_kinds_that_are_read(tmp_path: Path, data: bytes, said: str) -> None:  # fmt: skip
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(PreviewFailed, match=said) as caught:
        previewed(tmp_path / "a.csv", tmp_path)
    assert "LinkedIn, X, Medium" in caught.value.fix


def test_a_member_that_is_damaged_is_the_archives_own_error(tmp_path: Path) -> None:
    path = zipped(tmp_path / "export.zip", {"Shares.csv": SHARES})
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(PreviewFailed, match="damaged member Shares"):
        previewed(path, tmp_path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tides.md", "a" * 30_000_000)
    with pytest.raises(PreviewFailed, match="zip bomb"):
        previewed(tmp_path / "b.zip", tmp_path)


def command(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"TWIN_PERSONAS_DIR": str(home / "personas"), "TWIN_HOME": str(home / "home")}
    run = [sys.executable, "-m", "twin_assets.cli", "collect", "--preview", *arguments]
    return subprocess.run(run, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_terminal_says_the_same_and_nothing_is_stored(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    save_persona(tmp_path / "personas", who(web=Web(pages=["https://x.example/"])).model_dump(mode="json", exclude_none=True))  # fmt: skip
    path = zipped(tmp_path / "export.zip", {"Shares.csv": SHARES})
    shown = command(tmp_path, str(path))
    assert shown.returncode == 0, shown.stderr
    assert "3 pieces (3 post)" in shown.stdout
    assert shown.stdout.count("──") == 3
    as_json = json.loads(command(tmp_path, str(path), "runa", "--json").stdout)
    assert as_json["pieces"] == 3
    assert not (tmp_path / "home").exists()
    broken = command(tmp_path, str(tmp_path / "personas/runa.yaml"))
    assert (broken.returncode, broken.stdout) == (1, "")
    missing = command(tmp_path, str(tmp_path / "nowhere.zip"))
    told = "".join(missing.stderr.replace("│", "").split())  # which is folded into a box
    assert (missing.returncode, "nowhere.zip" in told, missing.stdout) == (2, True, "")


def test_what_ends_every_piece_is_left_out_of_its_text_as_the_corpus_does(tmp_path: Path) -> None:
    call = "Follow me for more notes on harbours, and tell all of your friends that there are some."
    told = [
        "We painted the old lighthouse red this spring. ", "Nobody counted the ropes in the shed after the storm. ",
        "A new engine came on Monday and would not start. ", "My daughter asked why gulls shout at the bakery. ",
    ]  # fmt: skip
    files = {f"{n}.md": f"{text * 12}\n\n{call}\n" for n, text in enumerate(told)}
    report = previewed(zipped(tmp_path / "notes.zip", files), tmp_path)
    assert len(report.samples) == 4
    assert not any(call in sample.text for sample in report.samples)
