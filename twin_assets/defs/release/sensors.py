"""What was approved is deployed, and what serves is watched."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from twin_assets.core.release.approval import can_deploy, may_be_released
from twin_assets.core.release.canary import evaluate_canary
from twin_assets.defs.release.jobs import deploy, settle_release
from twin_assets.defs.shared.common import PERSONAS
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import latest, tags_of


@dg.sensor(
    job=deploy,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Deploys what a person has approved, and keeps `release` in step with promotions and rollbacks.",
)
def deploy_approved(
    context: dg.SensorEvaluationContext, platform: Platform
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    settings, reasons = platform.settings, []
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        history = platform.known_ledgers.history(persona)
        recorded = latest(context.instance, dg.AssetKey("release"), persona)
        shown = tags_of(recorded)["dagster/data_version"] if recorded else "none"
        waiting = history.waiting()
        automatic = settings.auto_approve and waiting is not None and may_be_released(waiting, settings)
        if automatic or can_deploy(history, settings) or shown != (history.production() or "none"):
            # One run for each state of the ledger: a refused approval is not tried again and again.
            yield dg.RunRequest(run_key=f"{persona}:{len(history.events)}", partition_key=persona)
        elif canary := history.canary():
            reasons.append(f"{persona}: the canary {canary.model} is not over")
        else:
            reasons.append(f"{persona}: no approval waits")
    if reasons:
        yield dg.SkipReason("; ".join(reasons))


@dg.sensor(
    job=settle_release,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Ends a canary, and takes back a release that breaks a limit, when no serving process does.",
)
def watch_releases(
    context: dg.SensorEvaluationContext, platform: Platform
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    reasons = []
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        history, now = platform.known_ledgers.history(persona), datetime.now(UTC)
        verdict = evaluate_canary(platform.lake, persona, history, platform.settings, now)
        if verdict is None or verdict.act == "wait":
            reasons.append(f"{persona}: {verdict.reason if verdict else 'nothing is watched'}")
        else:
            config = {"ops": {"settle_watched": {"config": {"persona": persona}}}}
            key = f"{persona}:{verdict.follows}:{verdict.act}"
            yield dg.RunRequest(run_key=key, run_config=config)
    if reasons:
        yield dg.SkipReason("; ".join(reasons))
