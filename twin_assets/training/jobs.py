"""From a dataset version to a registered model version, around the Axolotl run in between.

A job is named by its inputs, so that nothing trains twice: the registry is asked first, then the job's
folder for a finished run that never got registered.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from twin_assets.core.datasets.rows import DOCUMENTS, Manifest, kind_for
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.models.adapters import copy_adapter, is_adapter, join_adapters, why_not_apart
from twin_assets.core.models.environment import environment
from twin_assets.core.models.families import Architecture
from twin_assets.core.models.profiles import Profile
from twin_assets.core.models.registry import About, BaseRef, Lineage, ModelVersion, Registry
from twin_assets.core.models.whole import merge_within, whole_folder
from twin_assets.core.persona.definition import load_persona, persona_names
from twin_assets.core.records import most_closed
from twin_assets.settings import Settings
from twin_assets.training.axolotl.failures import name_failure
from twin_assets.training.axolotl.reporting.phases import MERGING
from twin_assets.training.axolotl.reporting.progress import read_points
from twin_assets.training.axolotl.rows import read_bytes, read_rows
from twin_assets.training.configs.job import HistoryPoint, RayWorkers, TrainingJob, TrainingResult
from twin_assets.training.configs.overlays import (
    TrainingStage,
    compose_config,
    config_hash,
    learnt_config,
    write_config,
)
from twin_assets.training.fit.batches import launch
from twin_assets.training.fit.estimate import Estimate, estimate, refuse_unfit
from twin_assets.training.fit.machine import Machine, training_machine

# Part of every lineage: raise it when a change here makes another model of the same inputs.
TRAINING_CODE_VERSION = "2"

_BYTES_A_TOKEN = 4  # of English, as the vocabularies of the large families count

_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "chat_template.jinja", "vocab.json", "merges.txt",
                    "added_tokens.json")  # fmt: skip
_MODEL_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    *_TOKENIZER_FILES,
)


def prepare_job(
    settings: Settings,
    profile: Profile,
    stage: str,
    parent: ModelVersion,
    manifest: Manifest,
    dataset_dir: Path,
    persona: str,
    overrides: Mapping[str, Any] | None = None,
    runs: str = "training",
    reward: str | None = None,
) -> TrainingJob:
    """Write the job's folder (job.json, config.yaml) and return the job.

    `stage` is "cpt", "sft", or the method of the second stage: "dpo", "kto", "orpo" or "grpo". `overrides` replaces values of the composed configuration; `runs` names the
    folder of the cache that the job's own folder lies in; `reward` is what GRPO's is made of, as JSON (evaluation/reward.py), kept in the job's folder. Raises TwinError when the dataset is of the wrong
    kind or has no training rows, GRPO has no reward, or when the machine is too small. A parent that is an adapter is merged first, unless
    the version is there already and nothing will train.
    """
    checked = _check_inputs(stage, manifest)
    if (checked == "grpo") != bool(reward):
        raise TwinError(
            f"{checked} was prepared with{'' if reward else 'out'} a reward.", "GRPO alone learns from one."
        )
    datasets: dict[str, str] = {manifest.kind: manifest.version}
    if manifest.kind != "instruct":
        datasets |= {k: v for k, v in parent.lineage.datasets.items() if k == "instruct"}

    rows = manifest.counts
    if checked == "cpt":  # the rows that are held out are SFT's
        rows = {"train": manifest.counts[DOCUMENTS]}

    def compose(output_dir: Path, parent_path: Path = parent.path) -> dict[str, Any]:
        composed = compose_config(profile, checked, parent_path, dataset_dir, output_dir, settings, rows)
        return composed | dict(overrides or {})

    # Reading and SFT are of one dataset, whose manifest counts the rows of both.
    counted = parent.lineage.stage == "base" or manifest.version in parent.lineage.datasets.values()
    learnt = {} if counted else parent.about.learnt_from
    lineage = Lineage(
        persona=persona,
        stage=checked,
        profile=profile.name,
        parent=parent.tag,
        datasets=datasets,
        config_hash=config_hash(compose(Path("model"))),
        code_version=TRAINING_CODE_VERSION,
        seed=settings.seed,
        prompts=manifest.prompts,
        reward=text_hash(reward) if reward else None,
    )
    folder = job_folder(settings, lineage, runs)
    folder.mkdir(parents=True, exist_ok=True)
    parent_path = _parent_path(
        settings, parent, trains=runs != "training" or not Registry(settings).find(lineage)
    )
    job = TrainingJob(
        folder=folder,
        stage=checked,
        lineage=lineage,
        parent_path=parent_path,
        dataset_dir=dataset_dir,
        rows=rows,
        config=compose(folder / "model", parent_path),
        wandb_mode=settings.wandb_mode,
        checkpoint_seconds=settings.training_checkpoint_seconds,
        hours=settings.training_hours,
        micro_batch=settings.training_micro_batch,
        gpu_options=tuple(settings.training_gpu_options),
        cpu_workers=settings.training_cpu_workers,
        ray=_ray_workers(settings) if settings.training_runner == "ray" else None,
        about=About(
            license=manifest.license,
            visibility=most_closed([manifest.visibility, *([parent.about.visibility] if learnt else [])]),
            learnt_from=dict(Counter(learnt) + Counter(manifest.visibilities)),
            languages=_languages(settings, persona),
            base_model=profile.base_model,
            rewarded_by=sorted(json.loads(reward)["others"]) if reward else [],
        ),
    )
    machine = training_machine(settings)
    refuse_unfit(profile, job_estimate(job, machine), machine, settings.preference_method)
    write_config(job.config, job.config_file)
    if reward:
        job.reward_file.write_text(reward, encoding="utf-8")
    job.file.write_text(job.model_dump_json(indent=2))
    return job


def job_folder(settings: Settings, lineage: Lineage, runs: str = "training") -> Path:
    """Where a job of these inputs lies."""
    return settings.cache_dir / runs / lineage.persona / f"{lineage.stage}-{lineage.inputs_hash}"


def job_estimate(job: TrainingJob, machine: Machine) -> dict[str, Estimate]:
    """The estimate by its stage, of the rows at once that the machine takes; empty when the parent's shape isn't known, or a value is no number.

    Such a value is named by Axolotl's own schema when the run starts.
    """
    shape = Architecture.of_folder(job.parent_path)
    counted = all(isinstance(job.config[name], int) for name in ("micro_batch_size", "sequence_len"))
    if not shape or not counted:
        return {}
    tokens = sum(map(read_bytes, read_rows(job.train_file))) / _BYTES_A_TOKEN
    return {job.stage: estimate(shape, job.config | launch(job, machine, tokens).values, machine)}


def estimate_facts(job: TrainingJob, machine: Machine) -> dict[str, Any]:
    """The job's estimate for a person to read: gigabytes by what fills them, and minutes for its rows."""
    facts: dict[str, Any] = {"machine": str(machine)}
    for needed in job_estimate(job, machine).values():
        epochs, rows = job.config["num_epochs"], read_rows(job.train_file)
        tokens = sum(map(read_bytes, rows)) / _BYTES_A_TOKEN
        seconds = needed.seconds(tokens * epochs, machine, len(rows) * epochs)
        facts |= needed.facts() | {"minutes": round(seconds / 60, 1)}
    return facts


