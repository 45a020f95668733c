"""Refresh: asks for a rebuild when there is reason to."""

from datetime import datetime

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint
from twin_assets.core.release.history import History
from twin_assets.core.storage.experiments import read_rows
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.defs.collect.jobs import collect
from twin_assets.defs.shared.asked import Asked, who_goes_on
from twin_assets.defs.shared.looks import AGAIN, TURN, Looks
from twin_assets.defs.shared.quotas import held_by_quota
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import newest_rows
from twin_assets.monitoring.drift.refresh import Ask, ask, asks, estimate_cost, judge_refresh
from twin_assets.monitoring.drift.report import DriftReport

REASON_TAG, COST_TAG = "twin/refresh_reason", "twin/refresh_cost"
# A tag's value is cut here: Dagster shows it in one line.
TAG_CHARACTERS = 200


@dg.sensor(
    job=collect,
    description="Asks for a rebuild, from collecting on, when something drifted, enough new writing came, or the "
    "model is old; says why, for how much, and not again before the cooldown is over.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
)
def rebuild_when_due(context: dg.SensorEvaluationContext, platform: Platform) -> Asked:
    """One run of `collect` for each rebuild that is asked for; the rest follows from what it finds, up to the
    evaluation. What was asked for but never started, because the daemon died in between, is started now."""
    settings, instance = platform.settings, context.instance
    looks = Looks(context.cursor, settings.now)
    rules = settings.refresh_age_days, settings.refresh_new_share, settings.refresh_cooldown_days
    numbers, rows = platform.known_ledgers.last_events(), newest_rows(instance, ("drift_report",))
    states = dict[str, str]()
    for persona in who_goes_on(instance, platform, looks.says):
        if persona in numbers:
            states[persona] = fingerprint([rows.get(persona), numbers[persona], rules], 12)
        else:
            looks.says(persona, "nothing is in production")

    def look(persona: str) -> None:
        last = next(iter(asks(platform.lake, persona)[-1:]), None)
        if last is not None and not _started(instance, last):
            looks.asks(persona, _run(last), "it was asked for, and never started")
            return
        history = platform.known_ledgers.history(persona)
        request, sentence, due = _judge(platform, instance, persona, history, last)
        if request is not None:
            looks.asks(persona, _run(request), f"{sentence}. Cost: {request.cost}")
        else:
            looks.looked(persona, sentence, due)

    looks.each(looks.choose(states), look)
    return looks.end(context)


def _judge(
    platform: Platform, instance: dg.DagsterInstance, persona: str, history: History, last: Ask | None
) -> tuple[Ask | None, str, datetime | None]:
    """What is asked for now, why or why not, and when it is to be judged again even if nothing changes."""
    settings = platform.settings
    if waiting := history.waiting():
        return None, f"{waiting.model} waits for a person's approval", None
    model, report = history.production(), _report(platform, persona)
    try:
        built_at = platform.registry.get(model).created_at if model else None
    except TwinError as error:
        return None, error.problem, settings.now + AGAIN
    verdict = judge_refresh(settings, report, built_at, last, settings.now)
    if model is None or not verdict.rebuild:
        return None, verdict.sentence, verdict.due
    if held := held_by_quota(settings, platform.lake, instance, persona, trains=True):
        return None, f"{verdict.sentence}; but {held.sentence}", min(held.until, settings.now + TURN)
    growth = 1 + (report.writing.share if report else 0.0)
    cost = estimate_cost(read_rows(platform.lake, persona), growth)
    return ask(platform.lake, persona, model, verdict, cost, settings.now), verdict.sentence, settings.now


def _report(platform: Platform, persona: str) -> DriftReport | None:
    store = FeatureStore(platform.lake)
    version = store.latest("drift_report", persona)
    return store.load("drift_report", persona, DriftReport, version) if version else None


def _started(instance: dg.DagsterInstance, request: Ask) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": request.run_key}), limit=1))


def _run(request: Ask) -> dg.RunRequest:
    reason = "; ".join(request.reasons)
    return dg.RunRequest(
        run_key=request.run_key,
        partition_key=request.persona,
        tags={REASON_TAG: reason[:TAG_CHARACTERS], COST_TAG: request.cost[:TAG_CHARACTERS]},
    )
