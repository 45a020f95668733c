"""Experiments: a view that compares all training runs; their mart is in `marts`."""

from typing import Any

import dagster as dg

from twin_assets.defs.shared.common import EVALUATION, OWNERS, personas, when_a_run_has_ended
from twin_assets.defs.shared.metadata import image
from twin_assets.defs.shared.resources import Platform
from twin_assets.training.experiments.plots import hyperparameters_plot, loss_by_run_plot
from twin_assets.training.experiments.records import Experiment, read_experiments

_SHOWN_RUNS = 30


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
        "stage", "tag", "status", "dataset", "eval_loss", "train_loss", "voice_gain", "sense_share", "voice_figure",
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
