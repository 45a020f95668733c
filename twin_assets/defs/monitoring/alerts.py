"""Alerts: a sensor that tells of what the drift report found and of what is wrong with the running of things, grouped, at most
daily, over the channels that are set."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from twin_assets.core.hashing import fingerprint
from twin_assets.core.persona.definition import SOURCES
from twin_assets.core.release.approval import expires
from twin_assets.core.release.marks import HELD
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.defs.monitoring.operation import (
    dagster_address,
    failed_work_of,
    failing_sources_of,
    queue_of,
)
from twin_assets.defs.shared.asked import who_goes_on
from twin_assets.defs.shared.looks import Looks
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import newest_rows
from twin_assets.monitoring.alerts.channels import channels, deliver
from twin_assets.monitoring.alerts.lifecycle import (
    PLATFORM,
    Alert,
    alerts_of,
    batches,
    next_repeat,
    open_alerts,
    settle_alerts,
)
from twin_assets.monitoring.alerts.operation import (
    failed_work,
    failing_sources,
    full_disk,
    long_queue,
    used_up,
    waiting_candidate,
)
from twin_assets.monitoring.drift.report import DriftReport

WATCHED = ("drift_report", *(f"raw_{source}" for source in SOURCES))


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
    description="Sends new, daily repeated and closed alerts over the channels that are set: of drift, failed work, failing "
    "sources, candidates that wait, a disk that fills and runs that wait.",
)
def send_alerts(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
    """Starts no run. What a channel didn't take stays, and is sent at the next tick."""
    settings, instance, said = platform.settings, context.instance, list[str]()
    looks = Looks(context.cursor, settings.now)
    rules = channels(settings), dagster_address(settings)
    failed = failed_work_of(instance, settings)
    rows, held = newest_rows(instance, WATCHED), HELD.lately(platform.lake)
    due: dict[str, tuple[str, list[Alert]]] = {}  # with the state and what is known already
    for persona in who_goes_on(instance, platform, said):  # what is open of the others waits with them
        beside = [*failed_work(failed.get(persona, ())), *_candidate(platform, persona)]
        beside += used_up(held.get(persona), settings.now, f"{dagster_address(settings)}/runs")
        state = fingerprint([rows.get(persona), rules, [a.model_dump_json() for a in beside]], 12)
        if sentence := looks.quiet(persona, state):
            said.append(f"{persona}: {sentence}")
        else:
            due[persona] = state, beside
    failing = failing_sources_of(instance, settings, list(due))
    for persona, (state, beside) in due.items():
        beside += failing_sources(failing.get(persona, ()))
        sentence, again = tell(platform, persona, beside)
        looks.looked(persona, state, sentence, again)
        said.append(f"{persona}: {sentence}")
    said += _told_of_the_platform(platform, instance, looks, failed_work(failed.get(PLATFORM, ())))
    context.update_cursor(looks.cursor())
    return dg.SkipReason("; ".join(said))


def _told_of_the_platform(
    platform: Platform, instance: dg.DagsterInstance, looks: Looks, found: list[Alert]
) -> list[str]:
    """What is nobody's own; nothing is said where all is well."""
    settings, address = platform.settings, dagster_address(platform.settings)
    found += full_disk(settings.home, settings.now, address)
    found += long_queue(*queue_of(instance), settings.now, f"{address}/runs/queued")
    state = fingerprint([channels(settings), [(a.name, a.how_bad) for a in found]], 12)
    sentence = looks.quiet(PLATFORM, state)
    if sentence is None:
        sentence, due = tell(platform, PLATFORM, found)
        looks.looked(PLATFORM, state, sentence, due)
    return [f"the platform: {sentence}"] if found else []


def tell(platform: Platform, persona: str, beside: Sequence[Alert]) -> tuple[str, datetime | None]:
    """Settle the alerts of one persona, those of its drift report and those found `beside` it, and send what is to be sent;
    what came of it, in words, and when to look again though nothing is new, None for never."""
    lake, settings = platform.lake, platform.settings
    drifted = _drift_alerts(platform, persona) if persona != PLATFORM else []
    alerts = [*(drifted or []), *beside]
    batch = settle_alerts(lake, persona, alerts, settings.now, channels(settings))
    problems = deliver(lake, persona, settings)
    looked = batches(lake, persona)
    standing = open_alerts(looked)
    if drifted is None and not looked:
        return "no drift report yet", None
    spoke = batch is not None and batch.speaks
    told = f"message {batch.number} speaks of {', '.join(batch.told)}" if batch and spoke else "nothing new"
    due = settings.now if spoke or problems else next_repeat(looked)
    return "; ".join([f"open: {', '.join(standing) or 'none'}", told, *problems]), due


def _drift_alerts(platform: Platform, persona: str) -> list[Alert] | None:
    """None where there is no report."""
    store = FeatureStore(platform.lake)
    version = store.latest("drift_report", persona)
    if version is None:
        return None
    report: DriftReport = store.load("drift_report", persona, DriftReport, version)
    return alerts_of(report, f"{dagster_address(platform.settings)}/assets/drift_report?partition={persona}")


def _candidate(platform: Platform, persona: str) -> list[Alert]:
    """What is told of the candidate that waits for a person, as the ledger is known."""
    settings = platform.settings
    waiting = platform.known_ledgers.history(persona).waiting()
    if waiting is None or settings.auto_approve:
        return []
    link = f"{dagster_address(settings)}/assets/evaluation_report?partition={persona}"
    ends = expires(waiting, settings)
    return waiting_candidate(waiting.model, waiting.at, ends, link, settings.now)