def done(settings: Settings, job: TrainingJob) -> ModelVersion | None:
    """The model version made from exactly these inputs, if there is one; None when it must be trained.

    A run that finished without being registered is registered now.
    """
    if version := Registry(settings).find(job.lineage):
        return version
    return finish_job(settings, job) if _has_model(job) else None


def finish_job(settings: Settings, job: TrainingJob) -> ModelVersion:
    """Register what the run made; returns the version. A LoRA adapter is kept apart from its base; one that was trained on
    top of another is joined with that, so that it stands on the same base; one for which that can't be is merged.

    The weights move to the registry; config, log and history stay in the job's folder. Raises
    TwinError when the run has not finished.
    """
    result = read_result(job)
    if result is None or not _has_model(job):
        raise TwinError(f"The training in {job.folder} has not finished.", "run it (again).")
    clean = job.folder / "registered"
    shutil.rmtree(clean, ignore_errors=True)
    about = job.about.model_copy(update={"environment": environment() | result.environment})
    base = None
    if not is_adapter(job.model_dir):
        _copy_model(job.model_dir, clean)
    else:
        parent = Registry(settings).get(job.lineage.parent or "")
        try:
            base = _keep_apart(job, parent, clean)
        except TwinError as error:
            about = about.model_copy(update={"merged_because": error.problem})
            _merge_adapter(job, whole_folder(settings, parent), clean)
    (clean / "training").mkdir()
    write_config(learnt_config(job.config), clean / "training" / "config.yaml")
    link = str(result.wandb_dir) if result.wandb_dir else None
    version = Registry(settings).save(clean, job.lineage, result.metrics, link, about, base=base)
    shutil.rmtree(clean)
    shutil.rmtree(job.model_dir)
    return version


