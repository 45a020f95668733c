"""Evaluation: by hand, and of every new candidate."""

from collections.abc import Iterator

import dagster as dg

from twin_assets.defs.shared.common import PERSONAS
from twin_assets.defs.shared.versions import is_current, latest, tags_of

_CHAIN = [dg.AssetKey("dpo_model"), dg.AssetKey("evaluation_report")]

evaluate = dg.define_asset_job("evaluate", dg.AssetSelection.assets("evaluation_report"))


@dg.sensor(
    job=evaluate,
    description="Evaluates every new candidate, once.",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
)
def evaluate_new_candidate(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run for each data version of the candidate, persona by persona, unless its report was already made."""
    reasons = []
    for persona in context.instance.get_dynamic_partitions(PERSONAS):
        links = [latest(context.instance, key, persona) for key in _CHAIN]
        if links[0] is None:
            reasons.append(f"{persona} has no dpo_model yet")
        elif is_current(_CHAIN, links):
            reasons.append(f"{persona}'s evaluation_report is current")
        else:
            # The run key makes Dagster start one run a version, however often it is asked for.
            version = tags_of(links[0])["dagster/data_version"]
            yield dg.RunRequest(run_key=f"{persona}:{version}", partition_key=persona)
    if reasons:
        yield dg.SkipReason("; ".join(reasons))
