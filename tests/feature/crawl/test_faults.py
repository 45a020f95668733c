"""What goes wrong is named, counted and never stored; what had come is kept."""

from pathlib import Path

import pytest

from demo.sites import DemoSites
from demo.sites.answers import CHALLENGE
from tests.feature.crawl.writing import (
    crawl,
    persona,
    settings,
    stored,
    web_persona,
    write_article,
    write_post,
    write_repository,
)
from twin_assets.core.hashing import text_hash
from twin_assets.core.persona.definition import GitHub, Web
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.text.addresses import url_refusal
from twin_assets.core.text.html.block_pages import block_reason
from twin_assets.feature.crawl.store import CrawlStore


def everything(folder: Path) -> Path:
    write_post(folder, 1)
    write_article(folder, "medium", 1)
    write_article(folder, "substack", 1)
    write_repository(folder)
    return folder


@pytest.mark.parametrize("source", ["linkedin", "medium", "substack", "github"])
@pytest.mark.parametrize("fault", [500, "garbage"])
def test_an_ill_site_is_an_error_and_deletes_nothing(tmp_path: Path, source: str, fault: int | str) -> None:
    here = settings(tmp_path)
    with DemoSites(everything(tmp_path / "w")) as sites:
        before = crawl(here, persona(sites), source)
        sites.fail[f"/{source}"] = fault
        report = crawl(here, persona(sites), source)
        sites.fail.clear()
        after = crawl(here, persona(sites), source)
    assert before.error is None
    assert report.error is not None
    assert "Fix:" in report.error
    assert ("500" in report.error) if fault == 500 else ("unreadable" in report.error)
    assert report.deleted == 0
    assert (after.error, after.new, after.deleted) == (None, 0, 0)


@pytest.mark.parametrize(("source", "token"), [("linkedin", "linkedin_token"), ("github", "github_token")])
def test_a_missing_or_refused_token_is_named(tmp_path: Path, source: str, token: str) -> None:
    with DemoSites(everything(tmp_path / "w")) as sites:
        missing = crawl(settings(tmp_path, **{token: None}), persona(sites), source)
        refused = crawl(settings(tmp_path, **{token: "expired"}), persona(sites), source)
    variable = f"TWIN_{token.upper()}"
    assert variable in (missing.error or "")
    assert variable in (refused.error or "")
    assert "expired" not in (refused.error or "")


