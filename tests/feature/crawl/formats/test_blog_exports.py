"""Exports of blog platforms: what was published, for whom, by whom, and in the form that readers see it."""

import json
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from demo.sites import DemoSites
from demo.sites.answers import Answer
from tests.feature.crawl.formats.test_feeds import PROSE
from tests.feature.crawl.writing import crawl, settings, stored, write_article
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.sources import Ghost, Medium, Substack, WordPress
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.formats.exports.ghost_cards import lexical_html, mobiledoc_html
from twin_assets.feature.crawl.formats.exports.wxr import read_wxr, shown_html
from twin_assets.feature.crawl.items import CrawlReport

HTML = f"<p>{PROSE}</p>" * 6


def only(**source: Any) -> Persona:
    return Persona(name="runa", full_name="Runa Hollis", about="Ferries.", license="CC-BY-4.0", **source)


def collect(home: Path, **source: Any) -> tuple[CrawlReport, dict[str, RawItem]]:
    (name,) = source
    report = crawl(settings(home), only(**source), name)
    return report, {item.item_id: item for item in stored(settings(home), name) if item.kind == "item"}


# --- Substack ---

COLUMNS = "post_id,post_date,is_published,email_sent_at,type,audience,title,subtitle,podcast_url"


def substack_zip(
    path: Path, *rows: str, html: dict[str, str] | None = None, more: dict[str, str] | None = None
) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("posts.csv", "\n".join([COLUMNS, *rows]))
        for row in rows:
            name = row.partition(",")[0]
            archive.writestr(f"posts/{name}.html", (html or {}).get(name, HTML))
        for name, text in (more or {}).items():
            archive.writestr(name, text)
    return path


def row(
    name: str, kind: str = "newsletter", audience: str = "everyone", published: str = "true", title: str = "T"
) -> str:
    return f"{name},2021-09-01T08:00:00.000Z,{published},,{kind},{audience},{title},,"


def test_a_substack_export_gives_what_was_published(tmp_path: Path) -> None:
    path = substack_zip(
        tmp_path / "s.zip",
        row("11.late-clocks", title='"Late &#x2019;clocks&#x2019;, again"'), row("12.not-yet", published="false"),
        row("13.for-readers", audience="only_paid"), row("14.talk", kind="podcast"), row("15.ask", kind="thread"),
        row("16.read-aloud", kind="podcast"), row("17.empty"),
        html={"14.talk": "<p>Notes.</p>", "15.ask": "<p>What do you think?</p>", "17.empty": ""},
        more={"posts/99.stray.html": HTML, "posts/11.late-clocks.delivers.csv": "a,b"},
    )  # fmt: skip
    report, items = collect(tmp_path, substack=Substack(export=path))
    assert report.error is None
    assert report.skipped == {
        "draft": 1, "recording without a text of its own": 1, "discussion thread without a text of its own": 1, "no text": 1,
        "not in posts.csv, so nobody says that it was published": 1,
    }  # fmt: skip
    assert {i: (item.visibility, item.partial) for i, item in items.items()} == {
        "11": ("public", False), "13": ("connections", False), "16": ("public", False),
    }  # fmt: skip
    assert items["11"].title == "Late ’clocks’, again"
    assert items["11"].published_at == datetime(2021, 9, 1, 8, tzinfo=UTC)


def test_an_export_makes_whole_what_the_web_shows_in_part_and_changes_nothing_else(tmp_path: Path) -> None:
    write_article(tmp_path / "w", "substack", 1)
    write_article(tmp_path / "w", "substack", 2, "One.\n\nTwo.\n\nThree.", "audience: only_paid\n")
    path = substack_zip(
        tmp_path / "s.zip", row("9001.piece-1"), row("9002.piece-2", audience="only_paid"), row("8.old")
    )
    with DemoSites(tmp_path / "w") as sites:
        live = only(substack=Substack(url=sites.url("/substack")))
        both = only(substack=Substack(url=sites.url("/substack"), export=path))
        before = crawl(settings(tmp_path), live, "substack")
        reports = [crawl(settings(tmp_path), both, "substack") for _ in range(2)]
    items = {item.item_id: item for item in stored(settings(tmp_path), "substack")}
    assert (before.new, before.partial) == (2, 1)
    assert [(r.error, r.new, r.changed, r.deleted) for r in reports] == [(None, 1, 1, 0), (None, 0, 0, 0)]
    assert (items["9002"].partial, items["9002"].body, items["9002"].visibility) == (
        False,
        HTML,
        "connections",
    )
    assert "mine" in items["9001"].body


