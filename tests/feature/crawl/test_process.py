"""The whole way: `crawl_source` starts a process, streams its log, and never loses sight of a crash."""

from pathlib import Path

from demo.sites import DemoSites
from tests.feature.crawl.writing import persona, settings, stored, write_post
from twin_assets.feature.crawl.crawl import crawl_source


def test_a_crawl_streams_its_log_and_hands_back_its_report(tmp_path: Path) -> None:
    write_post(tmp_path / "w", 1)
    here = settings(tmp_path, linkedin_token="very-secret-token")
    lines: list[str] = []
    with DemoSites(tmp_path / "w") as sites:
        report = crawl_source(here, persona(sites), "linkedin", lines.append)
    assert (report.error, report.new) == (None, 1)
    assert report.requests >= 2
    assert report.bytes > 0
    assert report.raw_uri is not None
    assert any(line.startswith("crawl: new:") for line in lines)
    assert not any("very-secret-token" in line for line in lines)
    assert "very-secret-token" not in report.model_dump_json()
    assert len(stored(here, "linkedin")) == 1


def test_a_process_that_dies_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    here = settings(tmp_path, lake_url="not-a-lake")
    with DemoSites(tmp_path / "w") as sites:
        report = crawl_source(here, persona(sites), "medium", lambda line: None)
    assert "TWIN_LAKE_URL" in (report.error or "")
