"""Release: what a person approved is deployed, watched, and taken back; the ledger says who, when and why."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from twin_assets.core.release.approval import approve_automatically, deploy, expires
from twin_assets.core.release.canary import evaluate_canary
from twin_assets.core.release.history import Event
from twin_assets.core.release.ledger import Ledger
from twin_assets.defs.shared.common import OWNERS, RELEASE, personas
from twin_assets.defs.shared.metadata import sample_table
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.retries import retried_when_away

LEDGER_ROWS = 12


@dg.asset(
    deps=["evaluation_report"],
    partitions_def=personas,
    group_name=RELEASE,
    owners=OWNERS,
    kinds={"bentoml"},
    code_version="2",
)
@retried_when_away
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
    metadata: dict[str, Any] = {
        "production": history.production() or "none",
        "rollback_brings_back": history.predecessor() or "none",
        "waiting_for_approval": "none",
        "events": len(history.events),
        "latest_events": sample_table(
            history.events[::-1], ["number", "kind", "model", "who", "reason", "at"], LEDGER_ROWS
        ),
    }
    if releases := history.releases():
        metadata |= _release_metadata(releases[-1], history.events)
    if waiting := history.waiting():
        metadata |= {
            "waiting_for_approval": waiting.model,
            "evaluation_to_decide_on": waiting.number,
            "waiting_since": dg.MetadataValue.timestamp(waiting.at),
            "waiting_until": dg.MetadataValue.timestamp(expires(waiting, platform.settings)),
        }
    if canary := history.canary():
        metadata |= {
            "canary": canary.model,
            "canary_share": canary.share,
            "canary_since": dg.MetadataValue.timestamp(canary.at),
        }
    if verdict := evaluate_canary(platform.lake, ledger.persona, history, platform.settings, now):
        metadata["watch"] = verdict.reason
    return metadata


def _release_metadata(deployed: Event, events: tuple[Event, ...]) -> dict[str, Any]:
    """Who approved what is in production, and how long it waited for that."""
    own = [e for e in events if e.model == deployed.model and e.number <= deployed.number]
    by_kind = {e.kind: e for e in own}
    metadata: dict[str, Any] = {
        "deployed_at": dg.MetadataValue.timestamp(deployed.at),
        "deployed_because": deployed.reason,
    }
    if "approved" in by_kind and "evaluated" in by_kind:
        approval, evaluated = by_kind["approved"], by_kind["evaluated"]
        hours = (approval.at - evaluated.at).total_seconds() / 3600
        metadata |= {"approved_by": approval.who, "waited_for_approval_hours": round(hours, 2)}
    return metadata
