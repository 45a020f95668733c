"""Mastodon's archives: whose posts, for whom, and what is half of a talk."""

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.feature.crawl.spiders.social.social import collect
from twin_assets.core.persona.sources import Mastodon
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.items import CrawlReport

ME, BOB = "https://sea.example/users/runa", "https://land.example/users/bob"
PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
FOLLOWERS = f"{ME}/followers"


def note(number: int, content: str, **more: Any) -> dict[str, Any]:
    """An activity that creates a post, listed for everybody unless `more` says otherwise."""
    return {
        "type": "Create", "actor": ME,
        "object": {
            "id": f"{ME}/statuses/{number}", "type": "Note", "url": f"https://sea.example/@runa/{number}",
            "published": f"2024-05-{number:02}T07:00:00Z", "attributedTo": ME, "to": [PUBLIC], "cc": [FOLLOWERS],
            "content": content, "summary": None, "inReplyTo": None, "tag": [],
        } | more,
    }  # fmt: skip


def mention(name: str) -> str:
    return f'<span class="h-card"><a href="https://land.example/@{name}" class="u-url mention">@<span>{name}</span></a></span>'


def archive(tmp_path: Path, outbox: Any, actor: bool = True) -> Mastodon:
    files = {"export/outbox.json": json.dumps(outbox), "export/likes.json": "{}"}
    if actor:
        files["export/actor.json"] = json.dumps({"id": ME, "preferredUsername": "runa", "name": "Runa"})
    path = tmp_path / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            out.addfile(info, io.BytesIO(text.encode()))
    return Mastodon(archive=path)


def posts(tmp_path: Path, *activities: Any, **more: Any) -> tuple[CrawlReport, dict[str, RawItem]]:
    outbox = {"type": "OrderedCollection", "orderedItems": list(activities)}
    report, items = collect(tmp_path, "mastodon", archive(tmp_path, outbox, **more))
    return report, {key.rsplit("/", 1)[-1]: item for key, item in items.items()}


@pytest.mark.parametrize("actor", [True, False])
def test_a_post_becomes_plain_text_with_its_paragraphs_and_whole_links(tmp_path: Path, actor: bool) -> None:
    content = (
        '<p>Late again, <a href="https://sea.example/tags/tides" class="mention hashtag">#<span>tides</span></a>:<br>'
        '<a href="https://tide.example/a-long-log"><span class="invisible">https://</span><span class="ellipsis">'
        "tide.example/a-l</span><span class=\"invisible\">ong-log</span></a></p><p>R&amp;D says &lt;3</p>"
        "<ul><li>rope</li><li>oil</li></ul><blockquote><p>It floats.</p></blockquote>"
    )  # fmt: skip
    tags = [{"type": "Hashtag", "name": "#tides"}]
    one = note(1, content, contentMap={"en-GB": content}, summary="Boats", tag=tags)
    report, items = posts(tmp_path, one, actor=actor)
    assert (report.error, report.skipped) == (None, {})
    item = items["1"]
    assert item.body == (
        "Late again, #tides:\nhttps://tide.example/a-long-log\n\nR&D says <3\n\n- rope\n- oil\n\n> It floats."
    )
    assert (item.title, item.language, item.visibility) == ("Boats", "en", "public")
    assert (item.url, item.author) == ("https://sea.example/@runa/1", "Runa Hollis")
    assert item.published_at == datetime(2024, 5, 1, 7, tzinfo=UTC)
    assert item.payload["tags"] == ["#tides"]


@pytest.mark.parametrize(
    ("to", "cc", "shown"),
    [
        ([PUBLIC], [FOLLOWERS], "public"),
        ([FOLLOWERS], [PUBLIC], "public"),
        ([FOLLOWERS], [BOB], "connections"),
        (FOLLOWERS, None, "connections"),
        ([BOB], [], None),
        ([], [], None),
    ],
    ids=["listed", "unlisted", "followers", "as a string", "letter", "nobody"],
)
def test_who_a_post_was_for_is_kept_and_letters_stay_out(
    tmp_path: Path, to: Any, cc: Any, shown: str | None
) -> None:
    report, items = posts(tmp_path, note(1, "<p>One.</p>", to=to, cc=cc), note(2, "<p>Two.</p>"))
    assert (items["1"].visibility if "1" in items else None) == shown
    assert report.skipped == ({} if shown else {"a private message": 1})


def test_own_replies_are_joined_and_talks_and_boosts_are_left_out(tmp_path: Path) -> None:
    def answer(number: int, content: str, parent: str, **more: Any) -> dict[str, Any]:
        return note(number, content, inReplyTo=parent, **more)

    report, items = posts(
        tmp_path,
        note(1, "<p>One.</p>"),
        answer(2, "<p>Two.</p>", f"{ME}/statuses/1"),
        answer(3, f"<p>{mention('bob')} yes</p>", f"{BOB}/statuses/9"),
        answer(4, f"<p>{mention('bob')} and more</p>", f"{ME}/statuses/3"),
        answer(5, "<p>Its parent is gone.</p>", f"{ME}/statuses/900"),
        answer(6, f"<p>{mention('bob')} so is this one's</p>", f"{ME}/statuses/901"),
        answer(7, "<p>Only for some.</p>", f"{ME}/statuses/1", to=[FOLLOWERS], cc=[]),
        {"type": "Announce", "actor": ME, "object": f"{BOB}/statuses/9"},
        {"type": "Like", "actor": ME, "object": f"{BOB}/statuses/9"},
        note(8, "<p>Not mine.</p>", attributedTo=BOB),
        note(9, "<p>Which?</p>", type="Question", oneOf=[{"name": "This"}]),
        note(10, ""),
    )
    assert {key: item.body for key, item in items.items()} == {
        "1": "One.\n\nTwo.", "5": "Its parent is gone.", "7": "Only for some.", "9": "Which?",
    }  # fmt: skip
    assert [items[key].visibility for key in ("1", "7")] == ["public", "connections"]
    assert report.skipped == {
        "reply to someone else": 3, "a boost": 1, "no post: Like": 1, "by another author": 1, "a post without words": 1,
    }  # fmt: skip


def test_one_record_that_cant_be_read_costs_none_of_the_others(tmp_path: Path) -> None:
    broken = [
        None,
        "text",
        {"type": "Create", "object": {"type": "Note"}},
        {"object": {}},
        note(2, "<p>Two.</p>", id=None),
    ]
    report, items = posts(
        tmp_path, *broken, note(1, "<p>One\ud83d.</p>"), note(3, "<p>Three", tag=None, cc=None)
    )
    assert [item.body for item in items.values() if item.body != "Two."] == ["One\ufffd.", "Three"]
    assert report.error is None
    assert report.skipped["a record that can't be read"] >= 4


@pytest.mark.parametrize("outbox", [[], {"orderedItems": None}, "{"])
def test_an_archive_without_posts_in_it_is_an_error_with_the_fix(tmp_path: Path, outbox: Any) -> None:
    report, _ = collect(tmp_path, "mastodon", archive(tmp_path, outbox))
    assert "outbox.json" in (report.error or "")
    assert "Import and export" in (report.error or "")