def read_result(job: TrainingJob) -> TrainingResult | None:
    """What the run reported, or None when it has not finished."""
    path = job.folder / "result.json"
    return TrainingResult.model_validate_json(path.read_text()) if path.is_file() else None


def read_history(job: TrainingJob) -> list[HistoryPoint]:
    """What the trainer logged, in order, also while it trains; empty before a run."""
    return read_points(job.history_file)


def _ray_workers(settings: Settings) -> RayWorkers:
    return RayWorkers(
        workers=settings.ray_workers, gpus=settings.ray_gpus_per_worker, cpus=settings.ray_cpus_per_worker
    )


def _check_inputs(stage: str, manifest: Manifest) -> TrainingStage:
    stages: dict[str, TrainingStage] = {known: known for known in get_args(TrainingStage)}
    if stage not in stages:
        raise TwinError(f"There is no training stage {stage!r}.", f"use one of: {', '.join(stages)}.")
    kind = kind_for(stage)
    if manifest.kind != kind:
        raise TwinError(f"{stage} needs a dataset of kind {kind}, not {manifest.kind}.", "hand in that one.")
    if stage == "cpt" and not manifest.counts.get(DOCUMENTS):
        raise TwinError(
            f"The {manifest.kind} dataset {manifest.version} of {manifest.persona} has no documents to read before SFT.",
            "materialise instruct_dataset with a TWIN_CONTINUED_PRETRAINING_TOKENS that lets a document in; 0 leaves reading out.",
        )
    if not manifest.counts.get("train"):
        raise TwinError(
            f"The {manifest.kind} dataset {manifest.version} of {manifest.persona} has no training rows.",
            "collect more of the persona's writing, or see in its card what dropped the rows.",
        )
    return stages[stage]


def _has_model(job: TrainingJob) -> bool:
    saved = any((job.model_dir / name).is_file() for name in ("config.json", "adapter_config.json"))
    return saved and (job.folder / "result.json").is_file()


def _copy_model(source: Path, target: Path) -> None:
    """Weights, configuration and tokenizer; not the trainer's state, logs or its own card."""
    target.mkdir(parents=True)
    for pattern in _MODEL_FILES:
        for path in source.glob(pattern):
            shutil.copy2(path, target / path.name)


def _parent_path(settings: Settings, parent: ModelVersion, trains: bool) -> Path:
    """The parent as a whole model; where nothing trains, a folder with its shape and tokenizer is enough."""
    if trains:
        return whole_folder(settings, parent)
    base = Registry(settings).base_of(parent)
    return base.path if base else parent.path


def _keep_apart(job: TrainingJob, parent: ModelVersion, target: Path) -> BaseRef:
    """Write the adapter with its tokenizer into `target`; returns what it stands on. Raises TwinError that says why it has
    to be merged."""
    base = parent.as_base
    if reason := why_not_apart(job.model_dir):
        raise TwinError(f"The adapter can't be kept apart from its base: {reason}.", "merge it.")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for pattern in _TOKENIZER_FILES:
        for path in job.model_dir.glob(pattern):
            shutil.copy2(path, target / path.name)
    if parent.base:
        join_adapters(parent.path, job.model_dir, target, base.tag)
    else:
        copy_adapter(job.model_dir, target, base.tag)
    return base


def _merge_adapter(job: TrainingJob, parent: Path, target: Path) -> None:
    """Write the whole model into `target`, and the adapter by itself below it."""
    shutil.rmtree(target, ignore_errors=True)
    ended = merge_within(job.hours, parent, job.model_dir, target)
    if ended.returncode:
        raise name_failure(ended.returncode, (ended.stdout + ended.stderr).splitlines(), MERGING)
    folder = target / "adapter"
    folder.mkdir()
    copy_adapter(job.model_dir, folder, job.lineage.parent or "")


def _languages(settings: Settings, persona: str) -> list[str]:
    declared = persona in persona_names(settings.personas_dir)
    return load_persona(settings.personas_dir, persona).languages if declared else []
