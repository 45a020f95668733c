"""What lets automation go on: that the person isn't paused, and no quota of theirs is used up."""

import dagster as dg
from dagster._core.definitions.events import AssetKeyPartitionKey

from twin_assets.core.release.marks import PAUSED
from twin_assets.core.storage.lake import open_lake
from twin_assets.defs.shared.quotas import held_by_quota
from twin_assets.settings import load_settings


class MayStart(dg.AutomationCondition[dg.AssetKey]):
    """The last part of a condition: what news asks for meanwhile is asked for once they go on."""

    @property
    def name(self) -> str:
        return "may_start"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """The candidates without those who are held back. A condition is given no resources: the settings are read."""
        candidates, view = context.candidate_subset, context.asset_graph_view
        if candidates.is_empty:
            return dg.AutomationResult(context, candidates)
        settings = load_settings()
        lake = open_lake(settings)
        paused = PAUSED.lately(lake)
        held = {
            AssetKeyPartitionKey(context.key, name)
            for name in candidates.expensively_compute_partition_keys()
            if name in paused or held_by_quota(settings, lake, view.instance, name, trains=False)
        }
        if held:
            theirs = view.get_asset_subset_from_asset_partitions(context.key, held)
            candidates = candidates.compute_difference(theirs)
        return dg.AutomationResult(context, candidates)
