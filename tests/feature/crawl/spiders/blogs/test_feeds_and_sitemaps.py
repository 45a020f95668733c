"""Feeds, pages and sitemaps over HTTP: what is asked, what is kept, whose it is, and that every walk ends."""

import gzip
import json
from pathlib import Path

import pytest

from demo.sites import DemoSites
from demo.sites.answers import Answer
from tests.feature.crawl.formats.test_feeds import PROSE, atom, json_feed, rss
from tests.feature.crawl.writing import crawl, persona, settings, stored, web_persona
from twin_assets.core.persona.definition import Web
from twin_assets.core.persona.sources import Medium
from twin_assets.feature.crawl.items import CrawlReport
from twin_assets.feature.crawl.spiders.blogs.sitemap import is_same_site
from twin_assets.feature.crawl.spiders.json_answers import next_page

LONG = f"<p>{PROSE}</p>" * 8


def page(title: str, text: str = PROSE, author: str | None = None) -> tuple[str, bytes]:
    byline = f'<meta name="author" content="{author}">' if author else ""
    head = f"<head><title>{title}</title>{byline}</head>"
    return (
        "text/html; charset=utf-8",
        f"<html>{head}<body><article><p>{text}</p></article></body></html>".encode(),
    )


def collect(home: Path, sites: DemoSites, *pages: str, sitemaps: tuple[str, ...] = ()) -> CrawlReport:
    web = Web(pages=[sites.url(p) for p in pages], sitemaps=[sites.url(p) for p in sitemaps])
    return crawl(settings(home), web_persona(web), "web")


def kept(home: Path) -> dict[str, str]:
    return {
        item.title or item.body: item.body for item in stored(settings(home), "web") if item.kind == "item"
    }


# --- feeds ---


@pytest.mark.parametrize("kind", ["application/feed+json", "application/json", "text/html", "text/plain"])
def test_a_json_feed_gives_its_entries_and_never_itself(tmp_path: Path, kind: str) -> None:
    data = json_feed(
        {"id": "1", "url": "/1", "title": "One", "content_html": LONG}, {"id": "2", "content_text": PROSE}
    )
    with DemoSites(tmp_path) as sites:
        sites.pages["/feed.json"] = (kind, data)
        first, second = collect(tmp_path, sites, "/feed.json"), collect(tmp_path, sites, "/feed.json")
    assert (first.error, first.new, second.new, second.changed) == (None, 2, 0, 0)
    assert kept(tmp_path) == {"One": LONG, PROSE: PROSE}
    categories = {item.title: item.category for item in stored(settings(tmp_path), "web")}
    assert categories == {"One": "article", None: "post"}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("application/json", b'{"posts": []}'), ("text/html", b'[{"a": 1}]'), ("application/xml", b"<opml><body/></opml>"),
        ("text/plain", b'<?xml version="1.0"?><data/>'), ("text/csv", b"a,b\n1,2\n"), ("image/png", b"\x89PNG\r\n\x00\x00"),
        ("text/javascript", b"let x = 1"), ("application/xml", b"<urlset><url><loc>/</loc></url></urlset>"),
    ],
)  # fmt: skip
def test_raw_data_is_named_and_never_stored(tmp_path: Path, kind: str, data: bytes) -> None:
    with DemoSites(tmp_path) as sites:
        sites.pages["/data"] = (kind, data)
        sites.pages["/ropes"] = page("Ropes")
        named = collect(tmp_path / "a", sites, "/data", "/ropes")
        sites.pages["/sitemap.txt"] = (
            "text/plain",
            f"{sites.url('/data')}\n{sites.url('/ropes')}\n".encode(),
        )
        listed = collect(tmp_path / "b", sites, sitemaps=("/sitemap.txt",))
    assert (named.error, named.skipped) == (None, {"unreadable answer": 1})
    assert "/data" in named.left_out["unreadable answer"][0]
    assert (listed.error, sum(listed.skipped.values())) == (None, 1)
    assert list(kept(tmp_path / "a")) == list(kept(tmp_path / "b")) == ["Ropes"]


