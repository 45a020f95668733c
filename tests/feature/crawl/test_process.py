"""The whole way: `crawl_source` starts a process, streams its log, and never loses sight of a crash."""

import threading
from pathlib import Path

import pytest

from demo.sites import DemoSites
from demo.sites.answers import Answer
from demo.sites.loopback import Loopback
from tests.feature.crawl.test_odd_answers import page
from tests.feature.crawl.writing import persona, settings, stored, web_persona, write_post
from twin_assets.core import processes
from twin_assets.core.persona.sources import Web
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


def test_a_crawl_gets_settings_that_are_lists_and_tables_too(tmp_path: Path) -> None:
    """Whatever a setting is, the crawl's own process reads it as it was."""
    write_post(tmp_path / "w", 1)
    here = settings(
        tmp_path, alert_email_to=["ada@example.org"], alert_urls=["ntfy://very-secret"], cors_origins=["https://ada.example"],
        kubernetes_requests={"cpu": "8"}, kubernetes_tolerations=[{"key": "gpu", "operator": "Exists"}],
        traces_headers={"Authorization": "Basic very-secret"},
    )  # fmt: skip
    lines: list[str] = []
    with DemoSites(tmp_path / "w") as sites:
        report = crawl_source(here, persona(sites), "linkedin", lines.append)
    assert (report.error, report.new) == (None, 1)
    assert "very-secret" not in "".join(lines) + report.model_dump_json()


def test_a_process_that_dies_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    here = settings(tmp_path, lake_url="not-a-lake")
    with DemoSites(tmp_path / "w") as sites:
        report = crawl_source(here, persona(sites), "medium", lambda line: None)
    assert "TWIN_LAKE_URL" in (report.error or "")


class Slow(Loopback):
    """Answers the first page, and keeps whoever asks for the second waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.over = threading.Event(), threading.Event()

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        if target == "/slow":
            self.asked.set()
            self.over.wait()
        return page("A page") if target in ("/first", "/slow") else Answer.html("", 404)


def test_a_crawl_that_never_ends_is_ended_and_what_came_is_stored_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 1.0)
    with Slow() as site:
        who = web_persona(Web(pages=[f"{site.address}/first", f"{site.address}/slow"]))
        lines: list[str] = []
        for seconds in (15, 60, 240):  # until the machine was fast enough to ask for the second page
            late = crawl_source(settings(tmp_path, crawl_hours=seconds / 3600), who, "web", lines.append)
            if site.asked.is_set():
                break
        site.over.set()
        after = crawl_source(settings(tmp_path), who, "web", lines.append)
    assert f"The web crawl took longer than {seconds} seconds and was ended" in (late.error or "")
    assert "TWIN_CRAWL_HOURS" in (late.error or "")
    assert after.error is None
    assert len({item.item_id for item in stored(settings(tmp_path), "web")}) == 2