def test_a_substack_zip_without_its_table_and_a_declaration_without_a_place_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("posts/1.a.html", HTML)
    report, _ = collect(tmp_path, substack=Substack(export=tmp_path / "s.zip"))
    nowhere, _ = collect(tmp_path / "b", substack=Substack())
    assert "posts.csv is missing" in (report.error or "")
    assert "substack.url" in (nowhere.error or "")
    assert "substack.export" in (nowhere.error or "")


def api_post(number: int, *authors: str, **more: Any) -> dict[str, Any]:
    bylines = [
        {"id": n, "name": name, "handle": name.lower().replace(" ", "")} for n, name in enumerate(authors)
    ]
    return {
        "id": number, "slug": f"p{number}", "title": "Bread &amp; tides", "post_date": "2021-09-01T08:00:00Z", "audience": "everyone",
        "type": "newsletter", "publishedBylines": bylines, "body_html": HTML,
    } | more  # fmt: skip


def test_guests_odd_rows_and_recordings_of_a_publication_are_left_out(tmp_path: Path) -> None:
    posts = [
        api_post(1, "Runa Hollis"), api_post(2, "Gus Guest"), api_post(3, "Gus Guest", "Runa Hollis"), api_post(4),
        api_post(5, type="podcast", body_html=None), api_post(6, audience="only_paid"), api_post(7, title=5, post_date=9),
    ]  # fmt: skip
    with DemoSites(tmp_path) as sites:
        answers = {f"/pub/api/v1/posts/p{p['id']}": Answer.json(p) for p in posts}
        sites.fail |= {"/pub/api/v1/archive": Answer.json([*posts, {"odd": 1}, None, api_post(8)]), **answers}
        report, items = collect(tmp_path, substack=Substack(url=sites.url("/pub/")))
        assert "/pub/api/v1/posts/p2" not in sites.asked
    assert report.error is None
    assert report.skipped == {
        "by another author": 1, "row of the archive without slug or id": 4, "recording without a text of its own": 1,
        "post that the archive lists and that is not there": 1,
    }  # fmt: skip
    assert report.left_out["by another author"][0].endswith("/p/p2 (by Gus Guest)")
    assert {i: (item.visibility, item.partial) for i, item in items.items()} == {
        "1": ("public", False), "3": ("public", False), "4": ("public", False), "6": ("connections", True), "7": ("public", False),
    }  # fmt: skip
    assert items["1"].title == "Bread & tides"


# --- Medium ---


def medium_page(title: str, body: str, ident: str, published: bool = True) -> str:
    time_mark = '<time class="dt-published" datetime="2019-01-02T03:04:05.000Z">x</time>' if published else ""
    link = (
        f'<a class="p-canonical" href="https://medium.com/p/{ident}">c</a>'
        if published
        else '<a href="/x">View original.</a>'
    )
    return (
        f'<!DOCTYPE html><html><head><title>{title}</title></head><body><article class="h-entry"><header><h1 class="p-name">{title}</h1>'
        f'</header><section data-field="body" class="e-content">{body}</section><footer>{time_mark}{link}</footer></article></body></html>'
    )


