"""Scored requests of which one may plant changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from twin_assets.monitoring.scores.records import ScoredRequest

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def scored(number: int, day: float, **changes: Any) -> ScoredRequest:
    given: dict[str, Any] = {
        "request_id": f"r{number}", "time": MONDAY + timedelta(days=day), "model": "runa:one", "outcome": "answered",
        "top_score": 0.7, "support": None, "grounded_share": 0.85, "cost_usd": 0.01,
    }  # fmt: skip
    return ScoredRequest(**(given | changes))


def week(start: float, n: int = 60, seed: int = 1, supported: float = 0.85, outside: float = 0.1, days: float = 7, **changes: Any) -> list[ScoredRequest]:  # fmt: skip
    """`n` requests over `days` days: mean support, and the share that finds nothing."""
    random = np.random.default_rng([seed, int(start * 100)])
    return [
        scored(
            n * 1000 + i + int(start * 10_000), start + days * i / n,
            **{
                "grounded_share": float(np.clip(random.normal(supported, 0.12), 0, 1)),
                "top_score": float(random.uniform(0.2, 0.4) if random.random() < outside else random.uniform(0.5, 0.8)),
            } | changes,
        )
        for i in range(n)
    ]  # fmt: skip
