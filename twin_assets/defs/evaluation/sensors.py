"""Evaluation: by hand, and of every new candidate."""

from datetime import UTC, datetime

import dagster as dg

from twin_assets.defs.shared.asked import Asked, who_goes_on
from twin_assets.defs.shared.looks import Looks
from twin_assets.defs.shared.quotas import held_by_quota
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.versions import is_current, newest_links, newest_rows, version_of

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
    instance = context.instance
    looks, rows = Looks(context.cursor, datetime.now(UTC)), newest_rows(instance, CHAIN)
    states = looks.states_of(who_goes_on(instance, platform, looks.says), rows, CHAIN[0])
    chosen = looks.choose(states)
    links = newest_links(instance, CHAIN, rows, chosen)

    def look(persona: str) -> None:
        if is_current(CHAIN, links[persona]):
            looks.looked(persona, "the evaluation_report is current", None)
        elif held := held_by_quota(platform.settings, platform.lake, instance, persona, trains=False):
            looks.looked(persona, held.sentence, looks.now)
        else:
            # The run key makes Dagster start one run a version, however often it is asked for.
            version = version_of(links[persona][0])
            request = dg.RunRequest(run_key=f"{persona}:{version}", partition_key=persona)
            looks.asks(persona, request, f"{version} has no report")

    looks.each(chosen, look)
    return looks.end(context)
