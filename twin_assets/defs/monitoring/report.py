"""The monitoring report: production of a persona as one page, after each look."""

import dagster as dg

from twin_assets.core.feedback.store import read_feedback
from twin_assets.defs.monitoring.assets import shown_since
from twin_assets.defs.shared.common import MONITORING, OWNERS, personas
from twin_assets.defs.shared.metadata import image
from twin_assets.defs.shared.resources import Platform
from twin_assets.inference.twin.request_log import read_requests
from twin_assets.monitoring.alerts.lifecycle import batches
from twin_assets.monitoring.drift.report import DriftReport
from twin_assets.monitoring.report.overview import overview
from twin_assets.monitoring.report.page import render_monitoring, report_key
from twin_assets.monitoring.report.plots import traffic_plot
from twin_assets.monitoring.scores.cost_report import CostReport


@dg.asset(
    partitions_def=personas,
    group_name=MONITORING,
    owners=OWNERS,
    kinds={"html"},
    code_version="1",
)
def monitoring_report(
    context: dg.AssetExecutionContext, platform: Platform, cost_report: CostReport, drift_report: DriftReport
) -> dg.MaterializeResult[None]:
    """Traffic, quality, cost, time, drift and alerts by version, as one page for a person, in the lake."""
    persona, lake, now = context.partition_key, platform.lake, platform.settings.now
    since = shown_since(now)
    requests, said = read_requests(lake, persona, since), read_feedback(lake, persona, since)
    shown = overview(lake, persona, since, requests, said)
    production = platform.ledger(persona).production()
    html = render_monitoring(persona, shown, cost_report, batches(lake, persona), production, now)
    uri = lake.write(report_key(persona), html.encode())
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.url(uri),
            "requests": shown.total.requests if shown.total else 0,
            "open_alerts": len(shown.alerts),
            "drifted": ", ".join(s.name for s in drift_report.signals if s.drifted) or "nothing",
            "production": production or "nothing",
            **({"traffic": image(traffic_plot(shown.days))} if shown.days else {}),
        }
    )
