"""Experiments: the mart over all training runs, and a view that compares them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from twin_assets.defs.shared.common import EVALUATION, OWNERS, WAREHOUSE_POOL, personas
from twin_assets.defs.shared.metadata import image
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.warehouse.assets import EXPERIMENTS, Translator, build_models, dbt_manifest, project
from twin_assets.training.experiments.plots import hyperparameters_plot, loss_by_run_plot
from twin_assets.training.experiments.records import Experiment, read_experiments

# Runs that end badly have no assets below them, so nothing here waits for all of its inputs to be there.
when_a_run_has_ended = (
    dg.AutomationCondition.any_deps_updated().since(
        dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    )
    & ~dg.AutomationCondition.in_progress()
).with_label("when_a_run_has_ended")

# Named for the order alone: the records are read from the lake, and are all there once these were made.
_MADE_AFTER = ("sft_model", "dpo_model", "evaluation_report")
_SHOWN_RUNS = 30


@dbt_assets(
    manifest=dbt_manifest(),
    project=project,
    select=EXPERIMENTS,
    partitions_def=personas,
    dagster_dbt_translator=Translator(
        EVALUATION, dict.fromkeys(("stg_experiments", "stg_evaluations"), _MADE_AFTER), when_a_run_has_ended
    ),
    pool=WAREHOUSE_POOL,
)
def experiments_mart(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: Platform
) -> Iterator[Any]:
    """`dbt build` of the experiments for one persona."""
    yield from build_models(context, dbt, platform)


@dg.asset(
    deps=["experiments"],
    partitions_def=personas,
    group_name=EVALUATION,
    owners=OWNERS,
    kinds={"python", "duckdb"},
    code_version="1",
    automation_condition=when_a_run_has_ended,
)
def experiment_comparison(
    context: dg.AssetExecutionContext, platform: Platform
) -> dg.MaterializeResult[list[Experiment]]:
    """All runs side by side: the table by evaluation loss, loss by run, and loss against what was varied."""
    runs = read_experiments(platform.settings.warehouse_path, context.partition_key)
    costs = [run.cost_usd for run in runs if run.cost_usd is not None]
    return dg.MaterializeResult(
        value=runs,
        metadata={
            "runs": len(runs),
            "finished": sum(run.status == "finished" for run in runs),
            "failed": sum(run.status == "failed" for run in runs),
            "pruned": sum(run.status == "pruned" for run in runs),
            "hours": round(sum(run.seconds for run in runs) / 3600, 2),
            "cost_usd": round(sum(costs), 2) if costs else "no price is set (TWIN_HARDWARE_USD_PER_HOUR)",
            "comparison": dg.MetadataValue.md(_table(runs)),
            "loss_by_run": image(loss_by_run_plot(runs), "loss by run"),
            "hyperparameters": image(hyperparameters_plot(runs), "loss against hyperparameters"),
        },
    )


def _table(runs: list[Experiment]) -> str:
    """The best first: by stage, then by evaluation loss; runs without one come last."""
    fields = [
        "stage", "tag", "status", "dataset", "eval_loss", "train_loss", "voice_gain", "voice_margin",
        "copied_share", "tokens", "seconds", "cost_usd", "started_at",
    ]  # fmt: skip
    ordered = sorted(runs, key=lambda r: (r.stage, r.eval_loss is None, r.eval_loss or 0.0))
    lines = [f"| {' | '.join(fields)} |", "|" + "---|" * len(fields)]
    for run in ordered[:_SHOWN_RUNS]:
        lines.append("| " + " | ".join(_cell(getattr(run, field)) for field in fields) + " |")
    if len(ordered) > _SHOWN_RUNS:
        lines.append(f"\n{len(ordered) - _SHOWN_RUNS} more are in the table `experiments` of the warehouse.")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:32]


assets = [experiments_mart, experiment_comparison]
