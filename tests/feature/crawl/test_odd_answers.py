"""What sites and exports answer beside the usual: nothing of others or unpublished is kept, nothing of one's own lost."""

import gzip
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback
from tests.feature.crawl.formats.test_blog_exports import HTML, exported, wp_item, wxr
from tests.feature.crawl.formats.test_blog_exports import collect as collect_export
from tests.feature.crawl.formats.test_feeds import PROSE, atom, only, read, rss
from tests.feature.crawl.spiders.social.test_linkedin import article
from tests.feature.crawl.spiders.social.test_linkedin import read as read_linkedin
from tests.feature.crawl.writing import crawl, settings, stored, web_persona
from twin_assets.core.persona.definition import Web
from twin_assets.core.persona.sources import Ghost, Medium, WordPress
from twin_assets.core.storage.raw import RawItem, body_hash
from twin_assets.feature.crawl.formats.talks.quoted_mail import own_part
from twin_assets.feature.crawl.items import CrawlReport


class Pages(Loopback):
    """Answers by path."""

    def __init__(self, **answers: Answer) -> None:
        super().__init__(0)
        self.answers = {f"/{path}": answer for path, answer in answers.items()}

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        return self.answers.get(target.partition("?")[0]) or Answer.html("<title>404</title>", 404)


def page(title: str) -> Answer:
    return Answer.html(
        f"<html><head><title>{title}</title></head><body><article><p>{PROSE}</p></article></body></html>"
    )


def to(place: str) -> Answer:
    return Answer(302, {"Location": place})


LOGIN = Answer.html(
    "<html><head><title>Log in</title></head><body><form><input type='password'></form></body></html>"
)
FRONT = page("Front page")


def names(home: Path) -> list[str | None]:
    return [item.title for item in stored(settings(home), "web") if item.kind == "item"]


def walk(home: Path, site: Pages, *paths: str) -> CrawlReport:
    listing = "\n".join(f"{site.address}/{path}" for path in paths).encode()
    site.answers["/sitemap.txt"] = Answer(200, {"Content-Type": "text/plain"}, listing)
    return crawl(settings(home), web_persona(Web(sitemaps=[f"{site.address}/sitemap.txt"])), "web")


def test_a_page_that_leads_to_a_login_or_to_the_front_page_is_not_that_page(tmp_path: Path) -> None:
    """The kind: a site sends what it has closed, or taken down, somewhere else with status 200 in the end."""
    site = Pages(one=page("One"), two=page("Two"), three=page("Three"), login=LOGIN)
    site.answers["/"] = FRONT
    with site:
        first = walk(tmp_path, site, "one", "two", "three")
        site.answers |= {"/two": to("/login?next=/two"), "/three": to("/")}
        second = walk(tmp_path, site, "one", "two", "three")
    assert (first.new, second.new, second.changed, second.error) == (3, 0, 0, None)
    assert set(names(tmp_path)) == {"One", "Two", "Three"}
    assert second.deleted == 1  # the one that was taken down; of the closed one nothing is known
    assert "/two" in second.left_out["sent to a login page"][0]


@pytest.mark.parametrize(
    "packed", [gzip.compress, lambda data: b"<br />\n<b>Warning</b>: x in y.php\n" + data]
)
def test_a_feed_is_read_through_what_its_server_put_around_it(tmp_path: Path, packed: object) -> None:
    assert callable(packed)
    data = packed(rss(f"<title>T</title><link>/t</link><description>{PROSE * 8}</description>"))
    site = Pages(feed=Answer(200, {"Content-Type": "application/xml"}, data))
    with site:
        report = crawl(settings(tmp_path), web_persona(Web(pages=[f"{site.address}/feed"])), "web")
    assert (report.error, names(tmp_path)) == (None, ["T"])


def test_a_draft_in_a_feed_of_a_publishing_protocol_is_left_out(tmp_path: Path) -> None:
    control = '<app:control xmlns:app="http://www.w3.org/2007/app"><app:draft>yes</app:draft></app:control>'
    entry = f'<id>1</id><title>T</title><link href="/1"/><content>{PROSE}</content>'
    site = Pages(
        feed=Answer(
            200, {"Content-Type": "application/atom+xml"}, atom(entry + control, entry.replace("1", "2"))
        )
    )
    with site:
        report = crawl(settings(tmp_path), web_persona(Web(pages=[f"{site.address}/feed"])), "web")
    assert (report.new, report.skipped) == (1, {"draft": 1})


