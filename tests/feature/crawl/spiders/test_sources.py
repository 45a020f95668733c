"""Each source is crawled over real HTTP from a local site in its own wire format."""

import json
from pathlib import Path

import pytest

from demo.sites import DemoSites
from demo.sites.writing import WRITING
from tests.feature.crawl.writing import (
    crawl,
    persona,
    settings,
    stored,
    web_persona,
    write,
    write_article,
    write_post,
    write_repository,
)
from twin_assets.core.persona.definition import Web


def test_linkedin_posts_come_from_every_page_and_a_second_crawl_stores_nothing(tmp_path: Path) -> None:
    for number in range(1, 15):
        write_post(tmp_path / "w", number, f"Post {number}.\n\nTwo lines — and “quotes”. ⛴")
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        first, second = crawl(here, persona(sites), "linkedin"), crawl(here, persona(sites), "linkedin")
    assert (first.error, first.new, first.fetched) == (None, 14, 14)
    assert (second.error, second.new, second.unchanged, second.raw_uri) == (None, 0, 14, None)
    items = {item.item_id: item for item in stored(here, "linkedin")}
    assert len(items) == 14
    assert items["7000000003"].body == "Post 3.\n\nTwo lines — and “quotes”. ⛴"
    assert items["7000000003"].category == "post"
    assert items["7000000003"].payload["visibility"] == "PUBLIC"


def test_a_post_that_is_gone_leaves_one_tombstone(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_post(tmp_path / "w", number)
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        crawl(here, persona(sites), "linkedin")
        (tmp_path / "w/linkedin/02.md").unlink()
        sites.reread()
        gone, after = crawl(here, persona(sites), "linkedin"), crawl(here, persona(sites), "linkedin")
    assert (gone.deleted, after.deleted) == (1, 0)
    tombstones = [item for item in stored(here, "linkedin") if item.kind == "deleted"]
    assert [item.item_id for item in tombstones] == ["7000000002"]


def test_medium_marks_member_only_stories_partial_and_asks_conditionally(tmp_path: Path) -> None:
    write_article(tmp_path / "w", "medium", 1)
    write_article(tmp_path / "w", "medium", 2, more="member_only: true\n")
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        first, second = crawl(here, persona(sites), "medium"), crawl(here, persona(sites), "medium")
    assert (first.error, first.new, first.partial) == (None, 2, 1)
    assert (second.not_modified, second.unchanged, second.new) == (1, 2, 0)
    items = {item.item_id: item for item in stored(here, "medium")}
    assert "<em>mine</em>" in items["9001"].body
    assert items["9001"].url == "https://medium.com/@runahollis/piece-1-9001"
    assert items["9002"].partial


def test_a_story_that_falls_out_of_the_newest_ten_is_not_deleted(tmp_path: Path) -> None:
    for number in range(1, 11):
        write_article(tmp_path / "w", "medium", number)
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        crawl(here, persona(sites), "medium")
        write_article(tmp_path / "w", "medium", 11)
        sites.reread()
        report = crawl(here, persona(sites), "medium")
    assert (report.new, report.deleted) == (1, 0)


def test_substack_walks_uneven_pages_to_the_end_and_counts_its_block_page(tmp_path: Path) -> None:
    for number in range(1, 14):
        paid = "audience: only_paid\n" if number == 5 else ""
        write_article(tmp_path / "w", "substack", number, "One.\n\nTwo.\n\nThree.", paid)
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        first, second = crawl(here, persona(sites), "substack"), crawl(here, persona(sites), "substack")
    assert (first.error, first.new, first.partial) == (None, 13, 1)
    assert first.blocked == {"cloudflare challenge": 1}
    assert first.skipped == {"blocked, and no longer in the feed": 1}
    assert (second.new, second.unchanged, second.not_modified, second.deleted) == (0, 13, 13, 0)
    items = stored(here, "substack")
    assert not any("Just a moment" in item.body for item in items)
    assert all("Three." not in item.body for item in items if item.partial)


def test_a_blocked_post_comes_from_the_feed_while_it_is_there(tmp_path: Path) -> None:
    for number in (1, 2):
        write_article(tmp_path / "w", "substack", number, f"Words {number}.")
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        sites.fail["/substack/api/v1/posts/piece-2"] = "challenge"
        report = crawl(here, persona(sites), "substack")
    assert (report.error, report.new, report.blocked) == (None, 2, {"cloudflare challenge": 2})
    assert any("Words 2." in item.body for item in stored(here, "substack"))


def test_github_takes_own_files_and_own_words_only(tmp_path: Path) -> None:
    write_repository(tmp_path / "w")
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        first, second = crawl(here, persona(sites), "github"), crawl(here, persona(sites), "github")
    assert first.error is None
    found = {item.item_id: item.category for item in stored(here, "github")}
    assert found == {
        "runahollis/tidelog/blob/README.md": "article",
        "runahollis/tidelog/blob/src/tide.py": "code",
        "runahollis/tidelog/issues/1": "post",
        "runahollis/tidelog/pulls/comments/7100004": "post",
    }
    assert first.skipped["fork"] == first.skipped["vendored"] == first.skipped["someone else's words"] == 1
    assert (second.new, second.unchanged, second.not_modified) == (0, 4, 5)


def test_a_changed_file_is_the_only_one_fetched_again(tmp_path: Path) -> None:
    write_repository(tmp_path / "w")
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        crawl(here, persona(sites), "github")
        (tmp_path / "w/github/tidelog/src/tide.py").write_text("def tide() -> int:\n    return 4\n")
        sites.reread()
        sites.asked.clear()
        report = crawl(here, persona(sites), "github")
        blobs = [path for path in sites.asked if "/git/blobs/" in path]
    assert (report.changed, report.unchanged, len(blobs)) == (1, 3, 1)


@pytest.mark.skipif(not (WRITING / "planted.yaml").exists(), reason="demo/writing is not there")
def test_the_demo_corpus_arrives_whole_and_its_second_edition_is_noticed(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with DemoSites() as sites:
        news = {source: crawl(here, persona(sites), source).new for source in persona(sites).sources()}
        counts = {s: len(getattr(sites.writing, s)) for s in ("linkedin", "medium", "substack")}
        sites.edition = 2
        linkedin, medium = crawl(here, persona(sites), "linkedin"), crawl(here, persona(sites), "medium")
    assert {source: news[source] for source in counts} == counts
    assert (linkedin.deleted, medium.changed) == (1, 1)
    assert "eight cores" in [i.body for i in stored(here, "medium") if "Lantern has" in i.body][-1]
    assert json.loads((here.lake_dir / "state/crawl/runa/medium.json").read_text())["validators"]


def test_writing_is_closed_with_its_persona_though_no_text_has_changed(tmp_path: Path) -> None:
    write(tmp_path / "notes/one.md", "Nothing in this text changes, only who may see it does.\n")
    ada = web_persona(Web(folders=[tmp_path / "notes"]))
    here = settings(tmp_path)
    crawl(here, ada, "web")
    crawl(here, ada.model_copy(update={"visibility": "private"}), "web")
    assert [item.visibility for item in stored(here, "web")] == ["public", "private"]
