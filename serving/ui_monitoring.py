"""Data of the Monitoring view: use by day and by version, from the request log and the feedback."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from serving.ui_context import Config, PersonaName
from twin_assets.core.lake import open_lake
from twin_assets.inference.feedback import read_feedback
from twin_assets.inference.request_log import read_requests
from twin_assets.inference.usage import usage_by

RECENT = 20

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
    return {
        "since": since,
        "days": usage_by(requests, lambda r: f"{r.time:%Y-%m-%d}"),
        "total": usage_by(requests, lambda r: "all"),
        "versions": [
            usage.model_dump() | {"up": thumbs[usage.group, "up"], "down": thumbs[usage.group, "down"]}
            for usage in usage_by(requests, lambda r: r.model)
        ],
        "feedback": {
            "up": sum(f.thumb == "up" for f in said),
            "down": sum(f.thumb == "down" for f in said),
            "edited": sum(f.edited is not None for f in said),
            "comments": [
                {"time": f.time, "thumb": f.thumb, "comment": f.comment} for f in said[::-1] if f.comment
            ][:RECENT],
        },
        "latest": [
            r.model_dump(include={"request_id", "time", "model", "prompt_kind", "outcome", "prompt"})
            | {"ms": sum(r.steps_ms.values())}
            for r in latest
        ],
    }
