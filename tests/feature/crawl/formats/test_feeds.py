"""Feeds in every format and state that blogs serve them in, read to entries."""

import json
import time
from datetime import UTC, datetime

import pytest

from twin_assets.feature.crawl.formats.bylines import signed_by
from twin_assets.feature.crawl.formats.feed_entries import Entry, Feed
from twin_assets.feature.crawl.formats.feeds import is_feed, read_feed
from twin_assets.feature.crawl.formats.values import parse_time, plain_title

PROSE = (
    "The harbour clock ran four minutes late all winter, and nobody could say why, until the keeper moved the lamp "
    "and saw that its heat had bent the long hand a little every evening."
)
SITE = "https://clock.example/feed"


def rss(*items: str, channel: str = "", head: str = '<?xml version="1.0"?>') -> bytes:
    spaces = (
        'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" xmlns:atom="http://www.w3.org/2005/Atom"'
    )
    body = "".join(f"<item>{item}</item>" for item in items)
    text = f'{head}<rss version="2.0" {spaces}><channel><title>Late clocks</title>{channel}{body}</channel></rss>'
    return text.encode()


def atom(*entries: str, feed: str = "", version: str = "http://www.w3.org/2005/Atom") -> bytes:
    body = "".join(f"<entry>{entry}</entry>" for entry in entries)
    return f'<feed xmlns="{version}"><title>Late clocks</title>{feed}{body}</feed>'.encode()


def json_feed(*items: object, **more: object) -> bytes:
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "Late clocks", "items": items, **more}
    return json.dumps(feed).encode()


def read(data: bytes, kind: str = "application/xml") -> Feed:
    return read_feed(data, kind, SITE)


def only(data: bytes, kind: str = "application/xml") -> Entry:
    (entry,) = read(data, kind).entries
    return entry


@pytest.mark.parametrize(
    "data",
    [
        rss("<title>T</title><link>/t</link><description>D</description>"),
        b'<rss version="0.91"><channel><item><title>T</title><link>/t</link><description>D</description></item></channel></rss>',
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">'
        b'<item rdf:about="x"><title>T</title><link>/t</link><description>D</description></item></rdf:RDF>',
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://my.netscape.com/rdf/simple/0.9/">'
        b"<item><title>T</title><link>/t</link><description>D</description></item></rdf:RDF>",
        atom('<title>T</title><link href="/t"/><content>D</content>', version="http://purl.org/atom/ns#"),
        atom('<title>T</title><link href="/t"/><content type="text">D</content>'),
        b"<!-- made by hand -->\n<!DOCTYPE rss [<!ELEMENT rss ANY>]>\n"
        + rss("<title>T</title><link>/t</link><description>D</description>", head=""),
        json_feed({"id": 7, "url": "/t", "title": "T", "content_text": "D"}),
        b'\xef\xbb\xbf{"version": "https://jsonfeed.org/version/1", "items": [{"id": "a", "url": "/t", "title": "T",'
        b' "content_html": "D"}]}',
    ],
    ids=["RSS 2.0", "RSS 0.91", "RSS 1.0", "RSS 0.90", "Atom 0.3", "Atom 1.0", "doctype", "JSON 1.1", "JSON 1"],
)  # fmt: skip
def test_every_format_gives_the_same_entry(data: bytes) -> None:
    entry = only(data)
    assert is_feed("", data.decode("utf-8-sig"))
    assert (entry.title, entry.url, entry.body) == ("T", "https://clock.example/t", "D")


def test_xhtml_content_of_atom_is_the_body() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>Late &amp; bent: a &lt; b</p><pre>x\n  y</pre></div>'
    entry = only(atom(f'<title>T</title><id>urn:1</id><content type="xhtml">{div}</content>'))
    assert "<p>Late &amp; bent: a &lt; b</p><pre>x\n  y</pre>" in entry.body
    assert entry.text == "whole"


def test_code_comes_as_it_was_served() -> None:
    code = '<pre><code class="language-python">if a &lt; b &amp;&amp; c:\n    <span class="k">x</span> = "&amp;lt;"\n</code></pre>'
    item = f"<title>T</title><link>/t</link><content:encoded><![CDATA[<p>See:</p>{code}]]></content:encoded>"
    assert code in only(rss(item)).body