def test_an_unknown_user_and_an_empty_source_are_errors(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        empty = {source: crawl(here, persona(sites), source) for source in persona(sites).sources()}
        unknown = persona(sites, github=GitHub(user="nobody", api=sites.url("/github")))
        nobody = crawl(here, unknown, "github")
    for source, report in empty.items():
        assert "nothing was found" in (report.error or ""), source
    assert "HTTP 404" in (nobody.error or "")
    assert "github.user" in (nobody.error or "")


def test_what_came_before_a_failure_is_kept_and_the_rest_comes_later(tmp_path: Path) -> None:
    here = settings(tmp_path)
    write_article(tmp_path / "w", "substack", 1)
    write_article(tmp_path / "w", "substack", 2)
    with DemoSites(tmp_path / "w") as sites:
        sites.fail["/substack/api/v1/posts/piece-2"] = 500
        partly = crawl(here, persona(sites), "substack")
        kept = len(stored(here, "substack"))
        sites.fail.clear()
        whole = crawl(here, persona(sites), "substack")
    assert (partly.new, kept, partly.skipped["HTTP 500"], partly.failed) == (1, 1, 1, {})
    assert partly.left_out["HTTP 500"] == [sites.url("/substack/api/v1/posts/piece-2")]
    assert partly.error is None
    assert (whole.new, whole.error) == (1, None)


def test_a_failed_file_is_asked_for_again_although_its_listing_has_not_changed(tmp_path: Path) -> None:
    here = settings(tmp_path)
    write_repository(tmp_path / "w")
    with DemoSites(tmp_path / "w") as sites:
        sites.fail["/github/repos/runahollis/tidelog/git/blobs"] = 500
        partly = crawl(here, persona(sites), "github")
        sites.fail.clear()
        whole = crawl(here, persona(sites), "github")
    assert (partly.new, whole.new) == (2, 2)


def test_a_blocked_archive_is_an_error(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with DemoSites(everything(tmp_path / "w")) as sites:
        crawl(here, persona(sites), "substack")
        sites.fail["/substack/api/v1/archive"] = "challenge"
        report = crawl(here, persona(sites), "substack")
    assert "blocked" in (report.error or "")
    assert (report.deleted, report.blocked) == (0, {"cloudflare challenge": 1})


def test_an_article_about_captchas_is_not_a_block_page() -> None:
    article = f"<html><title>On walls</title><article>{'They ask: verify you are a human. ' * 20}</article>"
    assert block_reason(200, "text/html", article) is None
    assert block_reason(200, "text/html", CHALLENGE) == "cloudflare challenge"
    assert block_reason(403, "text/html", "<p>no</p>") == "refused (HTTP 403)"
    assert block_reason(200, "application/json", '{"body_html": "challenge-platform"}') is None


def test_a_page_behind_a_challenge_never_becomes_an_item(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with DemoSites(tmp_path) as sites:
        sites.pages["/essay"] = ("text/html", CHALLENGE.encode())
        report = crawl(here, web_persona(Web(pages=[sites.url("/essay")])), "web")
    assert report.blocked == {"cloudflare challenge": 1}
    assert report.error is not None
    assert stored(here, "web") == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.com/x", "http://127.0.0.1/", "http://localhost/x",
        "http://10.1.2.3/", "http://169.254.169.254/latest/meta-data", "http://[::1]/",
        "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://0x7f.1/", "http://box.local/", "http:///x",
    ],
)  # fmt: skip
def test_private_and_odd_addresses_are_refused(url: str) -> None:
    assert url_refusal(url, allow_private=False)


def test_public_addresses_pass() -> None:
    assert url_refusal("https://medium.com/feed/@name", allow_private=False) is None
    assert url_refusal("http://127.0.0.1:8765/", allow_private=True) is None


def test_a_crawl_of_a_private_host_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with DemoSites(everything(tmp_path / "w")) as sites:
        report = crawl(settings(tmp_path, allow_private_hosts=False), persona(sites), "medium")
        assert sites.asked == []
    assert "private address" in (report.error or "")
    assert "TWIN_ALLOW_PRIVATE_HOSTS" in (report.error or "")


def test_a_redirect_to_a_forbidden_scheme_is_refused(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        sites.redirects["/moved"] = "ftp://127.0.0.1/secret"
        report = crawl(settings(tmp_path), web_persona(Web(pages=[sites.url("/moved")])), "web")
    assert report.error is not None
    assert report.new == 0


def test_robots_txt_is_obeyed(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        sites.pages["/private/essay"] = ("text/html", b"<p>Secret.</p>")
        report = crawl(settings(tmp_path), web_persona(Web(pages=[sites.url("/private/essay")])), "web")
        assert "/private/essay" not in sites.asked
    assert "robots.txt" in (report.error or "")


def test_a_killed_crawl_is_recovered_by_the_next_one(tmp_path: Path) -> None:
    write_post(tmp_path / "w", 1)
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        crawl(here, persona(sites), "linkedin")
        item = stored(here, "linkedin")[0]
        lost = item.model_copy(
            update={"item_id": "7000000099", "body": "Lost.", "content_hash": text_hash("Lost.")}
        )
        killed = CrawlStore(open_lake(here), here.cache_dir, "runa", "linkedin")
        killed.offer(lost)
        with killed.part.open("a") as part:
            part.write('{"persona": "ru')  # the line that the kill cut short
        killed.close()  # as the system does for a process that is killed
        write_post(tmp_path / "w", 2)
        sites.reread()
        report = crawl(here, persona(sites), "linkedin")
    assert (report.recovered, report.new) == (1, 1)
    assert {"7000000099", "7000000001", "7000000002"} == {i.item_id for i in stored(here, "linkedin")}
    assert not list(killed.parts.glob("*.jsonl"))
