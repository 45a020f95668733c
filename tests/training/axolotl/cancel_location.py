"""A code location with one long training, for the test that cancels it. TWIN_HOME holds what it reads."""

import os
from pathlib import Path

import dagster as dg

from twin_assets.core.datasets.rows import Manifest
from twin_assets.defs.shared.common import personas
from twin_assets.defs.shared.resources import build_resources
from twin_assets.defs.training.assets import sft_model

HOME = Path(os.environ["TWIN_HOME"])


@dg.asset(partitions_def=personas)
def base_model() -> str:
    return (HOME / "base.txt").read_text()


@dg.asset(partitions_def=personas)
def instruct_dataset() -> Manifest:
    return Manifest.model_validate_json((HOME / "manifest.json").read_text())


defs = dg.Definitions(
    assets=[base_model, instruct_dataset, sft_model],
    jobs=[dg.define_asset_job("train", selection="*", executor_def=dg.in_process_executor)],
    resources=build_resources(),
)
