"""Kinds of exports, told by what is inside: names of files say nothing."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from twin_assets.feature.crawl.formats.recognise import label_of, prepare, recognise

WXR = '<?xml version="1.0"?><rss xmlns:wp="http://wordpress.org/export/1.2/"><channel></channel></rss>'
OUTBOX = json.dumps({"type": "OrderedCollection", "orderedItems": []})
GHOST = json.dumps({"db": [{"meta": {}, "data": {"posts": [{"title": "Tides", "html": "<p>Wet.</p>"}]}}]})
TELEGRAM = json.dumps({"name": "Kim", "type": "personal_chat", "id": 1, "messages": []})
TWEETS = "window.YTD.tweets.part0 = []"
WHATSAPP = "02/03/2020, 10:11 - Runa: The clock was wrong.\n02/03/2020, 10:12 - Kim: Again?\n"
STORY = (
    '<html><body><article class="h-entry"><section class="e-content">Wet.</section></article></body></html>'
)
MAIL = "From: Runa <r@x.example>\nTo: kim@x.example\nDate: Mon, 2 Mar 2020 10:11:00 +0000\nSubject: Tides\n\nLate.\n"
MBOX = f"From r@x.example Mon Mar  2 10:11:00 2020\n{MAIL}"
SLACK = {"users.json": "[]", "channels.json": "[]", "general/2020-03-02.json": "[]"}
MEMBERS = {
    "linkedin": {"Shares.csv": "Date,ShareLink,ShareCommentary\n"},
    "linkedin, without posts": {"Profile.csv": "First Name\n", "Positions.csv": "Title\n"},
    "x": {"data/tweets.js": TWEETS, "data/account.js": "window.YTD.account.part0 = []"},
    "x, of 2016": {"data/js/tweets/2016_01.js": "Grailbird.data.tweets_2016_01 = []"},
    "medium": {"posts/2020-01-02_Tides-0123456789ab.html": STORY, "README.html": "<p>Hello</p>"},
    "substack": {"posts.csv": "post_id,is_published\n", "posts/1.tides.html": "<p>Wet.</p>"},
    "wordpress": {"runa.wordpress.xml": WXR},
    "ghost": {"runa.ghost.json": GHOST},
    "mastodon": {"outbox.json": OUTBOX, "actor.json": "{}"},
    "bluesky": {"repo.car": "x"},
    "mail, messages": {"Sent/1.eml": MAIL},
    "mail, a Maildir": {"Maildir/.Sent/cur/1583143860.M1.host:2,S": MAIL, "Maildir/new/x": "y"},
    "mail, boxes without suffix": {"Mail/Sent": MBOX, "Mail/Sent.msf": "// <!-- <mdb:mork"},
    "chats, Telegram": {"result.json": TELEGRAM, "photos/a.jpg": "x"},
    "chats, WhatsApp": {"_chat.txt": WHATSAPP, "a.jpg": "x"},
    "chats, Slack": SLACK,
    "chats, Discord": {"messages/c1/messages.json": "[]", "messages/index.json": "{}"},
    "transcripts": {"one.vtt": "WEBVTT\n", "two.srt": "1\n", "readme.txt": "Of the harbour meetings."},
    "web, Obsidian": {".obsidian/app.json": "{}", "On tides.md": "Wet."},
    "web, Jekyll": {"_config.yml": "title: Tides", "_posts/2020-01-02-tides.md": "Wet."},
    "web, Hugo": {"hugo.toml": "title = 'x'", "content/tides.md": "Wet.", "data/tweets.json": "[1]"},
    "web, plain": {"tides.txt": "Wet.", "boats.html": "<p>Dry.</p>"},
}


def zipped(path: Path, files: dict[str, str], around: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(around + name, text)
    return path


def tarred(path: Path, files: dict[str, str], around: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(around + name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def folder(path: Path, files: dict[str, str], around: str = "") -> Path:
    for name, text in files.items():
        (path / around / name).parent.mkdir(parents=True, exist_ok=True)
        (path / around / name).write_text(text)
    return path


@pytest.mark.parametrize("pack", [zipped, tarred, folder])
@pytest.mark.parametrize("around", ["", "export-2024/"])
@pytest.mark.parametrize("expected", MEMBERS)
def test_an_archive_or_folder_is_told_by_its_files(tmp_path: Path, pack, around: str, expected: str) -> None:
    kind = recognise(pack(tmp_path / "7f3a", MEMBERS[expected], around), "photos.zip")
    source, _, title = expected.partition(", ")
    assert kind.source == source
    if source in ("chats", "web") and title != "plain":
        assert title in kind.title


def test_a_zip_of_zips_is_looked_into(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "i.zip", MEMBERS["linkedin"]).read_bytes()
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("Complete_LinkedInDataExport.zip", inner)
    assert recognise(tmp_path / "outer.zip").source == "linkedin"


@pytest.mark.parametrize(
    ("text", "source", "file"),
    [
        (WXR, "wordpress", ".xml"),
        (OUTBOX, "mastodon", "outbox.json"),
        (GHOST, "ghost", ".json"),
        (TELEGRAM, "chats", ".json"),
        (TWEETS, "x", "tweets.js"),
        ("Date,ShareLink,ShareCommentary,SharedUrl\n", "linkedin", "Shares.csv"),
        (WHATSAPP, "chats", ".txt"),
        ("\u200e[02/03/2020, 10:11:00] Runa: The clock was wrong.\n", "chats", ".txt"),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\nLate.\n", "transcripts", ".vtt"),
        ("\ufeff1\r\n00:00:00,000 --> 00:00:01,000\r\nLate.\r\n", "transcripts", ".srt"),
        (MAIL, "mail", ".eml"),
        (f"{len(MAIL)}\n{MAIL}<?xml version='1.0'?>", "mail", ".emlx"),
        (MBOX, "mail", ".mbox"),
        ("---\ntitle: Tides\n---\nWet.\n", "web", ".md"),
        ("The tide was late, and we waited.\n", "web", ".txt"),
        ("<!doctype html><html><body><p>Wet.</p></body></html>", "web", ".html"),
        ("%PDF-1.7 …", "web", ".pdf"),
    ],
)
def test_a_single_file_is_told_by_its_text(tmp_path: Path, text: str, source: str, file: str) -> None:
    (tmp_path / "7f3a").write_text(text, encoding="utf-8")
    kind = recognise(tmp_path / "7f3a", "what-it-was-called")
    assert (kind.source, kind.file) == (source, file)


def test_a_bluesky_repository_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "7f3a").write_bytes(b"\x3a\xa2eroots\x81\xd8\x2a\x58\x25gversion\x01")
    assert recognise(tmp_path / "7f3a").source == "bluesky"


def test_text_is_markdown_where_its_name_says_so(tmp_path: Path) -> None:
    (tmp_path / "7f3a").write_text("The tide was *late*.\n")
    assert recognise(tmp_path / "7f3a", "tides.markdown").file == ".markdown"
    assert recognise(tmp_path / "7f3a", "../../etc/passwd").file == ".txt"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.csv": "1", "b.csv": "2", "c.json": "[]"}, r"no kind that is read\. Inside: 2 \.csv, 1 \.json \(a\.csv, b\.csv"),
        ({}, "Inside: nothing"),
        ({"messages.html": "<p>x</p>", "js/script.js": ""}, "Export them from Telegram as JSON"),
        ({"your_facebook_activity/posts/your_posts_1.html": "<p>x</p>"}, "Facebook"),
    ],
)  # fmt: skip
def test_what_is_of_no_kind_is_named_with_what_is_inside(tmp_path: Path, files: dict[str, str], said: str) -> None:  # fmt: skip
    with pytest.raises(ValueError, match=said):
        recognise(zipped(tmp_path / "a.zip", files))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty file"),
        (b"\x00\x01\x02\xff\xfe" * 40, "bytes that are no text"),
        (b'{"fruit": [1]}', r"JSON \(fruit\)"),
        (b'{"db": [', "not whole"),
        (b"<?xml version='1.0'?><rss><channel/></rss>", "a feed"),
        (b"PK\x03\x04 and then it broke off", "cut off on its way"),
        (b"\x1f\x8b\x08 not a tar", "unpack it"),
    ],
)
def test_a_file_that_can_not_be_read_says_why(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match=said):
        recognise(tmp_path / "a")


@pytest.mark.parametrize("name", ["../../etc/cron.d/x.md", "/etc/x.md", "C:/x.md", "a/../../x.md"])
def test_a_path_that_leads_out_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", {"posts/a.md": "Wet.", name: "Evil."})
    with pytest.raises(ValueError, match="leads out of the archive"):
        prepare(path, "a.zip", tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_an_encrypted_member_is_an_error(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "a.zip", {"tides.md": "Wet."}).read_bytes())
    for sign in (b"PK\x03\x04", b"PK\x01\x02"):
        data[data.index(sign) + (6 if sign[2:3] == b"\x03" else 8)] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ValueError, match="encrypted"):
        prepare(tmp_path / "a.zip", "a.zip", tmp_path / "into")


def test_a_folders_zip_is_unpacked_without_pictures_and_without_the_folder_around_it(tmp_path: Path) -> None:
    files = {"content/a.md": "Wet.", "content/a.PNG": "x", "_config.yml": "title: x"}
    _, entry = prepare(zipped(tmp_path / "f", files, "blog-main/"), "Blog (main).zip", tmp_path / "into")
    found = sorted(p.relative_to(entry).as_posix() for p in entry.rglob("*") if p.is_file())
    assert (entry.name, found) == ("Blog-main", ["_config.yml", "content/a.md"])


def test_a_member_with_too_long_a_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long a path"):
        prepare(zipped(tmp_path / "a.zip", {"ä" * 150 + ".md": "Wet."}), "a.zip", tmp_path / "into")


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ("WhatsApp Chat - Kim.zip", "WhatsApp-Chat-Kim"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\Blog.tar.gz", "Blog"),
        ("会議 2024-03-02.vtt", "会議-2024-03-02.vtt"),
        ("...", "export"),
        ("", "export"),
        ("a\x00/\n<b>.zip", "b"),
        ("x" * 900, "x" * 60),
    ],
)
def test_a_label_is_never_a_path(given: str, label: str) -> None:
    assert label_of(given) == label
