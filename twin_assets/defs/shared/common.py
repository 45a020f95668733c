"""What every stage shares: the persona partitions, groups in the order of the flow, owners, policies."""

from datetime import timedelta

import dagster as dg

from twin_assets.defs.shared.may_start import MayStart

PERSONAS = "personas"
personas = dg.DynamicPartitionsDefinition(name=PERSONAS)

# Assets that read what the graph doesn't hold: Dagster can't know whether they are current.
READS_OUTSIDE = {"reads_outside": "true"}

OWNERS = ["team:llm-twin"]

COLLECT = "collect"
WAREHOUSE = "warehouse"
CORPUS = "corpus"
INDEX = "index"
DATASETS = "datasets"
TRAINING = "training"
EVALUATION = "evaluation"
RELEASE = "release"
MONITORING = "monitoring"
# Asset groups, in the order of the flow.
STAGES = (COLLECT, WAREHOUSE, CORPUS, INDEX, DATASETS, TRAINING, EVALUATION, RELEASE, MONITORING)


def when_changed(*inputs: str) -> dg.AutomationCondition:
    """Carries new data forward, and only new data: a parent that was materialised again with the same data
    version asks for nothing. With `inputs` named, only those ask."""
    changed = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
    if inputs:
        changed = changed.allow(dg.AssetSelection.assets(*inputs))
    asks = changed | dg.AutomationCondition.newly_missing() | dg.AutomationCondition.code_version_changed()
    done = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    # A source that was never collected (its first crawl was killed, or it is new) must not keep back the others.
    missing = dg.AutomationCondition.missing()
    return (
        asks.since(done)
        & ~dg.AutomationCondition.any_deps_match(missing).ignore(dg.AssetSelection.groups(COLLECT))
        & dg.AutomationCondition.any_deps_match(~missing)
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
        & MayStart()
    ).with_label("when_inputs_change")


when_inputs_change = when_changed()

# Runs that end badly have no assets below them, so nothing here waits for all of its inputs to be there.
when_a_run_has_ended = (
    dg.AutomationCondition.any_deps_updated().since(
        dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    )
    & ~dg.AutomationCondition.in_progress()
    & MayStart()
).with_label("when_a_run_has_ended")


def _fresh(warn: timedelta, fail: timedelta) -> dg.FreshnessPolicy:
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn)


# A persona who rarely writes is crawled every 14 days; what follows is made anew when there is news, and a model at the
# latest when it is 90 days old and a week of cooldown is over. Production is looked at every hour.
_crawled = _fresh(timedelta(days=15), timedelta(days=29))
_carried = _fresh(timedelta(days=30), timedelta(days=180))
_rebuilt = _fresh(timedelta(days=97), timedelta(days=180))
_watched = _fresh(timedelta(hours=3), timedelta(days=1))
FRESHNESS = {
    COLLECT: _crawled, WAREHOUSE: _carried, CORPUS: _carried, INDEX: _carried, DATASETS: _carried,
    TRAINING: _rebuilt, EVALUATION: _rebuilt, RELEASE: _rebuilt, MONITORING: _watched,
}  # fmt: skip

WAREHOUSE_POOL = "warehouse"
TRAINING_POOL = "training"