def test_entries_by_somebody_else_are_left_out_and_can_be_looked_at(tmp_path: Path) -> None:
    def item(n: int, by: str) -> str:
        return f"<title>{n}</title><link>/{n}</link><dc:creator>{by}</dc:creator><content:encoded><![CDATA[{LONG}]]></content:encoded>"

    feed = rss(
        item(1, "Runa Hollis"), item(2, "Gus Guest"), item(3, "Gus Guest and Runa Hollis"), item(4, "admin")
    )
    with DemoSites(tmp_path) as sites:
        sites.pages["/feed"] = ("application/rss+xml", feed)
        report = collect(tmp_path, sites, "/feed")
        assert report.left_out == {"by another author": [f"{sites.url('/2')} (by Gus Guest)"]}
    assert (report.error, report.skipped) == (None, {"by another author": 1})
    assert set(kept(tmp_path)) == {"1", "3", "4"}


def test_a_summarys_full_text_is_asked_from_its_page_once(tmp_path: Path) -> None:
    def feed(end: str) -> tuple[str, bytes]:
        item = f"<title>Lamp</title><link>/lamp</link><description>{PROSE}{end}</description>"
        return "application/rss+xml", rss(item)

    with DemoSites(tmp_path) as sites:
        sites.pages["/feed"] = feed(" […]")
        sites.pages["/lamp"] = page("Lamp", PROSE * 9)
        first, second = collect(tmp_path, sites, "/feed"), collect(tmp_path, sites, "/feed")
        sites.pages["/feed"] = feed(" New. […]")
        third = collect(tmp_path, sites, "/feed")
        assert sites.asked.count("/lamp") == 2
    assert PROSE * 9 in kept(tmp_path)["Lamp"]
    assert (first.new, first.partial, second.new + second.changed, third.error) == (1, 0, 0, None)
    assert all(item.windowed for item in stored(settings(tmp_path), "web"))