def test_an_unsigned_item_that_names_another_site_as_its_source_is_that_sites() -> None:
    taken = '<guid>1</guid><source url="https://kim.example/feed">Kim on tides</source>'
    own = '<guid>1</guid><source url="https://clock.example/feed">Late clocks</source>'
    passed_on = rss(taken, channel="<link>https://kim.example/</link>")  # by a service that serves feeds
    assert (only(rss(taken)).authors, only(rss(own)).authors) == (["Kim on tides"], [])
    assert only(passed_on).authors == []


def test_an_author_with_a_long_last_part_of_their_address_keeps_their_name() -> None:
    assert (
        "Ada Example" in only(rss("<guid>1</guid><author>ada@clock.example (Ada Example)</author>")).authors
    )


def test_a_date_that_nothing_was_written_on_is_none() -> None:
    dates = ("99999-99-99T99:99", "Tue, 02 Jan 9999 08:00:00 GMT")
    entries = read(
        rss(*(f"<guid>{n}</guid><pubDate>{date}</pubDate>" for n, date in enumerate(dates)))
    ).entries
    assert [entry.published_at for entry in entries] == [None, None]


def test_a_wordpress_export_that_is_cut_off_deletes_nothing(tmp_path: Path) -> None:
    whole = wxr(wp_item(1), wp_item(2), wp_item(3))
    path = exported(tmp_path / "w.xml", whole)
    first, _ = collect_export(tmp_path, wordpress=WordPress(export=path))
    path.write_text(whole[: whole.index("<item>", whole.rindex("<item>"))])
    second, _ = collect_export(tmp_path, wordpress=WordPress(export=path))
    assert (first.new, second.deleted, second.items) == (3, 0, 3)
    assert second.left_out["the end of an export that is cut off"] == ["w.xml"]


def test_what_a_plugin_or_a_mailing_shows_to_members_is_not_public(tmp_path: Path) -> None:
    def meta(key: str, value: str) -> str:
        return f"<wp:postmeta><wp:meta_key>{key}</wp:meta_key><wp:meta_value>{value}</wp:meta_value></wp:postmeta></item>"

    items = [wp_item(1), *(
        wp_item(n).replace("</item>", meta("_jetpack_newsletter_access", value))
        for n, value in ((2, "paid_subscribers"), (3, "everybody"))
    )]  # fmt: skip
    path = exported(tmp_path / "w.xml", wxr(*items))
    _, found = collect_export(tmp_path / "a", wordpress=WordPress(export=path))
    assert [found[n].visibility for n in "123"] == ["public", "connections", "public"]
    row = {"title": "T", "html": HTML, "status": "published", "visibility": "public"}
    posts = [row | {"id": "1", "slug": "a"}, row | {"id": "2", "slug": "b"}]
    ghost = tmp_path / "g.json"
    ghost.write_text(
        json.dumps({"data": {"posts": posts, "posts_meta": [{"post_id": "2", "email_only": 1}]}})
    )
    _, found = collect_export(tmp_path / "b", ghost=Ghost(export=ghost))
    assert [found[n].visibility for n in "12"] == ["public", "connections"]


def test_a_story_that_somebody_else_signs_in_a_medium_export_is_left_out(tmp_path: Path) -> None:
    def story(number: int, who: str) -> str:
        by = f'<a class="p-author h-card" href="https://medium.com/@x">{who}</a>'
        when = f'<a href="https://medium.com/p/aaaaaaaa000{number}"><time class="dt-published" datetime="2020-01-01">'
        body = f'<section data-field="body"><h3>S{number}</h3>{HTML}</section>'
        return f'<h1 class="p-name">S{number}</h1>{body}<footer>By {by} on {when}</time></a></footer>'

    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for number, who in ((1, "R. H. of the Quay"), (2, "R. H. of the Quay"), (3, "Kim Other")):
            archive.writestr(f"posts/2020_S{number}-aaaaaaaa000{number}.html", story(number, who))
    report, found = collect_export(tmp_path, medium=Medium(export=tmp_path / "m.zip"))
    assert ({item.title for item in found.values()}, report.skipped) == (
        {"S1", "S2"},
        {"by another author": 1},
    )


def test_the_times_above_an_article_of_linkedin_are_fields_in_every_language(tmp_path: Path) -> None:
    def plain(created: str, published: str) -> str:
        lines = '<p class="created">Created on 2024-05-01 07:10</p><p class="published"></p>'
        return article("").replace(lines, f"<p>{created}</p><p>{published}</p>")

    files: dict[str, str | bytes] = {
        "Shares.csv": "Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility\n",
        "Articles/a.html": plain("Créé le 2024-05-01 07:10", "Publié le 2024-05-02 07:10"),
        "Articles/b.html": plain("Créé le 2024-05-01 07:10", "Publié le"),
        "Articles/c.html": article("Published on May 2, 2024, 7:10 AM"),
    }
    report, items = read_linkedin(tmp_path, files)
    assert report.skipped == {"an article that was never published": 1}
    assert {item.published_at for item in items.values()} == {datetime(2024, 5, 2, 7, 10, tzinfo=UTC)}
    assert all("2024" not in item.body for item in items.values())