def test_a_medium_export_gives_stories_and_neither_drafts_nor_responses(tmp_path: Path) -> None:
    pages = {
        "2019-01-02_Late-aaaaaaaa0001.html": ("Salt &amp; tide", f"<h3>Salt &amp; tide</h3>{HTML}", True),
        "draft_Not-yet-aaaaaaaa0002.html": ("Not yet", HTML, False),
        "2019-01-02_Moved-aaaaaaaa0003.html": ("Moved", f"<h3>Moved</h3>{HTML}", False),
        "2019-01-02_I-agree-aaaaaaaa0004.html": (
            "I agree with all of this…",
            "<p>I agree with all of this, and yet.</p>",
            True,
        ),
        "2019-01-02_Note-aaaaaaaa0005.html": ("The harbour clock…", HTML, True),
        "2019-01-02_Bytes-aaaaaaaa0006.html": ("Bytes", "<h3>Bytes</h3><p>Caf\udce9 late</p>", True),
        "2019-01-02_Nothing-aaaaaaaa0007.html": ("Nothing", "<p> </p>", True),
    }
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for name, (title, body, published) in pages.items():
            ident = name.removesuffix(".html").rsplit("-", 1)[-1]
            archive.writestr(
                f"medium/posts/{name}",
                medium_page(title, body, ident, published).encode("utf-8", "surrogateescape"),
            )
    report, items = collect(tmp_path, medium=Medium(export=tmp_path / "m.zip"))
    assert report.error is None
    assert report.skipped == {"draft": 2, "response to a story": 1, "no text": 1}
    assert {i[-1]: (item.title, item.category) for i, item in items.items()} == {
        "1": ("Salt & tide", "article"), "5": ("The harbour clock…", "post"), "6": ("Bytes", "article"),
    }  # fmt: skip


# --- WordPress ---


def wp_item(number: int, content: str = HTML, **fields: str) -> str:
    values = {
        "wp:post_id": str(number),
        "wp:status": "publish",
        "wp:post_type": "post",
        "dc:creator": "runa",
    } | fields
    more = values.pop("more", "")
    tags = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())
    return (
        f"<item><title>Late &amp;#8217;{number}&amp;#8217;</title><link>https://tide.example/{number}/</link>{tags}{more}"
        f"<wp:post_date_gmt>2015-0{number % 9 + 1}-02 03:04:05</wp:post_date_gmt><excerpt:encoded><![CDATA[No]]></excerpt:encoded>"
        f"<content:encoded><![CDATA[{content}]]></content:encoded></item>"
    )


def wxr(*items: str, version: str = "1.2", authors: str | None = None, spaces: bool = True) -> str:
    known = (
        authors if authors is not None else wp_author("runa", "Runa Hollis") + wp_author("gus", "Gus Guest")
    )
    declared = (
        f'xmlns:excerpt="http://wordpress.org/export/{version}/excerpt/" xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:wp="http://wordpress.org/export/{version}/"'
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- an export -->\n<rss version="2.0" {declared if spaces else ""}><channel>'
        f"<title>Tide tables</title><wp:wxr_version>{version}</wp:wxr_version>{known}{''.join(items)}</channel></rss>"
    )


def wp_author(login: str, shown: str) -> str:
    return f"<wp:author><wp:author_login>{login}</wp:author_login><wp:author_display_name><![CDATA[{shown}]]></wp:author_display_name></wp:author>"


