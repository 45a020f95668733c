"""What monitoring keeps is the same in a folder and on S3: log, scores, feedback, reviews, alerts, asks, page, erasure."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.evaluation.evaluation_factories import request
from tests.monitoring.erasure.test_erasure_feedback import PLAIN, dataset, said
from tests.monitoring.scores.test_live_scores import log, scorer
from tests.support.s3_double import lake_in
from twin_assets.core.datasets.erasure import erased_rows
from twin_assets.core.feedback.pairs import decide_on_pairs, pair_reviews, stored_pairs
from twin_assets.core.feedback.store import read_feedback
from twin_assets.core.storage.lake import Lake
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.inference.twin.request_log import read_requests
from twin_assets.monitoring.alerts.channels import deliver
from twin_assets.monitoring.alerts.lifecycle import Alert, batches, open_alerts, settle_alerts
from twin_assets.monitoring.drift.refresh import Verdict, ask, asks
from twin_assets.monitoring.erasure import erase, remove_texts
from twin_assets.monitoring.report.overview import overview
from twin_assets.monitoring.report.page import render_monitoring
from twin_assets.monitoring.scores.live_scores import score_new
from twin_assets.monitoring.scores.scored import read_scored
from twin_assets.settings import Settings

DAY = date(2026, 1, 1)


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    with lake_in(request.param, tmp_path) as made:
        yield made


def test_what_monitoring_keeps_is_read_back_and_erased(lake: Lake, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    log(lake, "a", request(0, key="ann", prompt="Who?", answer="Ann."), request(1, key="bob"))
    late = RequestLog(lake, lambda: datetime(2026, 1, 2, tzinfo=UTC))
    late.append(request(2, key="bob"))
    late.close()
    assert score_new(lake, scorer(), since=DAY).scored == 3
    assert [r.request_id for r in read_scored(lake, "runa")] == ["0", "1", "2"]
    said(lake, 0, edited=PLAIN, key="ann")
    [pair] = stored_pairs(lake, "runa").pairs
    decide_on_pairs(lake, "runa", {pair.pair_id: "accept"}, "Ines", "hers", {pair.pair_id: None})
    version = dataset(lake, [pair])

    at = datetime(2026, 1, 3, tzinfo=UTC)
    alert = Alert(name="voice", severity="warning", what="it moved", how_bad="much", since=at, link="l")
    assert settle_alerts(lake, "runa", [alert], at, []) is not None
    assert settle_alerts(lake, "runa", [alert], at + timedelta(hours=1), []) is None
    assert deliver(lake, "runa", settings) == []
    assert set(open_alerts(batches(lake, "runa"))) == {"voice"}
    verdict = Verdict(reasons=["new writing"])
    assert ask(lake, "runa", "m", verdict, "unknown", at) is not None
    assert len(asks(lake, "runa")) == 1

    found = overview(lake, "runa", DAY, read_requests(lake, "runa"), read_feedback(lake, "runa", DAY))
    assert found.total is not None
    assert (found.total.requests, found.feedback.edited, len(found.alerts)) == (3, 1, 1)
    page = render_monitoring("runa", found, None, batches(lake, "runa"), "m", at)
    assert "1 alert stands" in page
    assert "it moved" in page
    assert "Who?" not in page

    assert remove_texts(lake, "runa", 1, date(2026, 1, 4)) == 1
    gone = erase(settings, lake, "runa", key="ann")
    assert (gone.requests, gone.scores, gone.feedback, gone.pairs, gone.datasets) == (
        1,
        1,
        1,
        1,
        {version: 1},
    )
    assert [r.request_id for r in read_requests(lake, "runa")] == ["1", "2"]
    assert pair_reviews(lake, "runa") == {}
    assert erased_rows(lake, "runa", "preference", version) is not None
    assert PLAIN.encode() not in b"".join(lake.read(key) for key in lake.keys(""))