def test_entities_that_only_html_knows_and_loose_ampersands_do_not_cost_the_feed() -> None:
    item = "<title>The keeper&rsquo;s lamp &amp; R&D</title><link>/t?a=1&b=2</link><description>It&nbsp;bent &foo; it.</description>"
    entry = only(rss(item))
    assert entry.title == "The keeper’s lamp & R&D"
    assert entry.url == "https://clock.example/t?a=1&b=2"
    assert "It\u00a0bent" in entry.body


@pytest.mark.parametrize(
    ("served", "shown"),
    [
        ("Salt &amp;#8217;n&amp;#8217; tide", "Salt ’n’ tide"),
        ("<![CDATA[The &lt;pre&gt; element]]>", "The <pre> element"),
        ("<![CDATA[A <em>late</em> clock]]>", "A late clock"),
        ("When a < b fails", "When a < b fails"),
        ("  two\n  lines ", "two lines"),
    ],
)
def test_titles_are_plain_text(served: str, shown: str) -> None:
    plain = served.removeprefix("<![CDATA[").removesuffix("]]>").replace("&amp;", "&")
    assert plain_title(plain) == shown


def test_items_without_links_are_told_apart_by_guid_and_without_guids_by_their_words() -> None:
    guids = [f'<guid isPermaLink="false">tag:{n}</guid><description>{PROSE} {n}</description>' for n in "ab"]
    bare = [f"<title>{n}</title><description>{PROSE}</description>" for n in "cd"]
    entries = read(rss(*guids, *bare)).entries
    assert [e.id for e in entries[:2]] == ["tag:a", "tag:b"]
    assert len({e.id for e in entries}) == 4
    assert {e.url for e in entries} == {SITE}


def test_items_that_share_a_link_are_told_apart() -> None:
    items = [
        f"<guid isPermaLink='false'>g{n}</guid><link>/</link><description>{n}</description>" for n in (1, 2)
    ]
    assert [e.id for e in read(rss(*items)).entries] == ["g1", "g2"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (rss("<title>Café – naïve</title>", head='<?xml version="1.0" encoding="ISO-8859-1"?>'), "text/xml"),
        (rss("<title>Café – naïve</title>"), "application/rss+xml; charset=ISO-8859-1"),
        (rss("<title>Café – naïve</title>").decode().encode("cp1252"), "text/xml; charset=iso-8859-1"),
        (rss("<title>Café – naïve</title>", head='<?xml version="1.0" encoding="windows-1252"?>').decode().encode("cp1252"), ""),
        (rss("<title>Café – naïve</title>", head="").decode().encode("utf-16"), "text/xml"),
        (rss("<title>Café – naïve</title>", head="").decode().encode("utf-16-le"), "text/xml"),
        (b"\n\n" + rss("<title>Café – naïve</title>"), "text/xml"),
        (rss("<title>Café – naïve</title>", "<title>\x00\x08b</title>"), "text/xml"),
    ],
    ids=["utf-8 said latin-1", "utf-8 served as latin-1", "cp1252 served as latin-1", "declared cp1252", "utf-16",
         "utf-16 unmarked", "lines before the declaration", "control characters"],
)  # fmt: skip
def test_letters_survive_wrong_and_missing_declarations(data: bytes, kind: str) -> None:
    assert read(data, kind).entries[0].title == "Café – naïve"


def test_one_bad_byte_costs_one_letter() -> None:
    data = rss(f"<title>T</title><description>{PROSE} Café\u2013naïve – “late” {PROSE}</description>")
    entry = only(data.replace("ï".encode(), b"\xef", 1))
    assert "Café–na\ufffdve" in entry.body


@pytest.mark.parametrize(
    ("codec", "text"), [("shift_jis", "遅い時計"), ("windows-1251", "Поздние часы"), ("gb2312", "迟到的钟")]
)
def test_declared_encodings_are_read(codec: str, text: str) -> None:
    data = (
        rss(f"<title>{text}</title>", head=f'<?xml version="1.0" encoding="{codec}"?>').decode().encode(codec)
    )
    assert only(data).title == text


