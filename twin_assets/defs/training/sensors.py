"""Continuous training: asks for SFT and DPO when a new dataset version is worth it, and says why when it isn't."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from twin_assets.core.datasets.diff import diff_versions
from twin_assets.core.models.version import ModelVersion
from twin_assets.defs.shared.common import PERSONAS
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import is_current, latest, tags_of
from twin_assets.defs.training.jobs import train
from twin_assets.monitoring.drift.refresh import asks
from twin_assets.training.continuous import Change, Verdict, at_once, cooling_down, enough_changed

_CHAIN = [dg.AssetKey(name) for name in ("instruct_dataset", "sft_model", "dpo_model")]


@dg.sensor(
    job=train,
    description="Starts Axolotl SFT and DPO when a new dataset version lands, once a version, unless too little "
    "has changed or the last training is too recent.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
)
def train_on_new_dataset(
    context: dg.SensorEvaluationContext, platform: Platform
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run for each dataset version that the rules let through, persona by persona."""
    changes: dict[str, Change] = {
        persona: Change.model_validate(change)
        for persona, change in json.loads(context.cursor or "{}").items()
    }
    held: list[str] = []
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        links = [latest(context.instance, key, persona) for key in _CHAIN]
        if links[0] is None:
            held.append(f"{persona} has no instruct_dataset yet")
        elif is_current(_CHAIN, links):
            held.append(f"{persona}'s dpo_model is current")
        else:
            version = tags_of(links[0])["dagster/data_version"]
            verdict = _judge(context, platform, persona, version, changes)
            if verdict.train:
                context.log.info(f"{persona}: {verdict.reason}")
                # The run key makes Dagster start one run a version, however often it is asked for.
                yield dg.RunRequest(run_key=f"{persona}:{version}", partition_key=persona)
            else:
                held.append(f"{persona}: {verdict.reason}")
    context.update_cursor(json.dumps({persona: change.model_dump() for persona, change in changes.items()}))
    if held:
        yield dg.SkipReason("; ".join(held))


def _judge(
    context: dg.SensorEvaluationContext,
    platform: Platform,
    persona: str,
    version: str,
    changes: dict[str, Change],
) -> Verdict:
    """`changes` remembers the last comparison of each persona, so that a tick that waits reads no rows."""
    newest = _newest_model(platform, persona)
    if verdict := at_once(newest, version, _asked_since(platform, persona, newest)):
        return verdict
    assert newest is not None
    if verdict := cooling_down(platform.settings, newest, datetime.now(UTC)):
        return verdict
    before = newest.lineage.datasets.get("instruct", "none")
    change = changes.get(persona)
    if change is None or (change.before, change.after) != (before, version):
        try:
            diff = diff_versions(platform.lake, persona, "instruct", before, version)
        except KeyError:
            return Verdict(
                train=True, reason=f"dataset {before} is gone, so there is nothing to compare with"
            )
        differ = diff.added + diff.removed + diff.changed
        change = Change(
            before=before, after=version, changed=differ, rows=differ - diff.added + diff.unchanged
        )
        changes[persona] = change
    return enough_changed(platform.settings, newest, change)


def _newest_model(platform: Platform, persona: str) -> ModelVersion | None:
    profile = platform.settings.profile
    versions = platform.registry.list(persona)
    return next((v for v in versions if v.lineage.stage == "sft" and v.lineage.profile == profile), None)


def _asked_since(platform: Platform, persona: str, newest: ModelVersion | None) -> str | None:
    """Why a rebuild was asked for after the newest model was made; None when none was."""
    last = next(iter(asks(platform.lake, persona)[-1:]), None)
    if newest is None or last is None or last.at <= newest.created_at:
        return None
    return "; ".join(last.reasons)
