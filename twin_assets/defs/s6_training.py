"""Training: the base model, then Axolotl SFT and DPO as outside processes through Dagster Pipes."""

from typing import Any

import dagster as dg

from twin_assets.core.datasets import Manifest, dataset_folder
from twin_assets.core.errors import TwinError
from twin_assets.core.registry import ModelVersion, Stage
from twin_assets.defs.common import OWNERS, TRAINING, TRAINING_POOL, personas
from twin_assets.defs.metadata import image
from twin_assets.defs.resources import Platform
from twin_assets.defs.training_runner import run_training
from twin_assets.training.base import ensure_base_model
from twin_assets.training.checkpoints import kept_for_the_next_run
from twin_assets.training.jobs import (
    done,
    finish_job,
    prepare_job,
    read_error,
    read_history,
    read_result,
)
from twin_assets.training.plots import training_plot
from twin_assets.training.records import TrainingJob
from twin_assets.training.rows import MOST_LEFT_OUT


@dg.asset(
    partitions_def=personas,
    group_name=TRAINING,
    owners=OWNERS,
    kinds={"pytorch", "bentoml"},
    code_version="1",
    pool=TRAINING_POOL,
)
def base_model(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[str]:
    """The untuned model of the profile: fetched from a hub, or for nano built here once and kept."""
    profile = platform.profile
    version = ensure_base_model(
        platform.settings, profile, lambda facts: context.log.info(_progress(facts)), profile.nano_steps
    )
    return dg.MaterializeResult(
        value=version.tag, metadata=_model_metadata(version), data_version=dg.DataVersion(version.tag)
    )


def _progress(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())


def _train(
    context: dg.AssetExecutionContext, platform: Platform, pipes: dg.PipesSubprocessClient, stage: Stage,
    parent: str, manifest: Manifest,
) -> dg.MaterializeResult:  # fmt: skip
    settings, registry = platform.settings, platform.registry
    folder = platform.lake.local(dataset_folder(manifest.persona, manifest.kind, manifest.version))
    job = prepare_job(
        settings, platform.profile, stage, registry.get(parent), manifest, folder, manifest.persona
    )
    version = done(settings, job)
    trained_now = version is None
    if version is None:
        try:
            run_training(context, pipes, settings, job)
        except dg.DagsterExecutionInterruptedError:
            context.log.warning(f"{stage} was cancelled; {kept_for_the_next_run(job.model_dir)}")
            raise
        except TwinError:
            raise
        except Exception as error:  # Dagster does not export what Pipes raises when the process failed
            raise (read_error(job) or _stopped(job, error)) from None
        version = finish_job(settings, job)
    else:
        context.log.info(f"{version.tag} was trained from exactly these inputs before: nothing to do")
    lost = version.metrics["rows_dropped"] / max(manifest.counts["train"], 1)
    return dg.MaterializeResult(
        value=version.tag,
        metadata=_model_metadata(version) | _run_metadata(job) | {"trained_now": trained_now},
        check_results=[
            dg.AssetCheckResult(
                check_name="every_row_trained",
                passed=version.metrics["rows_trained"] == manifest.counts["train"],
                # A stray row longer than the model's context is left out; more would have stopped the run.
                severity=dg.AssetCheckSeverity.ERROR if lost > MOST_LEFT_OUT else dg.AssetCheckSeverity.WARN,
                metadata={"trained": version.metrics["rows_trained"], "dataset": manifest.counts["train"]},
            )
        ],
        data_version=dg.DataVersion(version.tag),
    )


def _stopped(job: TrainingJob, error: Exception) -> TwinError:
    return TwinError(
        f"The training stopped without giving a reason ({error!s:.300}); {kept_for_the_next_run(job.model_dir)}.",
        f"read {job.log_file}, then materialise the asset again.",
    )


def _every_row_trained(asset: str) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec("every_row_trained", asset=asset, blocking=True, description="No row was lost.")
    ]


@dg.asset(
    partitions_def=personas,
    group_name=TRAINING,
    owners=OWNERS,
    kinds={"axolotl", "wandb", "bentoml"},
    code_version="1",
    pool=TRAINING_POOL,
    dagster_type=dg.Any,  # with check specs Dagster can't read it off the annotation
    check_specs=_every_row_trained("sft_model"),
)
def sft_model(
    context: dg.AssetExecutionContext, platform: Platform, pipes: dg.PipesSubprocessClient,
    base_model: str, instruct_dataset: Manifest,
) -> dg.MaterializeResult:  # fmt: skip
    """Supervised fine-tuning of the base model on the instruct dataset."""
    return _train(context, platform, pipes, "sft", base_model, instruct_dataset)


@dg.asset(
    partitions_def=personas,
    group_name=TRAINING,
    owners=OWNERS,
    kinds={"axolotl", "wandb", "bentoml"},
    code_version="1",
    pool=TRAINING_POOL,
    dagster_type=dg.Any,  # with check specs Dagster can't read it off the annotation
    check_specs=_every_row_trained("dpo_model"),
)
def dpo_model(
    context: dg.AssetExecutionContext, platform: Platform, pipes: dg.PipesSubprocessClient,
    sft_model: str, preference_dataset: Manifest,
) -> dg.MaterializeResult:  # fmt: skip
    """Direct preference optimisation (Rafailov et al. 2023) of the SFT model: the candidate."""
    return _train(context, platform, pipes, "dpo", sft_model, preference_dataset)


def _model_metadata(version: ModelVersion) -> dict[str, Any]:
    return {
        "model": version.tag,
        "parent": version.lineage.parent or "none",
        "datasets": dg.MetadataValue.json(version.lineage.datasets),
        "metrics": dg.MetadataValue.json(version.metrics),
        "size_mb": round(version.size_bytes / 1e6, 1),
        "folder": dg.MetadataValue.path(version.path),
    }


def _run_metadata(job: TrainingJob) -> dict[str, Any]:
    result = read_result(job)
    return {
        "training": image(training_plot(read_history(job)), "training"),
        "resumed_from_step": result.resumed_from_step if result else 0,
        "config": dg.MetadataValue.md(f"```yaml\n{job.config_file.read_text()}\n```"),
        "log": dg.MetadataValue.path(job.log_file),
    }


assets = [base_model, sft_model, dpo_model]