@pytest.mark.parametrize(
    "line",
    [
        "Quoting Kim Other <kim@o.example>:",
        "Zitat von Kim Other <kim@o.example>:",
        "Quoting Kim (2020-03-02 10:00)",
    ],
)
def test_a_noun_above_a_quotation_is_no_writing(line: str) -> None:
    assert own_part(f"The clock is late.\n\n{line}\n> Is it?") == "The clock is late."


def test_marks_of_direction_do_not_hide_who_wrote_a_mail() -> None:
    line = "\u202bבתאריך יום ב׳, 2 במרץ 2020 ב-10:00 מאת \u202aKim Other\u202c <\u202akim@o.example\u202c>:\u202c"
    assert own_part(f"The clock is late.\n\n{line}\n\nIs it?") == "The clock is late."


def test_what_a_feed_shows_as_somebody_elses_or_as_a_draft_is_deleted(tmp_path: Path) -> None:
    """The kind: an item that was kept and may not be any more, in a source where absence proves nothing."""

    def serve(*more: str) -> Answer:
        entries = [
            f'<id>{n}</id><title>T{n}</title><link href="/{n}"/>{m}<content>{PROSE}</content>'
            for n, m in enumerate(more)
        ]
        return Answer(200, {"Content-Type": "application/atom+xml"}, atom(*entries))

    draft = '<app:control xmlns:app="http://www.w3.org/2007/app"><app:draft>yes</app:draft></app:control>'
    site = Pages(feed=serve("", "", "", ""))
    with site:
        pages = web_persona(Web(pages=[f"{site.address}/feed"]))
        first = crawl(settings(tmp_path), pages, "web")
        site.answers["/feed"] = serve("", "<author><name>Kim Other</name></author>", draft)
        second, third = (crawl(settings(tmp_path), pages, "web") for _ in range(2))
    assert (first.new, second.deleted, second.items) == (4, 2, 2)  # the fourth has only left the feed
    assert (third.new, third.changed, third.deleted) == (0, 0, 0)


def raw(number: int) -> RawItem:
    return RawItem(
        persona="runa", source="web", item_id=f"p{number}", category="article", url=f"https://c.example/{number}",
        fetched_at=datetime(2024, 1, 1, tzinfo=UTC), mime="text/plain", body=PROSE, content_hash=body_hash(PROSE),
    )  # fmt: skip


def test_a_damaged_line_of_a_killed_crawl_costs_its_item_and_no_other(tmp_path: Path) -> None:
    """The kind: a disk that lost a block; what the line held is asked for again, its address's validators too."""
    here = settings(tmp_path)
    part = here.cache_dir / "crawl/web/x" / ".." / ".." / "runa/web/20240101T000000000000-aa.jsonl"
    part = part.resolve()
    part.parent.mkdir(parents=True)
    leaf = {"leaf": "https://c.example/2", "validator": {"etag": "e", "memo": {"ids": ["p2"]}}}
    lines = [
        raw(1).model_dump_json(),
        '{"persona": "ru\0\0',
        json.dumps(leaf),
        "5",
        raw(3).model_dump_json(),
        '{"cut',
    ]
    part.write_text("\n".join(lines))
    site = Pages(one=page("One"))
    with site:
        report = crawl(here, web_persona(Web(pages=[f"{site.address}/one"])), "web")
    assert (report.error, report.recovered) == (None, 2)
    kept = {item.item_id for item in stored(here, "web")}
    assert kept >= {"p1", "p3"}
    assert '{"persona": "ru' in part.with_suffix(".damaged").read_text()
    assert "https://c.example/2" not in (here.lake_dir / "state/crawl/runa/web.json").read_text()


def test_a_damaged_state_is_made_again_from_the_lake(tmp_path: Path) -> None:
    site = Pages(one=page("One"), two=page("Two"))
    with site:
        walk(tmp_path, site, "one", "two")
        (settings(tmp_path).lake_dir / "state/crawl/runa/web.json").write_text('{"known": {')
        again = walk(tmp_path, site, "one")
    assert (again.error, again.new, again.deleted, again.items) == (None, 0, 1, 1)
