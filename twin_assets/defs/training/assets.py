"""Training: the base model, then Axolotl's SFT and preference optimisation as outside processes through Dagster Pipes."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from twin_assets.core.datasets.rows import Manifest, dataset_folder
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import ModelVersion, Stage
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.defs.shared.code_versions import base_version, training_version
from twin_assets.defs.shared.common import OWNERS, TRAINING, TRAINING_POOL, personas
from twin_assets.defs.shared.metadata import image
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.retries import retried_when_away
from twin_assets.defs.training.runner import run_training
from twin_assets.evaluation.reward import Reward, RewardTexts
from twin_assets.evaluation.voice.persona_meter import persona_background
from twin_assets.feature.instruct.build import may_be_learnt
from twin_assets.settings import Settings, load_settings
from twin_assets.training.axolotl.checkpoints import kept_for_the_next_run
from twin_assets.training.axolotl.reporting.plots import training_plot
from twin_assets.training.axolotl.rows import MOST_LEFT_OUT
from twin_assets.training.base_models.base import ensure_base_model
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.experiments.records import record_run
from twin_assets.training.fit.estimate import check_fits
from twin_assets.training.fit.machine import Machine, training_machine
from twin_assets.training.jobs import done, estimate_facts, finish_job, prepare_job, read_history, read_result


@dg.asset(
    partitions_def=personas,
    group_name=TRAINING,
    owners=OWNERS,
    kinds={"pytorch", "bentoml"},
    code_version=base_version("1"),
    pool=TRAINING_POOL,
)
@retried_when_away
def base_model(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[str]:
    """The untuned model of the profile: fetched from a hub, or for nano built here once and kept."""
    profile, machine = platform.profile, training_machine(platform.settings)
    estimates = check_fits(
        profile, machine, platform.settings.preference_method
    )  # before tens of gigabytes are fetched
    version = ensure_base_model(platform.settings, profile, lambda facts: context.log.info(_progress(facts)))
    metadata = _model_metadata(version) | {
        "machine": str(machine),
        "estimate": dg.MetadataValue.json({stage: needed.facts() for stage, needed in estimates.items()}),
    }
    return dg.MaterializeResult(
        value=version.tag, metadata=metadata, data_version=dg.DataVersion(version.tag)
    )


def _progress(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())


@dataclass(frozen=True)
class _Trained:
    """A job and its version; `now` where that was trained in this run."""

    job: TrainingJob
    version: ModelVersion
    now: bool


def _train(
    context: dg.AssetExecutionContext,
    platform: Platform,
    pipes: dg.PipesSubprocessClient,
    stage: Stage,
    parent: str,
    manifest: Manifest,
    reward: str | None = None,
) -> _Trained:
    settings, registry = platform.settings, platform.registry
    folder = platform.lake.local(dataset_folder(manifest.persona, manifest.kind, manifest.version))
    job = prepare_job(
        settings, platform.profile, stage, registry.get(parent), manifest, folder, manifest.persona,
        reward=reward,
    )  # fmt: skip
    version = done(settings, job)
    trained_now = version is None
    if version is None:
        try:
            run_training(context.op_execution_context, pipes, settings, job)
        except dg.DagsterExecutionInterruptedError:
            context.log.warning(f"{stage} was cancelled; {kept_for_the_next_run(job.model_dir)}")
            raise
        except TwinError as error:
            record_run(platform.lake, settings, job, "failed", str(error))
            raise
        version = finish_job(settings, job)
    else:
        context.log.info(f"{version.tag} was trained from exactly these inputs before: nothing to do")
    record_run(platform.lake, settings, job)
    return _Trained(job, version, trained_now)


def _materialized(trained: _Trained, settings: Settings) -> dg.MaterializeResult:
    job, version = trained.job, trained.version
    rows, metrics = job.rows["train"], version.metrics
    return dg.MaterializeResult(
        value=version.tag,
        metadata=_model_metadata(version)
        | _run_metadata(job, training_machine(settings))
        | {"trained_now": trained.now},
        check_results=[
            dg.AssetCheckResult(
                check_name="every_row_trained",
                passed=metrics["rows_dropped"] == 0,
                # A stray row longer than the model's context is left out; more would have stopped the run.
                severity=dg.AssetCheckSeverity.ERROR
                if metrics["rows_dropped"] / rows > MOST_LEFT_OUT
                else dg.AssetCheckSeverity.WARN,
                metadata={"trained": metrics["rows_trained"], "dataset": rows},
            ),
            # A fault stops the run before it trains; a model from before this check has looked at no row.
            dg.AssetCheckResult(
                check_name="prompt_format_is_served",
                passed=metrics.get("prompt_rows_checked", 0) > 0,
                metadata={"rows_checked": metrics.get("prompt_rows_checked", 0)},
            ),
        ],
        data_version=dg.DataVersion(version.tag),
    )


def _checks(asset: str) -> list[dg.AssetCheckSpec]:
    described = {
        "every_row_trained": "No row was lost.",
        "prompt_format_is_served": "Token by token, the model was trained on prompts as serving writes them, and "
        "learnt the answer and its end, nothing else.",
    }
    return [dg.AssetCheckSpec(n, asset=asset, blocking=True, description=d) for n, d in described.items()]


@dg.asset(
    partitions_def=personas,
    group_name=TRAINING,
    owners=OWNERS,
    kinds={"axolotl", "wandb", "bentoml"},
    code_version=training_version("1", "sft"),
    pool=TRAINING_POOL,
    dagster_type=dg.Any,  # with check specs Dagster can't read it off the annotation
    check_specs=_checks("sft_model"),
)
@retried_when_away
def sft_model(
    context: dg.AssetExecutionContext,
    platform: Platform,
    pipes: dg.PipesSubprocessClient,
    base_model: str,
    instruct_dataset: Manifest,
) -> dg.MaterializeResult:
    """Supervised fine-tuning of the base model on the instruct dataset, where it is asked for after continued pre-training on
    the author's documents."""
    parent = base_model
    if platform.settings.continued_pretraining_tokens:
        parent = _train(context, platform, pipes, "cpt", base_model, instruct_dataset).version.tag
    return _materialized(_train(context, platform, pipes, "sft", parent, instruct_dataset), platform.settings)