def exported(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return path


def test_a_wordpress_export_gives_published_posts_and_pages_of_the_persona(tmp_path: Path) -> None:
    co_author = '<category domain="author" nicename="cap-gus"><![CDATA[Gus Guest]]></category>'
    both = co_author + '<category domain="author" nicename="cap-runa"><![CDATA[Runa Hollis]]></category>'
    statuses = {3: "draft", 4: "private", 5: "trash", 6: "future", 7: "pending"}
    path = exported(
        tmp_path / "w.xml",
        wxr(
            wp_item(1), wp_item(2, **{"wp:post_type": "page"}), *[wp_item(n, **{"wp:status": s}) for n, s in statuses.items()],
            wp_item(8, **{"wp:post_password": "x"}), wp_item(9, **{"dc:creator": "gus"}), wp_item(10, more=co_author),
            wp_item(11, more=both), wp_item(12, **{"wp:post_type": "attachment", "wp:status": "inherit"}), wp_item(13, content=""),
            wp_item(14, **{"dc:creator": "admin"}), wp_item(15, **{"wp:post_type": "nav_menu_item"}),
        ),
    )  # fmt: skip
    report, items = collect(tmp_path, wordpress=WordPress(export=path))
    assert report.error is None
    assert set(items) == {"1", "2", "11", "14"}
    assert report.skipped == {
        "draft": 2, "private": 1, "in the trash": 1, "scheduled, not published yet": 1, "behind a password": 1, "by another author": 2,
        "no post or page (attachment, menu, revision and such)": 2, "no text": 1,
    }  # fmt: skip
    assert (items["1"].title, items["1"].url) == ("Late ’1’", "https://tide.example/1/")
    assert items["1"].published_at == datetime(2015, 2, 2, 3, 4, 5, tzinfo=UTC)
    assert items["1"].body == HTML.replace("</p><p>", "</p>\n<p>")


@pytest.mark.parametrize(
    "text",
    [
        wxr(wp_item(1), version="1.0", authors=""), wxr(wp_item(1), version="1.1"), wxr(wp_item(1), spaces=False),
        "\n\n" + wxr(wp_item(1)), wxr(wp_item(1, content=f"{HTML}\x08\udcff")), wxr(wp_item(1))[:-40],
        wxr(wp_item(1)).replace("http://wordpress.org", "https://wordpress.org"), wxr("<item><title>&nbsp;&foo;</title></item>", wp_item(1)),
    ],
    ids=["1.0", "1.1", "no namespaces", "lines before the declaration", "bad bytes", "cut off", "https", "entities"],
)  # fmt: skip
def test_every_version_and_state_of_a_wordpress_export_is_read(tmp_path: Path, text: str) -> None:
    path = exported(tmp_path / "w.xml", text)
    found = [item for item in read_wxr(path) if item.post_id == "1"]
    assert [(i.status, i.kind, i.title) for i in found] == [("publish", "post", "Late ’1’")]
    assert PROSE in found[0].html


def test_relative_links_of_an_export_lead_to_its_site(tmp_path: Path) -> None:
    text = wxr(wp_item(1).replace("https://tide.example", "")).replace(
        "</title><wp:", "</title><link>https://tide.example</link><wp:", 1
    )
    (found,) = read_wxr(exported(tmp_path / "w.xml", text))
    assert found.link == "https://tide.example/1/"


def test_a_zip_of_wordpress_exports_is_one_source(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("a.xml", wxr(wp_item(1), wp_item(2)))
        archive.writestr("b.xml", wxr(wp_item(2), wp_item(3)))
        archive.writestr("__MACOSX/._a.xml", "\0")
    report, items = collect(tmp_path, wordpress=WordPress(export=tmp_path / "w.zip"))
    assert (report.error, set(items), report.skipped) == (None, {"1", "2", "3"}, {"twice in the export": 1})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not XML|no WordPress"),
        ("hello", "not XML|no WordPress"),
        ("<rss><channel><item/></channel></rss>", "no WordPress export"),
    ],
)
def test_what_is_no_wordpress_export_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(read_wxr(exported(tmp_path / "w.xml", text)))
    report, _ = collect(tmp_path, wordpress=WordPress(export=tmp_path / "nowhere.xml"))
    assert "missing file" in (report.error or "")


def test_entities_of_a_wordpress_export_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("top secret")
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    doctype = f'<!DOCTYPE rss [<!ENTITY l0 "lol">{levels}<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>'
    bomb = wp_item(1).replace("</title>", " &l9; &x;</title>")
    text = wxr(bomb).replace("<!-- an export -->", doctype)
    began = time.monotonic()
    found = list(read_wxr(exported(tmp_path / "w.xml", text)))
    assert time.monotonic() - began < 5
    assert all("secret" not in str(item) and len(str(item)) < 10_000 for item in found)