def test_without_its_page_a_cut_text_is_partial_and_one_that_may_be_whole_is_whole(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        cut = f"<title>Cut</title><link>/cut</link><description>{PROSE} […]</description>"
        may_be = f"<title>May be</title><link>/gone</link><description>{PROSE}</description>"
        outside = f"<title>Outside</title><link>https://elsewhere.example/x</link><description>{PROSE} […]</description>"
        sites.pages["/feed"] = ("application/rss+xml", rss(cut, may_be, outside))
        sites.fail["/cut"] = Answer(500)
        report = collect(tmp_path, sites, "/feed")
    partial = {item.title: item.partial for item in stored(settings(tmp_path), "web")}
    assert partial == {"Cut": True, "May be": False, "Outside": True}
    assert report.error is None


def test_a_page_that_somebody_else_signs_does_not_stand_for_a_summary(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        sites.pages["/feed"] = (
            "text/xml",
            rss(f"<title>T</title><link>/t</link><description>{PROSE}…</description>"),
        )
        sites.pages["/t"] = page("T", author="Gus Guest")
        report = collect(tmp_path, sites, "/feed")
    assert report.skipped == {"by another author": 1}


def test_recordings_and_empty_entries_are_counted(tmp_path: Path) -> None:
    sound = '<title>S</title><link>/s</link><enclosure url="/s.mp3" type="audio/mpeg" length="1"/><description>Notes.</description>'
    note = "<guid>x</guid><content:encoded> </content:encoded>"
    with DemoSites(tmp_path) as sites:
        sites.pages["/feed"] = (
            "text/xml",
            rss(sound, note, f"<title>T</title><content:encoded><![CDATA[{LONG}]]></content:encoded>"),
        )
        report = collect(tmp_path, sites, "/feed")
    assert report.skipped == {"recording without a text of its own": 1, "entry without text": 1}
    assert (report.new, report.error) == (1, None)


def test_a_feeds_older_pages_are_read_once_even_in_a_circle(tmp_path: Path) -> None:
    def part(number: int, following: str) -> tuple[str, bytes]:
        entry = f'<id>{number}</id><title>{number}</title><link href="/{number}"/><content type="html">&lt;p&gt;{PROSE}&lt;/p&gt;</content>'
        return "application/atom+xml", atom(entry, feed=f'<link rel="next" href="{following}"/>')

    with DemoSites(tmp_path) as sites:
        sites.pages |= {
            "/feed": part(1, "/feed/2"),
            "/feed/2": part(2, "/feed/3"),
            "/feed/3": part(3, "/feed/2"),
        }
        report = collect(tmp_path, sites, "/feed")
        assert [sites.asked.count(p) for p in ("/feed", "/feed/2", "/feed/3")] == [1, 1, 1]
    assert (report.error, set(kept(tmp_path))) == (None, {"1", "2", "3"})


def test_an_entry_that_is_collected_as_a_page_stays_one(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        entry = f"<title>Lamp</title><link>/lamp</link><content:encoded><![CDATA[{LONG}]]></content:encoded>"
        sites.pages |= {"/feed": ("text/xml", rss(entry)), "/lamp": page("Lamp")}
        sites.pages["/sitemap.xml"] = sitemap(sites.url("/lamp"))
        collect(tmp_path, sites, sitemaps=("/sitemap.xml",))
        both = [collect(tmp_path, sites, "/feed", sitemaps=("/sitemap.xml",)) for _ in range(2)]
    assert [(r.new, r.changed, r.deleted) for r in both] == [(0, 0, 0)] * 2


def test_a_publications_feed_gives_the_personas_stories_and_an_accounts_own_gives_all(tmp_path: Path) -> None:
    def story(n: int, by: str) -> str:
        return (
            f'<title>{n}</title><link>https://m.example/{n}</link><guid isPermaLink="false">https://medium.com/p/aaaaaaaa{n}</guid>'
            f"<dc:creator>{by}</dc:creator><content:encoded><![CDATA[{LONG}]]></content:encoded>"
        )

    feed = ("text/xml", rss(story(1, "Runa Hollis"), story(2, "R. H.")))
    with DemoSites(tmp_path) as sites:
        sites.pages |= {"/feed/tide-tables": feed, "/feed/@runa": feed}
        who = [persona(sites, medium=Medium(feed=sites.url(p))) for p in ("/feed/tide-tables", "/feed/@runa")]
        publication = crawl(settings(tmp_path / "a"), who[0], "medium")
        account = crawl(settings(tmp_path / "b"), who[1], "medium")
    assert (publication.new, publication.skipped) == (1, {"by another author": 1})
    assert (account.new, account.skipped) == (2, {})


# --- pages ---


def test_a_page_that_the_persona_names_is_theirs_and_one_that_a_sitemap_lists_if_they_sign_it(
    tmp_path: Path,
) -> None:
    with DemoSites(tmp_path) as sites:
        sites.pages |= {
            "/named": page("Named", author="Runa H."), "/own": page("Own", author="By Runa Hollis"),
            "/guest": page("Guest", author="Gus Guest"), "/bare": page("Bare"), "/both": page("Both", author="Gus Guest, Runa Hollis"),
        }  # fmt: skip
        sites.pages["/sitemap.xml"] = sitemap(*[sites.url(p) for p in ("/own", "/guest", "/bare", "/both")])
        report = collect(tmp_path, sites, "/named", sitemaps=("/sitemap.xml",))
        again = collect(tmp_path, sites, "/named", sitemaps=("/sitemap.xml",))
    assert (report.error, report.skipped) == (None, {"by another author": 1})
    assert set(kept(tmp_path)) == {"Named", "Own", "Bare", "Both"}
    assert (again.new, again.changed, again.deleted, again.error) == (0, 0, 0, None)


def test_a_page_that_turns_out_to_be_a_guests_leaves_the_corpus(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        sites.pages |= {
            "/a": page("A"),
            "/b": page("B"),
            "/sitemap.xml": sitemap(sites.url("/a"), sites.url("/b")),
        }
        collect(tmp_path, sites, sitemaps=("/sitemap.xml",))
        sites.pages["/b"] = page("B", author="Gus Guest")
        report = collect(tmp_path, sites, sitemaps=("/sitemap.xml",))
    assert (report.deleted, report.items, report.error) == (1, 1, None)


# --- sitemaps ---


def sitemap(*addresses: str, index: bool = False) -> tuple[str, bytes]:
    outer, inner = ("sitemapindex", "sitemap") if index else ("urlset", "url")
    rows = "".join(f"<{inner}><loc>{a}</loc></{inner}>" for a in addresses)
    return (
        "application/xml",
        f'<{outer} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</{outer}>'.encode(),
    )


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("https://www.clock.example/a", "https://clock.example/s.xml", True),
        ("http://clock.example/a", "https://www.clock.example:443/s.xml", True),
        ("https://blog.clock.example/a", "https://clock.example/s.xml", True),
        ("https://clock.example/a", "https://blog.clock.example/s.xml", True),
        ("https://Clock.example./a", "https://clock.example/s.xml", True),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/s.xml", True),
        ("https://otherclock.example/a", "https://clock.example/s.xml", False),
        ("https://kim.blogs.example/a", "https://ada.blogs.example/s.xml", False),
        ("https://clock.example:8080/a", "https://clock.example/s.xml", False),
        ("mailto:a@clock.example", "https://clock.example/s.xml", False),
        ("https://[broken/a", "https://clock.example/s.xml", False),
    ],
)
def test_what_one_site_is(address: str, other: str, same: bool) -> None:
    assert is_same_site(address, other) is same


def test_an_index_that_lists_itself_or_leads_in_circles_is_walked_once(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        indexes = [sites.url(p) for p in ("/sitemap.xml", "/two.xml", "/posts.xml")]
        sites.pages |= {
            "/sitemap.xml": sitemap(*indexes, index=True),
            "/two.xml": sitemap(*indexes, index=True),
        }
        sites.pages |= {
            "/posts.xml": sitemap(sites.url("/a"), sites.url("/a#top"), sites.url("/a")),
            "/a": page("A"),
        }
        report = collect(tmp_path, sites, sitemaps=("/sitemap.xml",))
        assert {
            p: sites.asked.count(p) for p in ("/sitemap.xml", "/two.xml", "/posts.xml", "/a")
        } == dict.fromkeys(("/sitemap.xml", "/two.xml", "/posts.xml", "/a"), 1)
    assert (report.error, report.new) == (None, 1)


def test_nesting_without_end_ends_and_deletes_nothing(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        sites.pages |= {"/a": page("A"), "/s0.xml": sitemap(sites.url("/a"))}
        collect(tmp_path, sites, sitemaps=("/s0.xml",))
        for n in range(30):
            sites.pages[f"/s{n}.xml"] = sitemap(sites.url(f"/s{n + 1}.xml"), index=True)
        report = collect(tmp_path, sites, sitemaps=("/s0.xml",))
        assert sum(p.startswith("/s") for p in sites.asked) < 10
    assert report.skipped == {"sitemap nested deeper than 5": 1}
    assert report.deleted == 0


def test_gzipped_text_and_feed_sitemaps_are_read_and_bombs_are_not(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        for name in "abc":
            sites.pages[f"/{name}"] = page(name)
        sites.pages["/s.xml.gz"] = ("application/x-gzip", gzip.compress(sitemap(sites.url("/a"))[1]))
        sites.pages["/s.txt"] = ("text/plain", f"\ufeff{sites.url('/b')}\r\n\r\nnot an address\r\n".encode())
        sites.pages["/s.rss"] = (
            "text/xml",
            rss(f"<link>{sites.url('/c')}</link><description>x</description>"),
        )
        report = collect(tmp_path, sites, sitemaps=("/s.xml.gz", "/s.txt", "/s.rss"))
        sites.pages["/bomb.xml.gz"] = ("application/x-gzip", gzip.compress(b"<urlset>" + b" " * 60_000_000))
        bomb = collect(tmp_path / "b", sites, sitemaps=("/bomb.xml.gz",))
    assert (report.error, set(kept(tmp_path))) == (None, {"a", "b", "c"})
    assert "50 MB" in json.dumps(bomb.model_dump()) or "larger" in (bomb.error or "")


def test_a_sites_root_leads_to_the_sitemaps_of_its_robots_txt(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        sites.pages |= {
            "/a": page("A"),
            "/b": page("B"),
            "/maps/a.xml": sitemap(sites.url("/a")),
            "/sitemap.xml": sitemap(sites.url("/b")),
        }
        sites.robots = "User-agent: *\nDisallow: /private/\nSitemap: https://elsewhere.example/s.xml\nsitemap: /maps/a.xml\n"
        named = collect(tmp_path / "a", sites, sitemaps=("/",))
        sites.robots = "User-agent: *\nDisallow:\n"
        usual = collect(tmp_path / "b", sites, sitemaps=("",))
    assert (named.error, set(kept(tmp_path / "a")), named.skipped) == (None, {"A"}, {"on another host": 1})
    assert (usual.error, set(kept(tmp_path / "b"))) == (None, {"B"})


def test_dead_closed_and_foreign_addresses_of_a_sitemap_do_not_fail_the_source(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        pages = [sites.url(p) for p in ("/a", "/gone", "/dead", "/private/x", "/empty")]
        sites.pages |= {
            "/a": page("A"),
            "/empty": ("text/html", b" "),
            "/posts.xml": sitemap(*pages, "https://elsewhere.example/x", "nonsense:", "https://[x"),
        }
        sites.fail["/dead"] = Answer(410)
        sites.pages["/sitemap.xml"] = sitemap(sites.url("/posts.xml"), sites.url("/old.xml"), index=True)
        report = collect(tmp_path, sites, sitemaps=("/sitemap.xml",))
    assert (report.error, report.failed, set(kept(tmp_path))) == (None, {}, {"A"})
    assert report.skipped == {
        "page that its sitemap lists and that is not there": 2, "forbidden by robots.txt": 1, "empty page": 1,
        "on another host": 3, "sitemap that its index names and that is not there": 1,
    }  # fmt: skip


# --- the next page of an API ---


@pytest.mark.parametrize(
    ("header", "following"),
    [
        ('<https://api.example/x?page=2>; rel="next", <https://api.example/x?page=9>; rel="last"', "?page=2"),
        ("<https://api.example/x?page=2>; rel=next", "?page=2"),
        (
            '<https://api.example/x?page=1>;rel="prev first",<https://api.example/x?page=3> ; title="a, b"; REL="last next"',
            "?page=3",
        ),
        ('</x?page=2>; rel="next"', "?page=2"),
        ('<https://api.example/x>; rel="next"', None),
        ('<https://elsewhere.example/x?page=2>; rel="next"', None),
        ('<https://api.example.evil.example/x>; rel="next"', None),
        ('<https://api.example/x?page=2>; rel="nextish"', None),
        ("", None),
        ("<" * 9_000 + "; rel=next", None),
    ],
)
def test_the_next_page_is_the_one_that_the_link_header_names(header: str, following: str | None) -> None:
    from scrapy.http import Response

    response = Response("https://api.example/x", headers={"Link": header})
    expected = f"https://api.example/x{following}" if following else None
    assert next_page(response, "https://api.example") == expected
