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
from twin_assets.defs.shared.asked import Asked, who_goes_on
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
    APPROVAL_ENDS_SOON,
    failed_work,
    failing_sources,
    full_disk,
    long_queue,
    used_up,
    waiting_candidate,
)
from twin_assets.monitoring.drift.report import DriftReport
from twin_assets.settings import Settings

OURS = "the platform"  # what is nobody's own, which waits for no persona's turn
WATCHED = ("drift_report", *(f"raw_{source}" for source in SOURCES))


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
    description="Sends new, daily repeated and closed alerts over the channels that are set: of drift, failed work, failing "
    "sources, candidates that wait, a disk that fills and runs that wait.",
)
def send_alerts(context: dg.SensorEvaluationContext, platform: Platform) -> Asked:
    """Starts no run. What a channel didn't take stays, and is sent at the next tick."""
    settings, instance = platform.settings, context.instance
    looks = Looks(context.cursor, settings.now)
    rules = channels(settings), dagster_address(settings), settings.auto_approve, settings.approval_days
    failed, numbers = failed_work_of(instance, settings), platform.known_ledgers.last_events()
    rows, held = newest_rows(instance, WATCHED), HELD.lately(platform.lake)
    ours = _of_the_platform(settings, instance, failed_work(failed.get(PLATFORM, ())))
    beside = {OURS: ours}
    states = {OURS: fingerprint([rules, [(a.name, a.how_bad) for a in ours]], 12)}
    for persona in who_goes_on(instance, platform, looks.says):  # what is open of the others waits with them
        theirs = failed_work(failed.get(persona, ()))
        theirs += used_up(held.get(persona), settings.now, f"{dagster_address(settings)}/runs")
        seen = [rows.get(persona), numbers.get(persona, 0), rules, [a.model_dump_json() for a in theirs]]
        beside[persona], states[persona] = theirs, fingerprint(seen, 12)
    chosen = looks.choose(states, first=(OURS,))
    failing = failing_sources_of(instance, settings, [name for name in chosen if name != OURS])

    def look(name: str) -> None:
        found, changes = beside[name] + failing_sources(failing.get(name, ())), None
        if name in numbers:
            waiting, changes = _candidate(platform, name)
            found += waiting
        sentence, again = tell(platform, PLATFORM if name == OURS else name, found)
        looks.looked(name, sentence, min((at for at in (again, changes) if at), default=None))

    looks.each(chosen, look)
    if not ours:
        looks.hush(OURS)
    return looks.end(context)


def _of_the_platform(settings: Settings, instance: dg.DagsterInstance, found: list[Alert]) -> list[Alert]:
    address = dagster_address(settings)
    found += full_disk(settings.home, settings.now, address)
    return found + long_queue(*queue_of(instance), settings.now, f"{address}/runs/queued")


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


def _candidate(platform: Platform, persona: str) -> tuple[list[Alert], datetime | None]:
    """What is told of the candidate that waits for a person, as the ledger is known, and when time alone changes that."""
    settings = platform.settings
    waiting = platform.known_ledgers.history(persona).waiting()
    if waiting is None or settings.auto_approve:
        return [], None
    link = f"{dagster_address(settings)}/assets/evaluation_report?partition={persona}"
    ends = expires(waiting, settings)
    changes = (at for at in (ends - APPROVAL_ENDS_SOON, ends) if at > settings.now)
    return waiting_candidate(waiting.model, waiting.at, ends, link, settings.now), min(changes, default=None)