def test_entity_bombs_and_outside_entities_are_harmless() -> None:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    doctype = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "lol">{levels}<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    began = time.monotonic()
    found = read(rss("<title>&l9;</title><description>&l9; &x;</description>", head=doctype))
    assert time.monotonic() - began < 5
    assert all(len(e.body) < 1_000 and "root:" not in e.body for e in found.entries)


@pytest.mark.parametrize(
    "data",
    [b"", b"<html><body>No feed</body></html>", b"{}", b'{"items": []}', b"[1, 2]", b"<urlset/>", b"\x89PNG\r\n\x00", b"[" * 100_000,
     b"<?x?>" * 50_000, b"<!-- -->" * 50_000],
)  # fmt: skip
def test_what_is_no_feed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"no feed|found neither"):
        read(data)


# --- whole or cut ---


def texts(*items: str) -> list[str]:
    return [entry.text for entry in read(rss(*items)).entries]


def described(text: str, title: str = "<title>T</title>", number: int = 1) -> str:
    return f"{title}<link>/{number}</link><description><![CDATA[{text}]]></description>"


def test_full_text_in_the_description_is_whole() -> None:
    assert texts(described(f"<p>{PROSE}</p>" * 7)) == ["whole"]
    assert texts(described(PROSE * 7)) == ["whole"]
    assert texts(
        described(f"<p>{PROSE}</p>" * 7 + "<p>The post T appeared first on <a href='/'>Late clocks</a>.</p>")
    ) == ["whole"]
    assert texts(described(PROSE, title="")) == ["whole"]  # a note


@pytest.mark.parametrize(
    "end",
    ["…", "...", " […]", " [&hellip;]", ' <a href="/1">Read more</a>', ' <a class="more-link" href="/1">Continue reading <span>→</span></a>',
     '… <a href="/1">続きを読む</a>', " Weiterlesen"],
)  # fmt: skip
def test_a_description_that_breaks_off_is_cut(end: str) -> None:
    assert texts(described(f"<p>{PROSE}{end}</p>")) == ["cut"]


def test_a_teaser_served_as_content_is_cut_too() -> None:
    content = f'<![CDATA[<p>{PROSE}</p><p>{PROSE}</p> <a href="/1" class="more-link">Continue reading</a>]]>'
    assert texts(f"<title>T</title><link>/1</link><content:encoded>{content}</content:encoded>") == ["cut"]


def test_own_words_that_sound_like_an_invitation_are_not_cut() -> None:
    for end in (
        "<p>I read on the ferry.</p>",
        "<p>Read more books.</p><p>They keep.</p>",
        "<p>And so it went on…</p>",
    ):
        content = f"<![CDATA[{f'<p>{PROSE}</p>' * 3}{end}]]>"
        assert texts(f"<title>T</title><link>/1</link><content:encoded>{content}</content:encoded>") == [
            "whole"
        ]


def test_a_short_description_may_be_either() -> None:
    assert texts(described(f"<p>{PROSE}</p>")) == ["unsure"]


def test_descriptions_that_all_stop_at_one_length_are_cut() -> None:
    cut = [described(f"{n} {PROSE}"[:120], number=n) for n in range(5)]
    assert texts(*cut) == ["cut"] * 5


# --- whose words ---


def test_every_author_that_an_entry_names_is_known() -> None:
    item = (
        "<title>T</title><dc:creator>Kim Other and Ada Example</dc:creator><itunes:author>Bo</itunes:author>"
    )
    assert {"Ada Example", "Kim Other", "Bo"} <= set(only(rss(item)).authors)
    entry = only(
        atom(
            "<id>1</id><author><name>Kim</name></author><author><name>Ada</name><email>a@e.example</email></author>"
        )
    )
    assert {"Kim", "Ada"} <= set(entry.authors)
    assert only(json_feed({"id": "1", "content_text": "x", "author": {"name": "Kim"}})).authors == ["Kim"]
    assert only(
        json_feed({"id": "1", "content_text": "x", "authors": [{"name": "Kim"}, {"name": "Bo"}]})
    ).authors == ["Kim", "Bo"]


