"""What was approved is deployed, and what serves is watched."""

from datetime import UTC, datetime

import dagster as dg

from twin_assets.core.hashing import fingerprint
from twin_assets.core.release.approval import can_deploy, may_be_released
from twin_assets.core.release.canary import evaluate_canary
from twin_assets.defs.release.jobs import deploy, settle_release
from twin_assets.defs.shared.asked import Asked, runs_or_reasons
from twin_assets.defs.shared.common import PERSONAS
from twin_assets.defs.shared.looks import Looks
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import latest, newest_rows, version_of


@dg.sensor(
    job=deploy,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Deploys what a person has approved, and keeps `release` in step with promotions and rollbacks.",
)
def deploy_approved(context: dg.SensorEvaluationContext, platform: Platform) -> Asked:
    settings, instance = platform.settings, context.instance
    requests, reasons = list[dg.RunRequest](), []
    looks, rows = Looks(context.cursor, datetime.now(UTC)), newest_rows(instance, ("release",))
    for persona in instance.get_dynamic_partitions(PERSONAS):
        history = platform.known_ledgers.history(persona)
        state = fingerprint([rows.get(persona), len(history.events)], 12)
        waiting = history.waiting()
        automatic = settings.auto_approve and waiting is not None and may_be_released(waiting, settings)
        automatic &= persona not in platform.paused  # what a person approved is deployed all the same
        known = looks.quiet(persona, state)
        shown = known or version_of(latest(instance, dg.AssetKey("release"), persona)) or "none"
        if automatic or can_deploy(history, settings) or shown != (history.production() or "none"):
            # One run for each state of the ledger: a refused approval is not tried again and again.
            key = f"{persona}:{len(history.events)}"
            requests.append(dg.RunRequest(run_key=key, partition_key=persona))
            continue
        if known is None:
            looks.looked(persona, state, shown, None)
        canary = history.canary()
        reasons.append(
            f"{persona}: the canary {canary.model} is not over" if canary else f"{persona}: no approval waits"
        )
    context.update_cursor(looks.cursor())
    return runs_or_reasons(context, requests, reasons)


@dg.sensor(
    job=settle_release,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Ends a canary, and takes back a release that breaks a limit, when no serving process does.",
)
def watch_releases(context: dg.SensorEvaluationContext, platform: Platform) -> Asked:
    requests, reasons = list[dg.RunRequest](), []
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        history, now = platform.known_ledgers.history(persona), datetime.now(UTC)
        verdict = evaluate_canary(platform.lake, persona, history, platform.settings, now)
        if verdict is None or verdict.act == "wait":
            reasons.append(f"{persona}: {verdict.reason if verdict else 'nothing is watched'}")
        else:
            config = {"ops": {"settle_watched": {"config": {"persona": persona}}}}
            key = f"{persona}:{verdict.follows}:{verdict.act}"
            requests.append(dg.RunRequest(run_key=key, run_config=config))
    return runs_or_reasons(context, requests, reasons)
