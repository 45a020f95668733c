"""The asset of an SFT model, materialised on a dataset and a base model that were made by hand."""

from pathlib import Path
from typing import Any

import dagster as dg

from tests.training.training_factories import settings, tiny_base
from twin_assets.core.datasets.rows import Manifest, dataset_folder
from twin_assets.defs.shared.common import personas
from twin_assets.defs.shared.resources import build_resources
from twin_assets.defs.training.assets import sft_model


def materialize_sft(
    home: Path, overrides: dict[str, Any], manifest: Manifest
) -> tuple[dg.DagsterInstance, dg.ExecuteInProcessResult]:
    """On the dataset in `home / "data"`, which is put where the lake would have it. `overrides` are settings."""
    platform = settings(home)
    tag = tiny_base(platform).tag
    folder = platform.lake_dir / dataset_folder("runa", "instruct", manifest.version)
    folder.parent.mkdir(parents=True)
    (home / "data").rename(folder)

    @dg.asset(partitions_def=personas)
    def base_model() -> str:
        return tag

    @dg.asset(name="instruct_dataset", partitions_def=personas)
    def dataset() -> Manifest:
        return manifest

    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("personas", ["runa"])
    return instance, dg.materialize(
        [base_model, dataset, sft_model],
        partition_key="runa",
        instance=instance,
        resources=build_resources(
            {"home": str(home), "wandb_mode": "disabled", "profile": "smoke"} | overrides
        ),
        raise_on_error=False,
    )
