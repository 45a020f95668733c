"""What was approved is deployed, and what serves is watched."""

from datetime import UTC, datetime

import dagster as dg

from twin_assets.core.hashing import fingerprint
from twin_assets.core.release.approval import can_deploy, may_be_released
from twin_assets.core.release.canary import evaluate_canary
from twin_assets.defs.release.jobs import deploy, settle_release
from twin_assets.defs.shared.asked import Asked
from twin_assets.defs.shared.common import PERSONAS
from twin_assets.defs.shared.looks import Looks
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import newest_links, newest_rows, version_of

NOTHING, UNWATCHED = "no approval waits", "nothing is watched"


@dg.sensor(
    job=deploy,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Deploys what a person has approved, and keeps `release` in step with promotions and rollbacks.",
)
def deploy_approved(context: dg.SensorEvaluationContext, platform: Platform) -> Asked:
    """One run for each state of a ledger: a refused approval is not tried again and again."""
    settings, instance = platform.settings, context.instance
    looks, rows = Looks(context.cursor, datetime.now(UTC)), newest_rows(instance, ("release",))
    numbers, states = platform.known_ledgers.last_events(), dict[str, str]()
    for persona in instance.get_dynamic_partitions(PERSONAS):
        if persona in numbers or persona in rows:
            # What a person approved is deployed all the same where the persona is paused.
            automatic = settings.auto_approve and persona not in platform.paused
            seen = [rows.get(persona), numbers.get(persona, 0), automatic, settings.release_plumbing]
            states[persona] = fingerprint(seen, 12)
        else:
            looks.says(persona, NOTHING)
    chosen = looks.choose(states)
    links = newest_links(instance, ("release",), rows, chosen)

    def look(persona: str) -> None:
        history = platform.known_ledgers.history(persona)
        waiting, canary = history.waiting(), history.canary()
        automatic = settings.auto_approve and waiting is not None and may_be_released(waiting, settings)
        automatic &= persona not in platform.paused
        shown = version_of(links[persona][0]) or "none"
        if automatic or can_deploy(history, settings) or shown != (history.production() or "none"):
            key = f"{persona}:{len(history.events)}"
            looks.asks(persona, dg.RunRequest(run_key=key, partition_key=persona), "the ledger is ahead")
        else:
            said = f"the canary {canary.model} is not over" if canary else NOTHING
            # An approval that waits for a canary's end may get too old by time alone.
            looks.looked(persona, said, looks.now if history.approved() else None)

    looks.each(chosen, look)
    return looks.end(context)


@dg.sensor(
    job=settle_release,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Ends a canary, and takes back a release that breaks a limit, when no serving process does.",
)
def watch_releases(context: dg.SensorEvaluationContext, platform: Platform) -> Asked:
    settings, looks = platform.settings, Looks(context.cursor, datetime.now(UTC))
    numbers, states = platform.known_ledgers.last_events(), dict[str, str]()
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        if persona in numbers:
            states[persona] = fingerprint([numbers[persona], settings.watch_minutes], 12)
        else:
            looks.says(persona, UNWATCHED)

    def look(persona: str) -> None:
        history = platform.known_ledgers.history(persona)
        verdict = evaluate_canary(platform.lake, persona, history, settings, looks.now)
        if verdict is None:
            looks.looked(persona, UNWATCHED, None)
        elif verdict.act == "wait":
            looks.looked(persona, verdict.reason, looks.now)
        else:
            config = {"ops": {"settle_watched": {"config": {"persona": persona}}}}
            key = f"{persona}:{verdict.follows}:{verdict.act}"
            looks.asks(persona, dg.RunRequest(run_key=key, run_config=config), verdict.reason)

    looks.each(looks.choose(states), look)
    return looks.end(context)