def test_a_body_reads_as_wordpress_shows_it() -> None:
    classic = (
        'One\ntwo\n\n[caption id="a1"]<img src="x.png"> A boat[/caption]\n\n[code language="python"]\nif a < b:\n\n    x[0]\n[/code]\n\n'
        'He said [sic] and x[i]. [gallery ids="1,2"]\n<ul>\n<li>a</li>\n</ul>\nEnd'
    )
    assert shown_html(classic) == (
        '<p>One<br />\ntwo</p>\n<p><img src="x.png"> A boat</p>\n<pre><code class="language-python">if a &lt; b:\n\n    x[0]</code></pre>\n'
        "<p>He said [sic] and x[i].</p>\n<ul>\n<li>a</li>\n</ul>\n<p>End</p>"
    )
    blocks = '<!-- wp:paragraph {"a":1} -->\n<p>A</p>\n<!-- /wp:paragraph -->\n<!-- wp:code -->\n<pre><code>[a=1]\n\nx</code></pre>\n<!-- /wp:code -->'
    assert shown_html(blocks).split("\n\n\n") == [
        "<p>A</p>",
        "<pre><code>[a=1]\n\nx</code></pre>",
    ] or "[a=1]\n\nx" in shown_html(blocks)
    assert "wp:" not in shown_html(blocks)


# --- Ghost ---

USERS = [
    {"id": "u1", "name": "Runa Hollis", "slug": "runa", "email": "r@e.example"},
    {"id": "u2", "name": "Gus Guest", "slug": "gus"},
]


def ghost_post(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"g{number}", "slug": f"p{number}", "title": "Salt &amp; tide", "html": HTML, "status": "published", "visibility": "public",
        "type": "post", "published_at": "2021-09-01T08:00:00.000Z",
    } | more  # fmt: skip


def ghost_export(path: Path, *posts: Any, signed: dict[str, list[str]] | None = None, **more: Any) -> Path:
    pairs = [
        {"post_id": post, "author_id": user, "sort_order": n}
        for post, users in (signed or {}).items()
        for n, user in enumerate(users)
    ]
    data = {"posts": list(posts), "users": USERS, "posts_authors": pairs} | more
    path.write_text(json.dumps({"db": [{"meta": {"version": "5.0"}, "data": data}]}))
    return path


def test_a_ghost_export_gives_what_was_published_and_says_for_whom(tmp_path: Path) -> None:
    path = ghost_export(
        tmp_path / "g.json",
        ghost_post(1), ghost_post(2, visibility="members"), ghost_post(3, visibility="paid"), ghost_post(4, status="draft"),
        ghost_post(5, status="scheduled"), ghost_post(6), ghost_post(7), ghost_post(8, type="page"), ghost_post(9, status="sent"), "odd",
        ghost_post(10, html=None), ghost_post(11, html='<p><a href="__GHOST_URL__/x">x</a></p>'), ghost_post(12, title=3, slug=None),
        signed={"g1": ["u1"], "g6": ["u2"], "g7": ["u2", "u1"]},
    )  # fmt: skip
    report, items = collect(tmp_path, ghost=Ghost(export=path, url="https://tide.example/"))
    assert report.error is None
    assert report.skipped == {
        "draft": 1, "scheduled, not published yet": 1, "by another author": 1, "row that is no post": 1, "no text": 1,
    }  # fmt: skip
    assert {i: item.visibility for i, item in items.items()} == {
        "g1": "public", "g2": "connections", "g3": "connections", "g7": "public", "g8": "public", "g9": "connections", "g11": "public",
        "g12": "public",
    }  # fmt: skip
    assert (items["g1"].title, items["g1"].url) == ("Salt & tide", "https://tide.example/p1/")
    assert 'href="https://tide.example/x"' in items["g11"].body