@dg.asset(
    partitions_def=personas,
    group_name=TRAINING,
    owners=OWNERS,
    kinds={"axolotl", "wandb", "bentoml"},
    code_version=training_version("1", load_settings().preference_method),
    pool=TRAINING_POOL,
    dagster_type=dg.Any,  # with check specs Dagster can't read it off the annotation
    check_specs=_checks("dpo_model"),
)
@retried_when_away
def dpo_model(
    context: dg.AssetExecutionContext,
    platform: Platform,
    pipes: dg.PipesSubprocessClient,
    sft_model: str,
    preference_dataset: Manifest,
) -> dg.MaterializeResult:
    """Preference optimisation of the SFT model: the candidate. By DPO (Rafailov et al. 2023), or as TWIN_PREFERENCE_METHOD says."""
    method = platform.settings.preference_method
    reward = _reward(platform, context.partition_key) if method == "grpo" else None
    trained = _train(context, platform, pipes, method, sft_model, preference_dataset, reward)
    return _materialized(trained, platform.settings)


def _reward(platform: Platform, name: str) -> str:
    """What GRPO is rewarded by, as JSON, opened once: what can't be measured is refused before anything is trained, and the author's own figures
    are kept for the training. No input of the asset: whether there is something new to learn, the dataset says."""
    persona, settings = platform.persona(name), platform.settings
    corpus = FeatureStore(platform.lake).load("corpus_split", name, list[SplitDocument])
    background = persona_background(persona, corpus, platform.lake, settings.impostors_dir)
    texts = RewardTexts.of(may_be_learnt(corpus, persona), background, settings)
    Reward.of(texts, settings.cache_dir)
    return texts.model_dump_json()


def _model_metadata(version: ModelVersion) -> dict[str, Any]:
    return {
        "model": version.tag,
        "parent": version.lineage.parent or "none",
        "datasets": dg.MetadataValue.json(version.lineage.datasets),
        "metrics": dg.MetadataValue.json(version.metrics),
        "stands_on": version.base.tag if version.base else "nothing: a whole model",
        "size_mb": round(version.size_bytes / 1e6, 1),
        "folder": dg.MetadataValue.path(version.path),
    }


def _run_metadata(job: TrainingJob, machine: Machine) -> dict[str, Any]:
    result = read_result(job)
    return {
        "estimate": dg.MetadataValue.json(estimate_facts(job, machine)),
        "training": image(training_plot(read_history(job)), "training"),
        "hardware": dg.MetadataValue.json(result.environment if result else {}),
        "resumed_from_step": result.resumed_from_step if result else 0,
        "config": dg.MetadataValue.md(f"```yaml\n{job.config_file.read_text()}\n```"),
        "log": dg.MetadataValue.path(job.log_file),
    }
