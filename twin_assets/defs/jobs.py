"""Jobs by hand, schedules, and the sensors that carry a persona from new writing to a release."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from twin_assets.core.persona.definition import persona_names
from twin_assets.core.release.approval import can_deploy
from twin_assets.core.release.canary import evaluate_canary
from twin_assets.defs.evaluation.experiments import assets as experiment_assets
from twin_assets.defs.monitoring.refresh import ask_for_rebuild, due_for_crawling
from twin_assets.defs.release.assets import settle_release
from twin_assets.defs.shared.common import (
    COLLECT,
    CORPUS,
    DATASETS,
    INDEX,
    MONITORING,
    PERSONAS,
    WAREHOUSE,
    personas,
)
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import is_current, latest, tags_of
from twin_assets.defs.training.sensor import ask_to_train

collect = dg.define_asset_job("collect", dg.AssetSelection.groups(COLLECT))
features = dg.define_asset_job(
    "features",
    dg.AssetSelection.groups(WAREHOUSE, CORPUS, INDEX, DATASETS)
    - dg.AssetSelection.assets("preference_dataset"),
)
train = dg.define_asset_job(
    "train",
    dg.AssetSelection.assets("base_model", "sft_model", "preference_dataset", "dpo_model"),
)
evaluate = dg.define_asset_job("evaluate", dg.AssetSelection.assets("evaluation_report"))
deploy = dg.define_asset_job("deploy", dg.AssetSelection.assets("release"))
monitor = dg.define_asset_job("monitor", dg.AssetSelection.groups(MONITORING))


def _every_persona(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        yield dg.RunRequest(partition_key=persona)


collect_daily = dg.schedule(
    name="collect_daily",
    job=collect,
    cron_schedule="0 5 * * *",
    description="Collects new writing in the morning, of each persona as often as they write: every 1 to 14 days.",
)(due_for_crawling)
monitor_hourly = dg.ScheduleDefinition(
    name="monitor_hourly", job=monitor, cron_schedule="15 * * * *", execution_fn=_every_persona,
    description="Scores the requests of the last hour and looks for drift.",
)  # fmt: skip


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Adds a partition for every YAML file in personas/.",
)
def declare_personas(
    context: dg.SensorEvaluationContext, platform: Platform
) -> dg.SensorResult | dg.SkipReason:
    known = set(context.instance.get_dynamic_partitions(PERSONAS))
    new = [name for name in persona_names(platform.settings.personas_dir) if name not in known]
    if not new:
        return dg.SkipReason("no new persona file")
    return dg.SensorResult(dynamic_partitions_requests=[personas.build_add_request(new)])


def _latest(context: dg.SensorEvaluationContext, asset: str, persona: str) -> dg.AssetMaterialization | None:
    return latest(context.instance, dg.AssetKey(asset), persona)


def _on_new_version(chain: list[str], job: Any, name: str, description: str) -> dg.SensorDefinition:
    """A sensor that runs `job` once for each new data version of the first asset of `chain`, persona by
    persona, unless every further asset was already made from the one before it."""

    @dg.sensor(
        job=job, name=name, description=description,
        default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=30,
    )  # fmt: skip
    def on_new_version(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        reasons = []
        for persona in context.instance.get_dynamic_partitions(PERSONAS):
            links = [_latest(context, asset, persona) for asset in chain]
            if links[0] is None:
                reasons.append(f"{persona} has no {chain[0]} yet")
            elif is_current([dg.AssetKey(asset) for asset in chain], links):
                reasons.append(f"{persona}'s {chain[-1]} is current")
            else:
                # The run key makes Dagster start one run a version, however often it is asked for.
                version = tags_of(links[0])["dagster/data_version"]
                yield dg.RunRequest(run_key=f"{persona}:{version}", partition_key=persona)
        if reasons:
            yield dg.SkipReason("; ".join(reasons))

    return on_new_version


train_on_new_dataset = dg.sensor(
    job=train,
    name="train_on_new_dataset",
    description="Starts Axolotl SFT and DPO when a new dataset version lands, once a version, unless too little "
    "has changed or the last training is too recent.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
)(ask_to_train)
evaluate_new_candidate = _on_new_version(
    ["dpo_model", "evaluation_report"], evaluate, "evaluate_new_candidate",
    "Evaluates every new candidate, once.",
)  # fmt: skip


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
        history = platform.ledger(persona).history()
        recorded = _latest(context, "release", persona)
        shown = tags_of(recorded)["dagster/data_version"] if recorded else "none"
        automatic = settings.auto_approve and history.waiting() is not None
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
        history, now = platform.ledger(persona).history(), datetime.now(UTC)
        verdict = evaluate_canary(platform.lake, persona, history, platform.settings, now)
        if verdict is None or verdict.act == "wait":
            reasons.append(f"{persona}: {verdict.reason if verdict else 'nothing is watched'}")
        else:
            config = {"ops": {"settle_watched": {"config": {"persona": persona}}}}
            key = f"{persona}:{verdict.follows}:{verdict.act}"
            yield dg.RunRequest(run_key=key, run_config=config)
    if reasons:
        yield dg.SkipReason("; ".join(reasons))


rebuild_when_due = dg.sensor(
    job=collect,
    name="rebuild_when_due",
    description="Asks for a rebuild, from collecting on, when something drifted, enough new writing came, or the "
    "model is old; says why, for how much, and not again before the cooldown is over.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
)(ask_for_rebuild)


carry_features_forward = dg.AutomationConditionSensorDefinition(
    name="carry_features_forward",
    target=dg.AssetSelection.groups(WAREHOUSE, CORPUS, INDEX, DATASETS)
    | dg.AssetSelection.assets(*experiment_assets),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Carries new writing through warehouse, corpus, index and dataset, and runs into their comparison.",
)

jobs = [collect, features, train, evaluate, deploy, monitor]
schedules = [collect_daily, monitor_hourly]
sensors = [
    declare_personas, carry_features_forward, train_on_new_dataset, evaluate_new_candidate, deploy_approved,
    watch_releases, rebuild_when_due,
]  # fmt: skip
