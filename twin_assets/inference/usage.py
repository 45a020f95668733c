"""How the twin is used, from the request log: counts, latency and tokens, by day, by version, by anything."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from twin_assets.core.records import Record
from twin_assets.inference.request_log import RequestRecord


class Usage(Record):
    """Requests of one group. Latency is the sum of a request's steps in milliseconds, None for no steps."""

    group: str
    requests: int
    answered: int
    refused: int
    failed: int
    tokens_in: int
    tokens_out: int
    cost: float
    latency_p50: float | None
    latency_p95: float | None


def usage_by(requests: Iterable[RequestRecord], group: Callable[[RequestRecord], str]) -> list[Usage]:
    """One row for each value of `group`, sorted by it."""
    groups: dict[str, list[RequestRecord]] = defaultdict(list)
    for request in requests:
        groups[group(request)].append(request)
    return [_usage(name, rows) for name, rows in sorted(groups.items())]


def _usage(name: str, rows: list[RequestRecord]) -> Usage:
    took = [sum(r.steps_ms.values()) for r in rows if r.steps_ms]
    outcomes = [r.outcome for r in rows]
    return Usage(
        group=name, requests=len(rows), answered=outcomes.count("answered"),
        refused=outcomes.count("refused"), failed=outcomes.count("failed"),
        tokens_in=sum(r.tokens_in for r in rows), tokens_out=sum(r.tokens_out for r in rows),
        cost=sum(r.cost or 0.0 for r in rows),
        latency_p50=float(np.percentile(took, 50)) if took else None,
        latency_p95=float(np.percentile(took, 95)) if took else None,
    )  # fmt: skip
