"""The feature pipeline from warehouse to dataset: by hand, and whenever there is news."""

import dagster as dg

from twin_assets.defs.shared.common import CORPUS, DATASETS, EVALUATION, INDEX, WAREHOUSE

_FEATURES = dg.AssetSelection.groups(WAREHOUSE, CORPUS, INDEX, DATASETS)

features = dg.define_asset_job("features", _FEATURES - dg.AssetSelection.assets("preference_dataset"))

carry_features_forward = dg.AutomationConditionSensorDefinition(
    name="carry_features_forward",
    target=_FEATURES | dg.AssetSelection.groups(EVALUATION) - dg.AssetSelection.assets("evaluation_report"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    use_user_code_server=True,  # a condition of ours looks at who is paused
    minimum_interval_seconds=30,
    description="Carries new writing through warehouse, corpus, index and dataset, and runs into their comparison.",
)
