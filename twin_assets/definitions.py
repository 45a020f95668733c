"""The code location: what the folders of `defs` hold, stage by stage, and what all of it runs with."""

import warnings

import dagster as dg

import twin_assets.defs
from twin_assets.defs.shared.common import FRESHNESS
from twin_assets.defs.shared.console import compact_console
from twin_assets.defs.shared.resources import build_resources
from twin_assets.settings import ROOT

# A step of a run is a process of its own. It begins as a copy of one that has imported this module, which takes 50 ms;
# an interpreter of its own would import everything again, which takes five seconds a step.
executor = dg.multiprocess_executor.configured(
    {"start_method": {"forkserver": {"preload_modules": [__name__]}}}
)


def _keep_fresh(spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.replace_attributes(freshness_policy=FRESHNESS[str(spec.group_name)])


def _stages() -> dg.Definitions:
    # By module and not by `load_from_defs_folder`, which looks for a pyproject.toml: an installed wheel has none.
    found = dg.ComponentTree.from_module(twin_assets.defs, ROOT).build_defs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # so Dagster calls `map_asset_specs`
        return found.map_asset_specs(func=_keep_fresh)


defs = dg.Definitions.merge(
    _stages(),
    dg.Definitions(loggers={"console": compact_console}, resources=build_resources(), executor=executor),
)
