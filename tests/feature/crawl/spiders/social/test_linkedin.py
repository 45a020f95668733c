"""LinkedIn's exports of every age, and what its API says to those who may not use it."""

import csv
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from demo.sites import DemoSites
from demo.sites.answers import Answer
from tests.feature.crawl.spiders.social.social import collect, only
from tests.feature.crawl.writing import crawl, settings, write_post
from twin_assets.core.persona.sources import LinkedIn
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.items import CrawlReport

PROFILE = "https://www.linkedin.com/in/r"
COLUMNS = ["Date", "ShareLink", "ShareCommentary", "SharedUrl", "MediaUrl", "Visibility"]


def link(number: int, kind: str = "share") -> str:
    return f"https://www.linkedin.com/feed/update/urn%3Ali%3A{kind}%3A{7_100_000_000_000_000_000 + number}"


def row(number: int, text: str, visibility: str = "PUBLIC", **more: str) -> list[str]:
    return [f"2024-05-{number:02} 07:00:00", more.get("link", link(number)), text, "", "", visibility]


def table(*rows: list[str], columns: list[str] = COLUMNS, **dialect: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", **dialect).writerows([columns, *rows])
    return out.getvalue()


def export(tmp_path: Path, files: dict[str, str | bytes], **more: Any) -> LinkedIn:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "linkedin.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return LinkedIn(profile=PROFILE, export=path, **more)


def read(
    tmp_path: Path, files: dict[str, str | bytes], **more: Any
) -> tuple[CrawlReport, dict[str, RawItem]]:
    return collect(tmp_path, "linkedin", export(tmp_path, files, **more))


def bodies(items: dict[str, RawItem]) -> list[str]:
    return [item.body for item in items.values()]


def article(published: str, body: str = "<p>It was wet.</p>", head: str = "", title: str = "On tides") -> str:
    return (
        f"<html><head><title>x</title><style>p {{margin: 0}}</style></head><body>{head}"
        f'<h1><a href="https://www.linkedin.com/pulse/on-tides-r">{title}</a></h1>'
        f'<p class="created">Created on 2024-05-01 07:10</p><p class="published">{published}</p>'
        f"<div>{body}</div></body></html>"
    )


def test_an_export_needs_no_token_and_no_network(tmp_path: Path) -> None:
    report, items = read(tmp_path, {"Shares.csv": table(row(1, "One.", "CONNECTIONS"))})
    assert (report.error, report.requests) == (None, 0)
    [item] = items.values()
    assert (item.body, item.visibility, item.url) == ("One.", "connections", link(1))
    assert item.published_at == datetime(2024, 5, 1, 7, tzinfo=UTC)


def test_quotes_around_every_line_are_taken_off_and_ones_own_are_left(tmp_path: Path) -> None:
    """The kind: the export ends and begins each line of a post with a quote, then quotes the whole once more."""
    wrapped = [
        row(1, 'One."\n""\n"Two.'),
        row(2, 'He said "yes"'),
        row(3, 'So "this"\n"that'.replace("\n", '"\n"')),
    ]
    _, items = read(tmp_path / "a", {"Shares.csv": table(*wrapped)})
    assert bodies(items) == ["One.\n\nTwo.", 'He said "yes"', 'So "this"\n"that']
    plain = [row(1, 'She said "yes"\n"no", I said'), row(2, "One.\n\nTwo.")]
    _, items = read(tmp_path / "b", {"Shares.csv": table(*plain)})
    assert bodies(items) == ['She said "yes"\n"no", I said', "One.\n\nTwo."]


OLD = [
    "Date",
    "Share Title",
    "Share Description",
    "Share Link",
    "Share Commentary",
    "Shared URL",
    "Type",
    "Visibility",
]


@pytest.mark.parametrize(
    "data",
    [
        ("\ufeff" + table(row(1, "Ängel; drüben."))).encode(),
        table(row(1, "Ängel; drüben."), delimiter=";").encode(),
        table(row(1, "Ängel; drüben.")).replace("\n", "\r\n").encode("utf-16"),
        table(row(1, "Ängel; drüben.")).encode("cp1252"),
        b'Notes:\n"Posts, and when they were written."\n\n' + table(row(1, "Ängel; drüben.")).encode(),
        table(
            ["2024/05/01 07:00:00 UTC", "Their page", "Their words", link(1), "Ängel; drüben.", "", "Home", "Public"],
            columns=OLD, delimiter="\t", quoting=csv.QUOTE_ALL,
        ).encode("utf-16"),
        table(
            *(row(n, "Ängel; drüben." if n == 1 else "") for n in (1, 2)),
            columns=["Datum", "Beitragslink", "Beitragstext", "Geteilte URL", "Medien-URL", "Sichtbarkeit"],
        ).encode(),
    ],
    ids=["BOM", "semicolons", "UTF-16", "one byte a letter", "notes above", "layout of 2018", "other language"],
)  # fmt: skip
def test_a_table_is_read_whatever_its_spelling(tmp_path: Path, data: bytes) -> None:
    report, items = read(tmp_path, {"Shares.csv": data})
    assert (report.error, bodies(items)) == (None, ["Ängel; drüben."])
    [item] = items.values()
    assert (item.published_at, item.visibility) == (datetime(2024, 5, 1, 7, tzinfo=UTC), "public")


def test_a_quote_that_is_never_closed_costs_its_own_row_only(tmp_path: Path) -> None:
    whole = table(row(1, "One, and more."), row(2, "Two, and more."), row(3, "Three, and more."))
    _, items = read(tmp_path, {"Shares.csv": whole.replace('and more."', "and more.", 1)})
    assert [item.body for item in items.values() if item.item_id != "7100000000000000001"] == [
        "Two, and more.",
        "Three, and more.",
    ]


def test_split_tables_and_parts_beside_each_other_are_one_export(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, files in (
        ("Basic_LinkedInDataExport.zip", {"Shares_1.csv": table(row(1, "One.")), "Shares_2.csv": table(row(2, "Two."))}),
        ("Complete_LinkedInDataExport.zip", {"Shares_17529409.csv": table(row(2, "Two."), row(3, "Three."))}),
    ):  # fmt: skip
        with zipfile.ZipFile(parts / name, "w") as archive:
            for member, text in files.items():
                archive.writestr(member, text)
    report, items = collect(tmp_path, "linkedin", LinkedIn(profile=PROFILE, export=parts))
    assert bodies(items) == ["One.", "Two.", "Three."]
    assert report.skipped == {"repeated in the export": 1}


@pytest.mark.parametrize(
    ("said", "declared", "shown"),
    [
        ("PUBLIC", None, "public"),
        ("Anyone", None, "public"),
        ("LOGGED_IN", None, "public"),
        ("CONNECTIONS", "public", "connections"),
        ("SOMETHING_NEW", "public", "connections"),
        ("PUBLIC", "private", "private"),
        ("MEMBER_NETWORK", None, "connections"),
        ("MEMBER_NETWORK", "public", "public"),
        ("", None, "connections"),
    ],
)
def test_a_posts_audience_is_never_widened(tmp_path: Path, said: str, declared: Any, shown: str) -> None:
    """MEMBER_NETWORK stands beside nearly every post of an export, so there the persona's own word counts."""
    _, items = read(tmp_path, {"Shares.csv": table(row(1, "One.", said))}, visibility=declared)
    assert [item.visibility for item in items.values()] == [shown]


def test_posts_to_a_group_are_not_public(tmp_path: Path) -> None:
    group = link(1, "groupPost").replace("7100000000000000001", "8137-7100000000000000001")
    _, items = read(tmp_path, {"Shares.csv": table(row(1, "One.", link=group))}, visibility="public")
    assert [(item.item_id, item.visibility) for item in items.values()] == [
        ("7100000000000000001", "connections")
    ]


def test_what_is_no_piece_of_ones_own_is_counted(tmp_path: Path) -> None:
    report, items = read(tmp_path, {
        "Shares.csv": table(row(1, "One."), row(2, ""), ["and the rest", "", "of a row", "", "", ""]),
        "Comments.csv": table([row(3, "")[0], link(3), "Congratulations!"], columns=["Date", "Link", "Message"]),
        "InstantReposts.csv": table([row(4, "")[0], link(4)], columns=["Date", "Link"]),
        "Reactions.csv": table(["2024-05-01", "LIKE", link(5)], columns=["Date", "Type", "Link"]),
        "messages.csv": "FROM,CONTENT\nBob,Hi\n",
    })  # fmt: skip
    assert bodies(items) == ["One."]
    assert report.skipped == {
        "a share without words": 1, "a row that can't be read": 1, "a comment": 1, "a repost": 1,
    }  # fmt: skip


def test_a_time_comes_from_the_posts_id_where_its_row_has_none(tmp_path: Path) -> None:
    undated = ["", link(0), "One.", "", "", "PUBLIC"]
    _, items = read(tmp_path, {"Shares.csv": table(undated)})
    [item] = items.values()
    assert item.published_at is not None
    assert item.published_at.date().isoformat() == "2023-08-23"


def test_an_articles_dates_are_fields_and_no_text(tmp_path: Path) -> None:
    page = article("Published on 2024-05-02 08:30", body="<p>It was wet.</p><p>Published on paper, too.</p>")
    _, items = read(tmp_path, {"Articles/Articles/on-tides-r.html": page})
    [item] = items.values()
    assert (item.title, item.url, item.category) == (
        "On tides",
        "https://www.linkedin.com/pulse/on-tides-r",
        "article",
    )
    assert item.published_at == datetime(2024, 5, 2, 8, 30, tzinfo=UTC)
    assert "It was wet." in item.body
    assert "Published on paper, too." in item.body
    for field in ("Created on", "2024-05-02", "On tides", "margin"):
        assert field not in item.body


@pytest.mark.parametrize("said", ["Published on ", "Published on ---", "Not published yet", ""])
def test_an_article_that_was_never_published_is_left_out(tmp_path: Path, said: str) -> None:
    report, items = read(tmp_path, {
        "Articles/draft.html": article(said),
        "Articles/edit.html": article("").replace("/pulse/on-tides-r", "/post/edit/63451231"),
        "Articles/on-tides-r.html": article("Published on 2024-05-02 08:30"),
        "Articles/empty.html": article("Published on 2024-05-02 08:30", body=""),
    })  # fmt: skip
    assert list(items) == ["article/on-tides-r.html"]
    assert report.skipped == {"an article that was never published": 2, "an article without text": 1}
    assert report.left_out["an article that was never published"][0] == "Articles/draft.html"


def test_an_article_page_without_classes_or_dates_is_read_too(tmp_path: Path) -> None:
    _, items = read(tmp_path, {
        "Articles/a.html": "<title>Old</title><h1>Old</h1><p>Published on 2016-01-02</p><div>Wet.</div>",
        "Articles/b.html": "<html><title>Older</title><p>Wet, too.</p></html>",
    })  # fmt: skip
    assert [(i.title, i.published_at and i.published_at.year) for i in items.values()] == [
        ("Old", 2016),
        ("Older", None),
    ]
    assert "2016" not in items["article/a.html"].body
    assert "Wet, too." in items["article/b.html"].body


def test_words_to_a_picture_are_kept_where_no_post_has_them(tmp_path: Path) -> None:
    when = "You uploaded a {0} on May 1, 2024 at 9:37 AM (GMT)"
    media = table(
        [when.format("feed photo"), "The ferry at dawn, seen from the pump room.", "https://m.example/1"],
        [when.format("feed photo"), "A post? and its f?rry", "https://m.example/2"],
        [when.format("feed video"), "Only half of it?s readable ? here", ""],
        [when.format("feed video"), "Only half of it?s readable ? here", "https://m.example/5"],
        [when.format("feed document"), "IMG_2034.jpg", "https://m.example/3"],
        [when.format("profile photo"), "Me at work", "https://m.example/4"],
        columns=["Date/Time", "Media Description", "Media Link"],
    )
    report, items = read(
        tmp_path, {"Rich_Media.csv": media, "Shares.csv": table(row(1, "A post… and its färry."))}
    )
    assert bodies(items) == [
        "A post… and its färry.", "The ferry at dawn, seen from the pump room.", "Only half of it?s readable ? here",
    ]  # fmt: skip
    assert [item.partial for item in items.values()] == [False, False, True]
    assert [i.published_at for i in items.values()][1] == datetime(2024, 5, 1, 9, 37, tzinfo=UTC)
    assert report.skipped == {
        "media whose words a post has": 2, "media without words": 1, "a picture of the profile or of an article": 1,
    }  # fmt: skip


def test_one_file_that_cant_be_read_costs_none_of_the_others(tmp_path: Path) -> None:
    report, items = read(tmp_path, {
        "Shares_1.csv": "Alpha,Beta\nno,posts\n",
        "Shares_2.csv": table(row(1, "Half a pair: \ufffd and NUL\0.")),
        "Articles/a.html": "<!-- nothing -->",
    })  # fmt: skip
    assert bodies(items) == ["Half a pair: \ufffd and NUL."]
    assert report.error is None
    assert report.skipped["a file that can't be read"] >= 1


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (401, "TWIN_LINKEDIN_TOKEN"),
        (403, "members in the EEA and Switzerland only"),
        (404, "members in the EEA and Switzerland only"),
        (426, "TWIN_LINKEDIN_VERSION"),
    ],
)
def test_a_refusal_names_its_reason_and_points_to_the_export(tmp_path: Path, status: int, named: str) -> None:
    with DemoSites(tmp_path / "w") as sites:
        sites.fail["/linkedin/rest/memberSnapshotData"] = Answer.json({"status": status}, status)
        who = only(linkedin=LinkedIn(profile=PROFILE, api=sites.url("/linkedin")))
        report = crawl(settings(tmp_path), who, "linkedin")
    assert named in (report.error or "")
    assert "linkedin.export" in (report.error or "")


def test_the_missing_token_says_who_can_have_one(tmp_path: Path) -> None:
    report = crawl(
        settings(tmp_path, linkedin_token=None), only(linkedin=LinkedIn(profile=PROFILE)), "linkedin"
    )
    assert "EEA and Switzerland only" in (report.error or "")
    assert "linkedin.export" in (report.error or "")


def test_the_version_of_the_api_is_a_setting(tmp_path: Path) -> None:
    write_post(tmp_path / "w", 1)
    with DemoSites(tmp_path / "w") as sites:
        who = only(linkedin=LinkedIn(profile=PROFILE, api=sites.url("/linkedin")))
        right = crawl(settings(tmp_path / "a"), who, "linkedin")
        wrong = crawl(settings(tmp_path / "b", linkedin_version="202001"), who, "linkedin")
    assert (right.error, right.new) == (None, 1)
    assert "version 202001" in (wrong.error or "")
