"""Data of the Monitoring view: use, money and time from the request log, scores by version and day, feedback.

The log is read as it is, so a request shows within about a second; scores come with the hourly run.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from serving.access.dependencies import Asker, Config, PersonaName
from serving.access.needs import needs
from serving.errors import NotFoundError
from serving.page.models import REPORT_HEADERS
from twin_assets.core.feedback.store import read_feedback
from twin_assets.core.storage.lake import open_lake
from twin_assets.inference.twin.request_log import read_requests
from twin_assets.monitoring.report.overview import overview
from twin_assets.monitoring.report.page import report_key

RECENT = 20

router = APIRouter()


@router.get("/ui/api/{persona}/monitoring")
@needs("admin")
def monitoring(
    persona: PersonaName, settings: Config, asker: Asker, days: Annotated[int, Query(ge=1, le=365)] = 30
) -> dict[str, Any]:
    """The last `days` days (UTC), with the latest requests and comments; without words about what the caller may not
    see."""
    lake = open_lake(settings)
    since = datetime.now(UTC).date() - timedelta(days=days - 1)
    requests, said = read_requests(lake, persona, since), read_feedback(lake, persona, since)
    visibilities = {r.request_id: r.visibility for r in requests}
    shown = overview(lake, persona, since, requests, said)
    return shown.model_dump(exclude={"quality": {"day_voices"}}) | {
        "report": lake.exists(report_key(persona)),
        "comments": [
            {"time": f.time, "thumb": f.thumb, "comment": f.comment}
            for f in said[::-1]
            if f.comment and asker.may_see(visibilities.get(f.request_id, f.audience))
        ][:RECENT],
        "latest": [
            r.model_dump(
                include={"request_id", "time", "model", "prompt_kind", "outcome", "prompt", "cost", "key"}
            )
            | {"ms": sum(r.steps_ms.values())}
            | ({"prompt": None} if not asker.may_see(r.visibility) else {})
            for r in sorted(requests, key=lambda r: r.time, reverse=True)[:RECENT]
        ],
    }


@router.get("/ui/api/{persona}/monitoring-report", response_class=HTMLResponse)
@needs("admin")
def report(persona: PersonaName, settings: Config) -> HTMLResponse:
    """The report as the hourly run wrote it last."""
    lake, key = open_lake(settings), report_key(persona)
    if not lake.exists(key):
        raise NotFoundError(
            f"There is no monitoring report of {persona}.", "run the job `monitor` in Dagster."
        )
    return HTMLResponse(lake.read(key), headers=REPORT_HEADERS)
