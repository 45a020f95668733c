"""How the twin is used, from the request log: counts, latency and tokens, by day, by version, by anything."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from twin_assets.core.records import Record
from twin_assets.inference.twin.request_log import RequestRecord


class Usage(Record):
    """Requests of one group. Latency is the sum of a request's steps in milliseconds, None for no steps.

    `cost` is in US dollars, None where no request has a known price. `steps_p50` and `steps_p95` are the
    latency of each step.
    """

    group: str
    requests: int
    answered: int
    refused: int
    failed: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    latency_p50: float | None
    latency_p95: float | None
    steps_p50: dict[str, float] = {}
    steps_p95: dict[str, float] = {}


def usage_by(requests: Iterable[RequestRecord], group: Callable[[RequestRecord], str]) -> list[Usage]:
    """One row for each value of `group`, sorted by it."""
    groups: dict[str, list[RequestRecord]] = defaultdict(list)
    for request in requests:
        groups[group(request)].append(request)
    return [_usage(name, rows) for name, rows in sorted(groups.items())]


def _usage(name: str, rows: list[RequestRecord]) -> Usage:
    took = [sum(r.steps_ms.values()) for r in rows if r.steps_ms]
    outcomes = [r.outcome for r in rows]
    costs = [r.cost for r in rows if r.cost is not None]
    steps: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for step, ms in row.steps_ms.items():
            steps[step].append(ms)
    return Usage(
        group=name,
        requests=len(rows),
        answered=outcomes.count("answered") + outcomes.count("without_passages"),
        refused=outcomes.count("refused"),
        failed=outcomes.count("failed"),
        tokens_in=sum(r.tokens_in for r in rows),
        tokens_out=sum(r.tokens_out for r in rows),
        cost=sum(costs) if costs else None,
        latency_p50=float(np.percentile(took, 50)) if took else None,
        latency_p95=float(np.percentile(took, 95)) if took else None,
        steps_p50={step: float(np.percentile(ms, 50)) for step, ms in sorted(steps.items())},
        steps_p95={step: float(np.percentile(ms, 95)) for step, ms in sorted(steps.items())},
    )