def test_an_atom_or_json_feeds_author_signs_every_entry_that_names_none() -> None:
    """The kind: the person of the feed's head, which RFC 4287 and JSON Feed hand down to each entry."""
    signed, bare = "<id>1</id><author><name>Kim</name></author>", "<id>2</id><title>T</title>"
    feed = "<author><name>Ada Example</name></author>"
    assert [e.authors for e in read(atom(signed, bare, feed=feed)).entries] == [["Kim"], ["Ada Example"]]
    rows = ({"id": "1", "authors": [{"name": "Kim"}], "content_text": "D"}, {"id": "2", "content_text": "E"})
    assert [e.authors for e in read(json_feed(*rows, authors=[{"name": "Ada Example"}])).entries] == [
        ["Kim"],
        ["Ada Example"],
    ]


def test_the_editor_of_an_rss_feed_signs_only_where_no_item_is_signed() -> None:
    channel = "<managingEditor>a@e.example (Ada Example)</managingEditor>"
    signed, bare = "<dc:creator>Kim</dc:creator><guid>1</guid>", "<guid>2</guid><title>T</title>"
    assert [e.authors for e in read(rss(signed, bare, channel=channel)).entries] == [["Kim"], []]
    assert "Ada Example" in only(rss(bare, channel=channel)).authors


def test_an_entry_taken_from_another_feed_is_its_authors() -> None:
    entry = "<id>1</id><source><title>Elsewhere</title><author><name>Kim</name></author></source>"
    assert only(atom(entry)).authors == ["Kim"]


@pytest.mark.parametrize(
    "byline", ["admin", "noreply@blogger.com (Unknown)", "Webmaster", "", None, 3, "Late  clocks"]
)
def test_some_bylines_name_nobody(byline: object) -> None:
    assert signed_by(byline, site="Late clocks") == []


def test_a_byline_in_the_form_of_rss_names_address_and_person() -> None:
    assert signed_by("kim@e.example (Kim Other)") == ["kim@e.example", "Kim Other"]


def test_a_podcast_is_known_by_its_enclosure() -> None:
    item = '<title>T</title><enclosure url="https://e.example/a.mp3" type="audio/mpeg" length="1"/><description>Notes</description>'
    assert only(rss(item)).media
    attached = {
        "id": "1",
        "content_text": "x",
        "attachments": [{"url": "https://e.example/a.mp3", "mime_type": "audio/mpeg"}],
    }
    assert only(json_feed(attached)).media


def test_the_next_page_of_a_feed_is_known() -> None:
    assert (
        read(atom(feed='<link rel="next" href="/feed?page=2"/>')).next == "https://clock.example/feed?page=2"
    )
    assert (
        read(rss(channel='<atom:link rel="next" href="?page=2"/>')).next
        == "https://clock.example/feed?page=2"
    )
    assert (
        read(json_feed(next_url="https://clock.example/feed?page=2")).next
        == "https://clock.example/feed?page=2"
    )


def test_rows_of_a_json_feed_that_are_no_entries_are_counted() -> None:
    found = read(
        json_feed("x", None, {"id": "1", "content_text": "A", "tags": "no list", "date_published": 5})
    )
    assert (found.broken, [e.body for e in found.entries]) == (2, ["A"])


@pytest.mark.parametrize(
    "text",
    ["Mon, 30 Nov -0001 00:00:00 +0000", "0000-00-00 00:00:00", "9999-12-31T23:59:59-12:00", "soon", 5, None],
)
def test_times_that_nobody_can_read_are_none(text: object) -> None:
    assert parse_time(text) is None


def test_dates_in_the_forms_of_all_formats_are_read() -> None:
    moment = datetime(2021, 9, 1, 8, tzinfo=UTC)
    for said in (
        "<pubDate>Wed, 01 Sep 2021 10:00:00 +0200</pubDate>",
        "<dc:date>2021-09-01T08:00:00Z</dc:date>",
    ):
        assert only(rss(f"<title>T</title>{said}")).published_at == moment
    assert (
        only(
            json_feed({"id": "1", "content_text": "x", "date_published": "2021-09-01T08:00:00Z"})
        ).published_at
        == moment
    )
