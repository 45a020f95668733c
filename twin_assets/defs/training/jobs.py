"""Training by hand, or as its sensor asks."""

import dagster as dg

train = dg.define_asset_job(
    "train",
    dg.AssetSelection.assets("base_model", "sft_model", "preference_dataset", "dpo_model"),
)
