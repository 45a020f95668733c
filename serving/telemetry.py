"""The service tells this of itself: Prometheus metrics, and one JSON line a request.

Every label has a bounded set of values: nothing that a caller sends becomes one as it stands. Neither holds texts, keys or addresses of links.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from twin_assets.inference.twin.request_log import RequestRecord

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

HTTP = Counter(
    "twin_http_requests",
    "HTTP requests by route, as it was declared, method and status.",
    ["route", "method", "status"],
)
HTTP_SECONDS = Histogram(
    "twin_http_seconds", "Time to the end of the answer, by route.", ["route"], buckets=SECONDS
)
REQUESTS = Counter(
    "twin_requests",
    "Answers by persona, version, kind and outcome.",
    ["persona", "version", "kind", "outcome"],
)
STEPS = Histogram("twin_step_seconds", "Time of each step of an answer.", ["kind", "step"], buckets=SECONDS)
TOKENS = Counter(
    "twin_tokens", "Tokens read and written, as the engine counted them.", ["persona", "direction"]
)
COST = Counter(
    "twin_cost_usd",
    "US dollars that answers took, where a price is known.",
    ["persona", "version", "kind", "key"],
)
REFUSED = Counter("twin_refused", "Requests that were turned away, by reason.", ["reason"])
DEGRADED = Counter("twin_degraded", "Answers that did without a part.", ["part"])
WITHOUT_PASSAGES = Counter(
    "twin_without_passages",
    "Requests while the vector store was away: refused, or written without passages.",
    ["outcome"],
)
for outcome in ("refused", "without_passages"):  # a rate needs the zero before the first
    WITHOUT_PASSAGES.labels(outcome)
QUEUE = Gauge("twin_queue", "Requests in hand: running and waiting.", ["state"], multiprocess_mode="livesum")
LOST_ROWS = Gauge(
    "twin_lost_request_rows", "Rows of the request log that were lost.", multiprocess_mode="livesum"
)
WAITING_ROWS = Gauge(
    "twin_waiting_request_rows", "Rows of the request log not stored yet.", multiprocess_mode="livesum"
)

access = logging.getLogger("twin.access")
_written = json.JSONEncoder(ensure_ascii=False, default=str).encode  # json.dumps makes one for each line


class JsonLines(logging.Formatter):
    """The fields of a record as one JSON object on a line."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = getattr(record, "fields", {})
        return _written({"time": time, "event": record.getMessage(), **fields})


def log_json() -> None:
    """Write the access log to stderr as JSON lines; once a process."""
    if not access.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        access.addHandler(handler)
        access.setLevel(logging.INFO)
        access.propagate = False


def count(row: RequestRecord) -> None:
    """Add one request to the metrics."""
    REQUESTS.labels(row.persona, row.model, row.prompt_kind, row.outcome).inc()
    for step, ms in row.steps_ms.items():
        STEPS.labels(row.prompt_kind, step).observe(ms / 1000)
    TOKENS.labels(row.persona, "in").inc(row.tokens_in)
    TOKENS.labels(row.persona, "out").inc(row.tokens_out)
    if row.cost:
        COST.labels(row.persona, row.model, row.prompt_kind, row.key or "unknown").inc(row.cost)


def count_http(route: str | None, method: str, status: int, seconds: float) -> None:
    """Add one HTTP request; `route` is the template that was matched, None for none."""
    told = route or "none"
    HTTP.labels(told, method if method in METHODS else "other", status).inc()
    HTTP_SECONDS.labels(told).observe(seconds)
