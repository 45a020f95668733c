"""Data of the Monitoring view: use, money and time from the request log, scores by version and day, feedback.

The log is read as it is, so a request shows within about a second; scores come with the hourly run.
"""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from serving.ui_context import Config, PersonaName
from twin_assets.core.experiments import read_rows
from twin_assets.core.feedback import read_feedback
from twin_assets.core.lake import Lake, open_lake
from twin_assets.inference.live_quality import quality_by
from twin_assets.inference.live_voice import pooled, read_voices
from twin_assets.inference.request_log import read_requests
from twin_assets.inference.scored import read_scored
from twin_assets.inference.usage import usage_by

RECENT = 20
NEWEST_SCORED = 20_000
SEED = 17
NOBODY = "not recorded"

router = APIRouter()


@router.get("/ui/api/{persona}/monitoring")
def monitoring(
    persona: PersonaName, settings: Config, days: Annotated[int, Query(ge=1, le=365)] = 30
) -> dict[str, Any]:
    """The last `days` days (UTC), with the latest requests and comments."""
    lake = open_lake(settings)
    since = datetime.now(UTC).date() - timedelta(days=days - 1)
    requests, said = read_requests(lake, persona, since), read_feedback(lake, persona, since)
    thumbs = Counter((f.model, f.thumb) for f in said if f.thumb)
    latest = sorted(requests, key=lambda r: r.time, reverse=True)[:RECENT]
    total = usage_by(requests, lambda r: "all")
    accepted = {f.request_id for f in said if f.thumb == "up" or f.edited is not None}
    kept = sum(r.request_id in accepted for r in requests)
    cost = total[0].cost if total else None
    return {
        "since": since,
        "days": usage_by(requests, lambda r: f"{r.time:%Y-%m-%d}"),
        "total": total,
        "versions": [
            usage.model_dump() | {"up": thumbs[usage.group, "up"], "down": thumbs[usage.group, "down"]}
            for usage in usage_by(requests, lambda r: r.model)
        ],
        "kinds": usage_by(requests, lambda r: r.prompt_kind),
        "keys": usage_by(requests, lambda r: r.key or NOBODY),
        "accepted": {"count": kept, "cost": cost / kept if cost is not None and kept else None},
        "training": _training(lake, persona, since),
        "quality": _quality(lake, persona, since),
        "feedback": {
            "up": sum(f.thumb == "up" for f in said),
            "down": sum(f.thumb == "down" for f in said),
            "edited": sum(f.edited is not None for f in said),
            "comments": [
                {"time": f.time, "thumb": f.thumb, "comment": f.comment} for f in said[::-1] if f.comment
            ][:RECENT],
        },
        "latest": [
            r.model_dump(
                include={"request_id", "time", "model", "prompt_kind", "outcome", "prompt", "cost", "key"}
            )
            | {"ms": sum(r.steps_ms.values())}
            for r in latest
        ],
    }


def _training(lake: Lake, persona: str, since: date) -> dict[str, Any]:
    runs = [row for row in read_rows(lake, persona) if row.started_at.date() >= since]
    costs = [row.cost_usd for row in runs if row.cost_usd is not None]
    return {
        "runs": len(runs), "hours": sum(row.seconds for row in runs) / 3600, "cost": sum(costs) if costs else None,
    }  # fmt: skip


def _quality(lake: Lake, persona: str, since: date) -> dict[str, Any]:
    rows = read_scored(lake, persona, since, NEWEST_SCORED)
    return {
        "versions": quality_by(rows, lambda row: row.model),
        "days": quality_by(rows, lambda row: f"{row.time:%Y-%m-%d}"),
        "voices": [v for v in pooled(read_voices(lake, persona, since), SEED) if v.kind == "write"],
        "scored_until": rows[-1].time if rows else None,
    }
