"""What is told of the running of things stands on the page too, with the way to look at it, also before anybody asked anything."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.web_browser import Pages, see
from tests.serving.twin_server import Server, twin
from twin_assets.core.release.marks import pause
from twin_assets.monitoring.alerts.lifecycle import PLATFORM, settle_alerts
from twin_assets.monitoring.alerts.operation import (
    FailedWork,
    FailingSource,
    failed_work,
    failing_sources,
    waiting_candidate,
)

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

NOW = datetime.now(UTC)
RUN = "http://127.0.0.1:3070/runs/one"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with twin(tmp_path) as (server, _):
        yield server


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_what_failed_and_what_waits_stand_first_the_worst_at_the_top(
    server: Server, pages: Pages, size: str, scheme: str
) -> None:
    lake = server.answers.lake
    failed = failed_work(
        [FailedWork(name="sft_model", reason="The disk is full. Fix: free some.", at=NOW, link=RUN)]
    )
    failing = failing_sources(
        [FailingSource(source="linkedin", error="401: the token has expired", at=NOW, link=RUN)]
    )
    waits = waiting_candidate("twin-runa-dpo:two", NOW, NOW + timedelta(days=14), RUN, NOW)
    settle_alerts(lake, "runa", [*waits, *failing], NOW, [])
    settle_alerts(lake, PLATFORM, failed, NOW, [])
    page = pages.open(server.url, "monitoring", size)
    page.get_by_label("Persona").select_option("runa")
    page.emulate_media(color_scheme=scheme)
    alerts = page.get_by_role("region", name="Alerts")
    see(alerts.get_by_role("heading")).to_have_text("3 alerts stand")
    see(alerts.locator("summary").last).to_contain_text("waits for a person's approval")
    see(page.get_by_text("No requests yet")).to_be_visible()
    of_training = alerts.locator("details").filter(has_text="sft_model failed.")
    of_training.locator("summary").press("Enter")
    see(of_training).to_contain_text("The disk is full. Fix: free some. Look at it in Dagster")
    see(of_training.get_by_role("link")).to_have_attribute("href", RUN)
    if folder := os.environ.get("TWIN_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"told-{size}-{scheme}.png", full_page=True)


def test_a_candidate_alone_is_no_alarm(server: Server, pages: Pages) -> None:
    waits = waiting_candidate("twin-runa-dpo:two", NOW, NOW + timedelta(days=14), RUN, NOW)
    settle_alerts(server.answers.lake, "runa", waits, NOW, [])
    page = pages.open(server.url, "monitoring")
    page.get_by_label("Persona").select_option("runa")
    see(page.get_by_role("region", name="Alerts").get_by_role("heading")).to_have_text("1 thing waits")


def test_who_is_paused_is_said_where_they_are_chosen_and_watched(server: Server, pages: Pages) -> None:
    pause(server.answers.lake, "runa", "Ines", "on leave")
    page = pages.open(server.url, "monitoring")
    page.get_by_label("Persona").select_option("runa")
    see(page.get_by_role("note")).to_contain_text("by Ines: on leave. Nothing is crawled, built")
    see(page.get_by_label("Persona").locator("option:checked")).to_contain_text("(paused)")
