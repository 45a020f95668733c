"""Decisions of people: approve, reject, roll back; and what their sensors start."""

from typing import Literal

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.core.release.approval import Decision, decide, last_release
from twin_assets.core.release.canary import apply_verdict
from twin_assets.core.release.ledger import Ledger
from twin_assets.defs.run_coordinator import caller_of
from twin_assets.defs.shared.resources import Platform

deploy = dg.define_asset_job("deploy", dg.AssetSelection.assets("release"))


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
        decision=decision,
        about=about.number,
        model=about.model,
        reviewer=config.reviewer,
        reason=config.reason,
    )
    event = decide(ledger, platform.registry, platform.settings, given, caller_of(context))
    context.log.info(f"{event.who}: {event.model} is {event.kind}: {event.reason}")


@dg.op
def decide_rollback(context: dg.OpExecutionContext, config: Rollback, platform: Platform) -> None:
    """Take a served version back; the one before it serves again."""
    ledger = _ledger(platform, config.persona)
    history = ledger.history()
    about = (history.last(config.model) if config.model else None) or last_release(history)
    given = Decision(
        decision="roll_back",
        about=about.number,
        model=config.model or about.model,
        reviewer=config.reviewer,
        reason=config.reason,
    )
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
