"""The code location, stage by stage in the order of the flow."""

import dagster as dg

from twin_assets.defs import (
    erasure_jobs,
    jobs,
    registry_jobs,
    s1_collect,
    s2_warehouse,
    s3_corpus,
    s4_index,
    s5_dataset_checks,
    s5_datasets,
    s5_publish,
    s6_training,
    s7_evaluation,
    s7_experiments,
    s8_release,
    s9_alerts,
    s9_drift,
    s9_feedback,
    s9_monitoring,
    s9_report,
    search_job,
)
from twin_assets.defs.console import compact_console
from twin_assets.defs.resources import build_resources

# A step of a run is a process of its own. It begins as a copy of one that has imported this module, which takes 50 ms;
# an interpreter of its own would import everything again, which takes five seconds a step.
executor = dg.multiprocess_executor.configured(
    {"start_method": {"forkserver": {"preload_modules": [__name__]}}}
)

defs = dg.Definitions(
    assets=[
        *s1_collect.raw_assets,
        s2_warehouse.warehouse,
        *s3_corpus.assets,
        *s4_index.assets,
        *s5_datasets.assets,
        *s6_training.assets,
        *s7_evaluation.assets,
        *s7_experiments.assets,
        *s8_release.assets,
        *s9_monitoring.assets,
        *s9_drift.assets,
        *s9_feedback.assets,
        *s9_report.assets,
    ],
    asset_checks=[*s3_corpus.checks, *s5_dataset_checks.checks, *s9_drift.checks],
    jobs=[
        *jobs.jobs,
        *s5_publish.jobs,
        *s8_release.jobs,
        *s9_feedback.jobs,
        *registry_jobs.jobs,
        *erasure_jobs.jobs,
        *search_job.jobs,
    ],
    schedules=jobs.schedules,
    sensors=[*jobs.sensors, s9_alerts.send_alerts],
    loggers={"console": compact_console},
    resources=build_resources(),
    executor=executor,
)
