"""Alerts: a sensor that tells of what the drift report found, grouped, at most daily, over the channels that are set."""

from datetime import datetime

import dagster as dg

from twin_assets.core.hashing import fingerprint
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.defs.shared.common import PERSONAS
from twin_assets.defs.shared.looks import Looks
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import latest, tags_of
from twin_assets.monitoring.alerts.channels import channels, deliver
from twin_assets.monitoring.alerts.lifecycle import (
    alerts_of,
    batches,
    next_repeat,
    open_alerts,
    settle_alerts,
)
from twin_assets.monitoring.drift.report import DriftReport
from twin_assets.settings import Settings


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
    description="Sends new, daily repeated and closed alerts to the webhook, Slack and e-mail that are set.",
)
def send_alerts(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
    """Starts no run. What a channel didn't take stays, and is sent at the next tick."""
    settings, said = platform.settings, []
    looks = Looks(context.cursor, settings.now)
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        report = tags_of(latest(context.instance, dg.AssetKey("drift_report"), persona))
        rules = channels(settings), report_link(settings, persona)
        state = fingerprint([report.get("dagster/data_version"), rules], 12)
        sentence = looks.quiet(persona, state)
        if sentence is None:
            sentence, due = tell(platform, persona)
            looks.looked(persona, state, sentence, due)
        said.append(f"{persona}: {sentence}")
    context.update_cursor(looks.cursor())
    return dg.SkipReason("; ".join(said) or "no personas yet")


def tell(platform: Platform, persona: str) -> tuple[str, datetime | None]:
    """Settle the alerts of one persona and send what is to be sent; what came of it, in words, and when to look again
    though no report is new, None for never."""
    lake, settings, store = platform.lake, platform.settings, FeatureStore(platform.lake)
    version = store.latest("drift_report", persona)
    if version is None:
        return "no drift report yet", None
    report: DriftReport = store.load("drift_report", persona, DriftReport, version)
    link = report_link(settings, persona)
    batch = settle_alerts(lake, persona, alerts_of(report, link), settings.now, channels(settings))
    problems = deliver(lake, persona, settings)
    looked = batches(lake, persona)
    standing = open_alerts(looked)
    spoke = batch is not None and batch.speaks
    told = f"message {batch.number} speaks of {', '.join(batch.told)}" if batch and spoke else "nothing new"
    due = settings.now if spoke or problems else next_repeat(looked)
    return "; ".join([f"open: {', '.join(standing) or 'none'}", told, *problems]), due


def report_link(settings: Settings, persona: str) -> str:
    """Where the drift report is to be looked at."""
    base = settings.dagster_url or f"http://127.0.0.1:{settings.dagster_port}"
    return f"{base.rstrip('/')}/assets/drift_report?partition={persona}"
