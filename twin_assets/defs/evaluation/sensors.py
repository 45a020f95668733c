"""Evaluation: by hand, and of every new candidate."""

from datetime import UTC, datetime

import dagster as dg

from twin_assets.core.hashing import fingerprint
from twin_assets.defs.shared.asked import Asked, runs_or_reasons, who_goes_on
from twin_assets.defs.shared.looks import Looks
from twin_assets.defs.shared.quotas import held_by_quota
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import is_current, latest, newest_rows, version_of

CHAIN = ("dpo_model", "evaluation_report")

evaluate = dg.define_asset_job("evaluate", dg.AssetSelection.assets("evaluation_report"))


@dg.sensor(
    job=evaluate,
    description="Evaluates every new candidate, once.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
)
def evaluate_new_candidate(context: dg.SensorEvaluationContext, platform: Platform) -> Asked:
    """One run for each data version of the candidate, persona by persona, unless its report was already made."""
    requests, reasons, instance = list[dg.RunRequest](), list[str](), context.instance
    looks, rows = Looks(context.cursor, datetime.now(UTC)), newest_rows(instance, CHAIN)
    for persona in who_goes_on(instance, platform, reasons):
        state = fingerprint(rows.get(persona, {}), 12)
        sentence = looks.quiet(persona, state)
        if sentence is None:
            links = [latest(instance, dg.AssetKey(name), persona) for name in CHAIN]
            if links[0] is not None and not is_current(CHAIN, links):
                if held := held_by_quota(platform.settings, platform.lake, instance, persona, trains=False):
                    reasons.append(f"{persona}: {held.sentence}")
                    continue
                # The run key makes Dagster start one run a version, however often it is asked for.
                key = f"{persona}:{version_of(links[0])}"
                requests.append(dg.RunRequest(run_key=key, partition_key=persona))
                continue
            sentence = "the evaluation_report is current" if links[0] else "there is no dpo_model yet"
            looks.looked(persona, state, sentence, None)
        reasons.append(f"{persona}: {sentence}")
    context.update_cursor(looks.cursor())
    return runs_or_reasons(context, requests, reasons)
