"""Continuous training: asks for SFT and DPO when a new dataset version is worth it, and says why when it isn't."""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg

from twin_assets.core.datasets.diff import diff_versions
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.records import Record
from twin_assets.defs.shared.asked import Asked, who_goes_on
from twin_assets.defs.shared.looks import Looks
from twin_assets.defs.shared.quotas import held_by_quota
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import is_current, newest_links, newest_rows, version_of
from twin_assets.defs.training.jobs import train
from twin_assets.monitoring.drift.refresh import asks
from twin_assets.training.continuous import Change, Verdict, at_once, cooling_down, enough_changed

CHAIN = ("instruct_dataset", "sft_model", "dpo_model")


class _Cursor(Record):
    """The last comparison of each persona's dataset with what was trained, and the looks at them all."""

    changes: Mapping[str, Change] = {}
    looks: str = ""


@dg.sensor(
    job=train,
    description="Starts Axolotl SFT and DPO when a new dataset version lands, once a version, unless too little "
    "has changed or the last training is too recent.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
)
def train_on_new_dataset(context: dg.SensorEvaluationContext, platform: Platform) -> Asked:
    """One run for each dataset version that the rules let through, persona by persona."""
    before, instance = _read(context.cursor), context.instance
    looks, rows = Looks(before.looks, datetime.now(UTC)), newest_rows(instance, CHAIN)
    states = looks.states_of(who_goes_on(instance, platform, looks.says), rows, CHAIN[0])
    chosen = looks.choose(states)
    links = newest_links(instance, CHAIN, rows, chosen)
    changes = {persona: change for persona, change in before.changes.items() if persona in states}

    def look(persona: str) -> None:
        if is_current(CHAIN, links[persona]):
            looks.looked(persona, "the dpo_model is current", None)
            return
        version = version_of(links[persona][0])
        verdict = _judge(platform, persona, version, changes)
        if not verdict.train:
            looks.looked(persona, verdict.reason, looks.now)
        elif over := held_by_quota(platform.settings, platform.lake, instance, persona, trains=True):
            looks.looked(persona, f"{verdict.reason}; but {over.sentence}", looks.now)
        else:
            # The run key makes Dagster start one run a version, however often it is asked for.
            request = dg.RunRequest(run_key=f"{persona}:{version}", partition_key=persona)
            looks.asks(persona, request, verdict.reason)

    looks.each(chosen, look)
    return looks.end(context, _Cursor(changes=changes, looks=looks.cursor()).model_dump_json())


def _read(cursor: str | None) -> _Cursor:
    """One that can't be read, of a release before, counts as none."""
    try:
        return _Cursor.model_validate_json(cursor or "")
    except ValueError:
        return _Cursor()


def _judge(
    platform: Platform,
    persona: str,
    version: str,
    changes: dict[str, Change],
) -> Verdict:
    """`changes` remembers the last comparison of each persona, so that a tick that waits reads no rows."""
    newest = platform.registry.newest(persona, "sft", platform.settings.profile)
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


def _asked_since(platform: Platform, persona: str, newest: ModelVersion | None) -> str | None:
    """Why a rebuild was asked for after the newest model was made; None when none was."""
    last = next(iter(asks(platform.lake, persona)[-1:]), None)
    if newest is None or last is None or last.at <= newest.created_at:
        return None
    return "; ".join(last.reasons)
