"""Continuous training: asks for SFT and DPO when a new dataset version is worth it, and says why when it isn't."""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg

from twin_assets.core.datasets.diff import diff_versions
from twin_assets.core.hashing import fingerprint
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.records import Record
from twin_assets.defs.shared.asked import Asked, runs_or_reasons, who_goes_on
from twin_assets.defs.shared.looks import Looks
from twin_assets.defs.shared.quotas import held_by_quota
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import is_current, latest, newest_rows, version_of
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
    cursor, instance = _read(context.cursor), context.instance
    requests, changes, held = list[dg.RunRequest](), dict(cursor.changes), list[str]()
    looks, rows = Looks(cursor.looks, datetime.now(UTC)), newest_rows(instance, CHAIN)
    for persona in who_goes_on(instance, platform, held):
        state = fingerprint(rows.get(persona, {}), 12)
        sentence = looks.quiet(persona, state)
        if sentence is None:
            links = [latest(instance, dg.AssetKey(name), persona) for name in CHAIN]
            if links[0] is None or is_current(CHAIN, links):
                sentence = "the dpo_model is current" if links[0] else "there is no instruct_dataset yet"
                looks.looked(persona, state, sentence, None)
            else:
                version = version_of(links[0])
                verdict = _judge(context, platform, persona, version, changes)
                sentence = verdict.reason
                if verdict.train and (
                    over := held_by_quota(platform.settings, platform.lake, instance, persona, trains=True)
                ):
                    sentence += f"; but {over.sentence}"
                elif verdict.train:
                    context.log.info(f"{persona}: {sentence}")
                    # The run key makes Dagster start one run a version, however often it is asked for.
                    requests.append(dg.RunRequest(run_key=f"{persona}:{version}", partition_key=persona))
                    continue
        held.append(f"{persona}: {sentence}")
    context.update_cursor(_Cursor(changes=changes, looks=looks.cursor()).model_dump_json())
    return runs_or_reasons(context, requests, held)


def _read(cursor: str | None) -> _Cursor:
    """One that can't be read, of a release before, counts as none."""
    try:
        return _Cursor.model_validate_json(cursor or "")
    except ValueError:
        return _Cursor()


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
