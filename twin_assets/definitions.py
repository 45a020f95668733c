"""The code location, stage by stage in the order of the flow."""

import dagster as dg

from twin_assets.defs import jobs
from twin_assets.defs.collect import assets as s1_collect
from twin_assets.defs.corpus import assets as s3_corpus
from twin_assets.defs.datasets import assets as s5_datasets
from twin_assets.defs.datasets import checks as s5_dataset_checks
from twin_assets.defs.datasets import feedback as s9_feedback
from twin_assets.defs.datasets import publish as s5_publish
from twin_assets.defs.evaluation import assets as s7_evaluation
from twin_assets.defs.evaluation import experiments as s7_experiments
from twin_assets.defs.index import assets as s4_index
from twin_assets.defs.monitoring import alerts as s9_alerts
from twin_assets.defs.monitoring import assets as s9_monitoring
from twin_assets.defs.monitoring import drift as s9_drift
from twin_assets.defs.monitoring import erasure_jobs
from twin_assets.defs.monitoring import report as s9_report
from twin_assets.defs.release import assets as s8_release
from twin_assets.defs.shared.console import compact_console
from twin_assets.defs.shared.resources import build_resources
from twin_assets.defs.training import assets as s6_training
from twin_assets.defs.training import registry_jobs, search_job
from twin_assets.defs.warehouse import assets as s2_warehouse

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
