"""The Monitoring view in a real browser: the voice figure by day, and days of the measure before apart from it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.released_twin import ReleasedTwin
from tests.e2e.web_browser import TWIN, Pages, see, services
from tests.evaluation.evaluation_factories import request
from twin_assets.inference.twin.request_log import write_object
from twin_assets.monitoring.scores.live_voice import FOLDER, DayVoice
from twin_assets.monitoring.scores.scored import StoredScore, write_scores

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

NOW = datetime.now(UTC).replace(microsecond=0)


def a_day(twin: ReleasedTwin, days_ago: int, model: str, reads: float | None, **voice: Any) -> None:
    """A request of a day, as it was scored, and the voice of the day."""
    at = NOW - timedelta(days=days_ago)
    day, name = f"{at:%Y-%m-%d}", f"{model[-3:]}{days_ago}"
    write_object(
        twin.lake, f"requests/runa/{day}", name, [request(days_ago, request_id=name, time=at, model=model)]
    )
    score = StoredScore(
        persona="runa", log=name, request_id=name, time=at, model=model, outcome="answered", top_score=0.8,
        support=None, sense_share=reads,
    )  # fmt: skip
    write_scores(twin.lake, "runa", day, [score])
    found = DayVoice(day=day, model=model, kind="write", words=900, reads=reads, **voice)
    key = f"{FOLDER}/runa/{day}.jsonl"
    before = twin.lake.read(key) if twin.lake.exists(key) else b""
    twin.lake.write(key, before + found.model_dump_json().encode() + b"\n")


@pytest.fixture
def page(browser: Any, twin: ReleasedTwin) -> Iterator[Any]:
    with services(twin, TWIN) as address:
        pages = Pages(browser)
        a_day(twin, 3, "runa:good", None, margins=[0.31, 0.29, 0.33])  # scored before there was a figure
        a_day(twin, 1, "runa:good", 1.0, margins=[], places=[0.8, 0.9, 0.85])
        a_day(twin, 0, "runa:good", 1.0, margins=[], places=[0.7, 0.9, 0.8])
        a_day(twin, 0, "runa:noise", 0.1, margins=[], places=[])
        yield pages.open(address, "monitoring")
        pages.close()
        assert pages.troubles == []


def test_days_have_a_figure_or_the_old_measure_and_noise_has_neither(page: Any) -> None:
    quality = page.locator("details.group").filter(has_text="Scored up to")
    curve = quality.get_by_role("img", name="Voice by day (0: other people, 1: the author)")
    see(curve).to_be_visible()
    see(curve.locator("circle")).to_have_count(2)
    see(quality.get_by_role("img", name="Passages that read as language")).to_be_visible()
    old = quality.get_by_role("table", name="Old measure: voice margin by day")
    see(old.locator("tbody tr")).to_have_count(1)
    see(old).to_contain_text("+0.31")
    see(quality).to_contain_text("does not read as language, so that its voice can't be said")
