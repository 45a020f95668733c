"""Looking at production: by hand, and every hour."""

from collections.abc import Iterator

import dagster as dg

from twin_assets.defs.shared.common import MONITORING, PERSONAS
from twin_assets.defs.shared.resources import Platform

# It takes texts out when their days are over, and finishes erasures: also of who is paused, and goes on serving.
PROMISED = [dg.AssetKey("scored_requests")]

monitor = dg.define_asset_job("monitor", dg.AssetSelection.groups(MONITORING))


@dg.schedule(
    job=monitor,
    cron_schedule="15 * * * *",
    description="Scores the requests of the last hour and looks for drift.",
)
def monitor_hourly(context: dg.ScheduleEvaluationContext, platform: Platform) -> Iterator[dg.RunRequest]:
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        # Dagster wants keys where there are several, and starts one run a key.
        key = f"{persona}:{context.scheduled_execution_time.isoformat()}"
        only = PROMISED if persona in platform.paused else None
        yield dg.RunRequest(run_key=key, partition_key=persona, asset_selection=only)
