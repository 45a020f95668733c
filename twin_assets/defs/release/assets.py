"""Release: what a person approved is deployed, watched, and taken back; the ledger says who, when and why."""

from datetime import UTC, datetime
from typing import Any, Literal

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.core.release.approval import (
    Decision,
    approve_automatically,
    decide,
    deploy,
    expires,
    last_release,
)
from twin_assets.core.release.canary import apply_verdict, evaluate_canary
from twin_assets.core.release.history import Event
from twin_assets.core.release.ledger import Ledger
from twin_assets.defs.run_coordinator import caller_of
from twin_assets.defs.shared.common import OWNERS, RELEASE, personas
from twin_assets.defs.shared.metadata import sample_table
from twin_assets.defs.shared.resources import Platform

LEDGER_ROWS = 12


@dg.asset(
    deps=["evaluation_report"],
    partitions_def=personas,
    group_name=RELEASE,
    owners=OWNERS,
    kinds={"bentoml"},
    code_version="2",
)
def release(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[str]:
    """The version in production. Deploys an approved candidate, to a canary first where TWIN_CANARY_SHARE says so;
    without an approval it says what waits. Fails on an approval that is too old or superseded, and closes it."""
    ledger, registry, settings = (
        platform.ledger(context.partition_key), platform.registry, platform.settings,
    )  # fmt: skip
    if approved := approve_automatically(ledger, registry, settings):
        context.log.warning(f"{approved.model} was approved without a person: {approved.reason}")
    if event := deploy(ledger, registry, settings):
        context.log.info(
            f"{event.model} serves {event.share:.0%} of the requests"
            if event.share
            else f"{event.model} is in production"
        )
    production = ledger.production() or "none"
    return dg.MaterializeResult(
        value=production, metadata=_metadata(platform, ledger), data_version=dg.DataVersion(production)
    )


def _metadata(platform: Platform, ledger: Ledger) -> dict[str, Any]:
    history, now = ledger.history(), datetime.now(UTC)
    found: dict[str, Any] = {
        "production": history.production() or "none",
        "rollback_brings_back": history.predecessor() or "none",
        "waiting_for_approval": "none",
        "events": len(history.events),
        "latest_events": sample_table(
            history.events[::-1], ["number", "kind", "model", "who", "reason", "at"], LEDGER_ROWS
        ),
    }
    if releases := history.releases():
        found |= _release_metadata(releases[-1], history.events)
    if waiting := history.waiting():
        found |= {
            "waiting_for_approval": waiting.model,
            "evaluation_to_decide_on": waiting.number,
            "waiting_since": dg.MetadataValue.timestamp(waiting.at),
            "waiting_until": dg.MetadataValue.timestamp(expires(waiting, platform.settings)),
        }
    if canary := history.canary():
        found |= {"canary": canary.model, "canary_share": canary.share, "canary_since": dg.MetadataValue.timestamp(canary.at)}  # fmt: skip
    if verdict := evaluate_canary(platform.lake, ledger.persona, history, platform.settings, now):
        found["watch"] = verdict.reason
    return found


def _release_metadata(deployed: Event, events: tuple[Event, ...]) -> dict[str, Any]:
    """Who approved what is in production, and how long it waited for that."""
    own = [e for e in events if e.model == deployed.model and e.number <= deployed.number]
    by_kind = {e.kind: e for e in own}
    found: dict[str, Any] = {
        "deployed_at": dg.MetadataValue.timestamp(deployed.at),
        "deployed_because": deployed.reason,
    }
    if "approved" in by_kind and "evaluated" in by_kind:
        approval, evaluated = by_kind["approved"], by_kind["evaluated"]
        hours = (approval.at - evaluated.at).total_seconds() / 3600
        found |= {"approved_by": approval.who, "waited_for_approval_hours": round(hours, 2)}
    return found


class Review(dg.Config):
    """A person's decision. `evaluation` is the number of the ledger event that it is about, which the metadata
    of `release` and the page Review show."""

    persona: str
    evaluation: int
    reviewer: str
    reason: str


class Rollback(dg.Config):
    """Takes back the canary if one runs, else what is in production; or the version named."""

    persona: str
    model: str = ""
    reviewer: str
    reason: str


@dg.op
def decide_approval(context: dg.OpExecutionContext, config: Review, platform: Platform) -> None:
    """Approve the evaluated version."""
    _decide(context, config, platform, "approve")


@dg.op
def decide_rejection(context: dg.OpExecutionContext, config: Review, platform: Platform) -> None:
    """Reject the evaluated version."""
    _decide(context, config, platform, "reject")


def _decide(
    context: dg.OpExecutionContext, config: Review, platform: Platform, decision: Literal["approve", "reject"]
) -> None:
    ledger = _ledger(platform, config.persona)
    about = next((e for e in ledger.events() if e.number == config.evaluation), None)
    if about is None:
        raise TwinError(
            f"The ledger of {config.persona} has no event {config.evaluation}.",
            "take the number from the metadata of `release`, or materialise evaluation_report.",
        )
    given = Decision(
        decision=decision, about=about.number, model=about.model, reviewer=config.reviewer, reason=config.reason
    )  # fmt: skip
    event = decide(ledger, platform.registry, platform.settings, given, caller_of(context))
    context.log.info(f"{event.who}: {event.model} is {event.kind}: {event.reason}")


@dg.op
def decide_rollback(context: dg.OpExecutionContext, config: Rollback, platform: Platform) -> None:
    """Take a served version back; the one before it serves again."""
    ledger = _ledger(platform, config.persona)
    history = ledger.history()
    about = (history.last(config.model) if config.model else None) or last_release(history)
    given = Decision(
        decision="roll_back", about=about.number, model=config.model or about.model, reviewer=config.reviewer,
        reason=config.reason,
    )  # fmt: skip
    event = decide(ledger, platform.registry, platform.settings, given, caller_of(context))
    context.log.info(f"{event.who} rolled back {event.model}; production is {ledger.production() or 'none'}")


class Watched(dg.Config):
    """Whose release is judged."""

    persona: str


@dg.op
def settle_watched(context: dg.OpExecutionContext, config: Watched, platform: Platform) -> None:
    """Promote the canary, or roll back what breaks a limit, unless a serving process has done so already."""
    event = apply_verdict(_ledger(platform, config.persona), platform.registry, platform.settings)
    context.log.info(f"{event.model} is {event.kind}: {event.reason}" if event else "nothing to do")


def _ledger(platform: Platform, persona: str) -> Ledger:
    return platform.ledger(platform.persona(persona).name)


@dg.job(
    description="The red button: a person approves the candidate that waits. The deploy sensor takes it up."
)
def approve_release() -> None:
    decide_approval()


@dg.job(description="A person rejects the candidate that waits.")
def reject_release() -> None:
    decide_rejection()


@dg.job(description="A person takes back the canary if one runs, else what is in production.")
def roll_back_release() -> None:
    decide_rollback()


@dg.job(description="Promotes the canary or rolls back a release, as its requests say. Its sensor starts it.")
def settle_release() -> None:
    settle_watched()


assets = [release]
jobs = [approve_release, reject_release, roll_back_release, settle_release]
