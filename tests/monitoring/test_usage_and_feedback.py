from datetime import UTC, date, datetime
from pathlib import Path

from tests.evaluation.evaluation_factories import request
from twin_assets.core.feedback.store import Feedback, add_feedback, read_feedback
from twin_assets.core.storage.lake import LocalLake
from twin_assets.inference.twin.request_log import read_requests
from twin_assets.monitoring.scores.usage import usage_by


def test_use_is_counted_by_group_and_latency_is_of_whole_requests() -> None:
    rows = [request(n, model=f"m{n % 2}", outcome="refused" if n == 3 else "answered") for n in range(4)]
    first, second = usage_by(rows, lambda r: r.model)
    assert (first.group, first.requests, first.refused, second.refused) == ("m0", 2, 0, 1)
    assert (first.tokens_in, first.tokens_out) == (200, 100)
    assert first.latency_p50 == 111.0  # retrieve 10 and generate 100 and 102
    assert first.steps_p50 == {"generate": 101.0, "retrieve": 10.0}
    assert first.cost is None
    assert usage_by([request(cost=0.5), request(cost=None)], lambda r: "all")[0].cost == 0.5
    assert usage_by([request(steps_ms={})], lambda r: r.model)[0].latency_p50 is None


def test_only_the_days_asked_for_are_read(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    for day in (1, 2, 3):
        at = datetime(2026, 1, day, tzinfo=UTC)
        row = request(day, time=at)
        lake.write(f"requests/runa/{at:%Y-%m-%d}/x.jsonl", row.model_dump_json().encode())
        add_feedback(lake, Feedback(request_id=str(day), time=at, persona="runa", model="m", thumb="up"))
    since = date(2026, 1, 2)
    assert [r.request_id for r in read_requests(lake, "runa", since)] == ["2", "3"]
    assert [f.request_id for f in read_feedback(lake, "runa", since)] == ["2", "3"]
    assert len(read_requests(lake, "runa")) == len(read_feedback(lake, "runa")) == 3