@pytest.mark.parametrize(
    "layout",
    [
        {"db": [{"data": {"posts": [ghost_post(1, author_id="u1")], "users": USERS}}]},
        {
            "data": {
                "posts": [ghost_post(1, author_id=1, published_at=1630483200000, page=0)],
                "users": [{"id": 1, "name": "Runa Hollis"}],
            }
        },
        {"posts": [ghost_post(1, authors=[{"name": "Runa Hollis"}], url="https://tide.example/p1/")]},
        {"posts": [ghost_post(1, primary_author={"name": "Runa Hollis"})]},
    ],
    ids=["tables below db", "before 1.0", "authors inside", "primary author"],
)
def test_every_layout_of_a_ghost_export_is_read(tmp_path: Path, layout: dict[str, Any]) -> None:
    (tmp_path / "g.json").write_text(json.dumps(layout))
    report, items = collect(tmp_path, ghost=Ghost(export=tmp_path / "g.json"))
    assert (report.error, report.skipped) == (None, {})
    assert items["g1"].published_at == datetime(2021, 9, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "{", "[" * 100_000])
def test_what_is_no_ghost_export_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "g.json").write_text(text)
    report, _ = collect(tmp_path, ghost=Ghost(export=tmp_path / "g.json"))
    assert "unreadable export" in (report.error or "")
    assert "ghost.export" in (report.error or "")


def text_node(text: str, bits: int = 0) -> dict[str, Any]:
    return {"type": "extended-text", "text": text, "format": bits}


def test_lexical_becomes_html() -> None:
    nodes = [
        {"type": "extended-heading", "tag": "h2", "children": [text_node("Salt & tide")]},
        {"type": "paragraph", "children": [text_node("It was "), text_node("late", 3), {"type": "linebreak"},
                                           {"type": "link", "url": "https://e.example", "children": [text_node("here")]}]},
        {"type": "list", "listType": "number", "children": [{"type": "listitem", "children": [text_node("one")]}]},
        {"type": "extended-quote", "children": [text_node("said")]},
        {"type": "codeblock", "language": "python", "code": "if a < b:\n    pass"},
        {"type": "markdown", "markdown": "A *note*"}, {"type": "callout", "calloutText": "Mind"}, {"type": "image", "src": "x"},
        {"type": "signup", "header": "Subscribe"}, {"type": "text", "text": None, "format": "odd"}, "odd",
    ]  # fmt: skip
    shown = lexical_html(json.dumps({"root": {"children": nodes}}))
    assert shown == (
        "<h2>Salt &amp; tide</h2>\n<p>It was <em><strong>late</strong></em><br><a href=\"https://e.example\">here</a></p>\n"
        "<ol><li>one</li>\n</ol>\n<blockquote>said</blockquote>\n"
        '<pre><code class="language-python">if a &lt; b:\n    pass</code></pre>\n<p>A <em>note</em></p>\n<p>Mind</p>\n'
    )  # fmt: skip


def test_mobiledoc_becomes_html() -> None:
    document = {
        "version": "0.3.1", "atoms": [["soft-return", "", {}]], "markups": [["a", ["href", "https://e.example"]], ["strong"]],
        "cards": [["markdown", {"markdown": "## B"}], ["code", {"code": "x < 1", "language": "js"}], ["image", {"src": "x"}]],
        "sections": [
            [1, "p", [[0, [], 0, "It was "], [0, [0, 1], 2, "late & bent"], [1, [], 0, 0], [0, [], 0, "."]]], [10, 0], [10, 1], [10, 2],
            [3, "ul", [[[0, [], 0, "one"]]]], [10, 99], [1], "odd", [2, "x.png"],
        ],
    }  # fmt: skip
    assert mobiledoc_html(json.dumps(document)) == (
        '<p>It was <a href="https://e.example"><strong>late &amp; bent</strong></a><br>.</p>\n<h2>B</h2>\n\n'
        '<pre><code class="language-js">x &lt; 1</code></pre>\n\n<ul><li>one</li></ul>'
    )


@pytest.mark.parametrize(
    "source",
    ["", "[]", "{}", '{"root": 1}', "[" * 100_000, '{"root": {"children": ' * 900 + "1" + "}}" * 900],
)
def test_broken_editor_documents_are_refused_or_empty(source: str) -> None:
    for read in (lexical_html, mobiledoc_html):
        try:
            assert read(source) == ""
        except ValueError:
            continue
