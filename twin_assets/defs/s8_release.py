"""Release: what a person approved is deployed; the ledger says who, when and why."""

from typing import Any

import dagster as dg

from twin_assets.core.ledger import Ledger
from twin_assets.defs.common import OWNERS, RELEASE, personas
from twin_assets.defs.metadata import sample_table
from twin_assets.defs.resources import Platform


@dg.asset(
    deps=["evaluation_report"],
    partitions_def=personas,
    group_name=RELEASE,
    owners=OWNERS,
    kinds={"bentoml"},
    code_version="1",
)
def release(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[str]:
    """The version in production. Deploys an approved candidate; without an approval it says what waits."""
    ledger = platform.ledger(context.partition_key)
    if approval := ledger.approved():
        platform.registry.get(approval.model)  # never point production at a model that isn't there
        ledger.append(
            approval.model, "deployed", "pipeline", f"approved by {approval.actor}: {approval.reason}"
        )
        context.log.info(f"{approval.model} is in production")
    production = ledger.production() or "none"
    return dg.MaterializeResult(
        value=production, metadata=_metadata(ledger, production), data_version=dg.DataVersion(production)
    )


def _metadata(ledger: Ledger, production: str) -> dict[str, Any]:
    waiting = ledger.waiting()
    events = ledger.events()
    return {
        "production": production,
        "waiting_for_approval": waiting.model if waiting else "none",
        "events": len(events),
        "latest_events": sample_table(events[::-1], ["number", "kind", "model", "actor", "reason", "at"]),
    }


class Review(dg.Config):
    """A person's decision about a model version."""

    persona: str
    model: str = ""
    reviewer: str
    reason: str


@dg.op
def decide_approval(context: dg.OpExecutionContext, config: Review, platform: Platform) -> None:
    """Approve the named version, or the one that waits when none is named."""
    ledger = _ledger(platform, config)
    model = config.model or _waiting(ledger)
    ledger.append(model, "approved", config.reviewer, config.reason)
    context.log.info(f"{config.reviewer} approved {model}: {config.reason}")


@dg.op
def decide_rejection(context: dg.OpExecutionContext, config: Review, platform: Platform) -> None:
    """Reject the named version, or the one that waits when none is named."""
    ledger = _ledger(platform, config)
    model = config.model or _waiting(ledger)
    ledger.append(model, "rejected", config.reviewer, config.reason)
    context.log.info(f"{config.reviewer} rejected {model}: {config.reason}")


@dg.op
def decide_rollback(context: dg.OpExecutionContext, config: Review, platform: Platform) -> None:
    """Take the production version back; the one before it serves again."""
    ledger = _ledger(platform, config)
    model = config.model or ledger.production()
    if model is None:
        raise dg.Failure(f"{config.persona} has nothing in production. Fix: release a version first.")
    if before := [m for m in ledger.deployed() if m != model]:
        platform.registry.get(before[-1])  # never point production at a model that isn't there
    ledger.append(model, "rolled_back", config.reviewer, config.reason)
    context.log.info(f"{config.reviewer} rolled back {model}; production is {ledger.production() or 'none'}")


def _ledger(platform: Platform, config: Review) -> Ledger:
    return platform.ledger(platform.persona(config.persona).name)


def _waiting(ledger: Ledger) -> str:
    waiting = ledger.waiting()
    if waiting is None:
        raise dg.Failure(
            f"No candidate of {ledger.persona} waits for approval. Fix: materialise evaluation_report; "
            "a candidate that failed its gate can't be approved."
        )
    return waiting.model


@dg.job(
    description="The red button: a person approves the candidate that waits. The deploy sensor takes it up."
)
def approve_release() -> None:
    decide_approval()


@dg.job(description="A person rejects the candidate that waits.")
def reject_release() -> None:
    decide_rejection()


@dg.job(description="A person takes the production version back.")
def roll_back_release() -> None:
    decide_rollback()


assets = [release]
jobs = [approve_release, reject_release, roll_back_release]
