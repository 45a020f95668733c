"""A training job: a folder that says what to train from, and later holds what came of it.

`prepare_job` writes it, `python -m twin_assets.training.run` works in it, `finish_job` stores the model.
The folder's name carries the hash of everything that goes in, so nothing trains twice for the same inputs.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from twin_assets.core.datasets import Manifest
from twin_assets.core.errors import TwinError
from twin_assets.core.profiles import Profile
from twin_assets.core.prompts import prompts_fingerprint
from twin_assets.core.records import Record
from twin_assets.core.registry import Lineage, ModelVersion, Registry
from twin_assets.settings import Settings
from twin_assets.training.configs import TrainedStage, compose_config, config_hash

TRAINING_CODE_VERSION = "1"


class TrainingJob(Record):
    """What to train. `rows` is what the dataset holds, and what must be trained."""

    folder: Path
    stage: TrainedStage
    lineage: Lineage
    rows: int
    offline: bool


class TrainingResult(Record):
    """What came of it. Metrics: train_loss, eval_loss where measured, steps, seconds, rows_trained."""

    model_dir: Path
    metrics: dict[str, float]
    wandb_dir: Path | None = None


def prepare_job(
    settings: Settings,
    profile: Profile,
    stage: TrainedStage,
    parent: ModelVersion,
    manifest: Manifest,
    dataset_dir: Path,
    persona: str,
) -> TrainingJob:
    """Write the job's folder: `job.json` and Axolotl's `config.yaml`. Raises TwinError on too few rows."""
    rows = manifest.counts["train"]
    if rows == 0 or (stage == "sft" and rows < profile.min_train_rows):
        raise TwinError(
            f"The {manifest.kind} dataset {manifest.version} of {persona!r} has {rows} training rows; "
            f"profile {profile.name!r} needs {max(profile.min_train_rows if stage == 'sft' else 1, 1)}.",
            "add sources to the persona, or choose a profile that needs less.",
        )
    name = f"{persona}-{stage}-{manifest.version[:8]}"
    scratch = settings.cache_dir / "training" / persona
    config = compose_config(
        profile, stage, base_path=parent.path, dataset_dir=dataset_dir, folder=scratch / stage,
        seed=settings.seed, wandb_mode=settings.wandb_mode, wandb_project=settings.wandb_project, name=name,
    )  # fmt: skip
    lineage = Lineage(
        persona=persona, stage=stage, profile=profile.name, parent=parent.tag,
        datasets=parent.lineage.datasets | {manifest.kind: manifest.version},
        config_hash=config_hash(config), code_version=TRAINING_CODE_VERSION, seed=settings.seed,
        prompts=prompts_fingerprint(),
    )  # fmt: skip
    folder = scratch / f"{stage}-{lineage.inputs_hash}"
    folder.mkdir(parents=True, exist_ok=True)
    config |= {"output_dir": str(folder / "model"), "dataset_prepared_path": str(folder / "prepared")}
    job = TrainingJob(
        folder=folder, stage=stage, lineage=lineage, rows=rows, offline=profile.base_model == "nano"
    )
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=True))
    (folder / "job.json").write_text(job.model_dump_json(indent=2))
    return job


def done(settings: Settings, job: TrainingJob) -> ModelVersion | None:
    """The version this job would make, if it was made before; a finished, unstored run is stored now."""
    if known := Registry(settings).find(job.lineage):
        return known
    return finish_job(settings, job) if (job.folder / "result.json").exists() else None


def finish_job(settings: Settings, job: TrainingJob) -> ModelVersion:
    """Store a finished run's model with its lineage. Raises TwinError when the run didn't finish."""
    path = job.folder / "result.json"
    if not path.exists():
        raise TwinError(
            f"The {job.stage} run in {job.folder.name} left no result.", f"read {job.folder}/train.log."
        )
    result = TrainingResult.model_validate_json(path.read_text())
    run_link = str(result.wandb_dir) if result.wandb_dir else None
    version = Registry(settings).save(_merged(job, result), job.lineage, result.metrics, run_link)
    shutil.rmtree(job.folder / "prepared", ignore_errors=True)
    return version


def _merged(job: TrainingJob, result: TrainingResult) -> Path:
    """The folder of whole weights; a LoRA adapter is merged into its base."""
    if not (result.model_dir / "adapter_config.json").exists():
        return result.model_dir
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    merged = job.folder / "merged"
    AutoPeftModelForCausalLM.from_pretrained(result.model_dir).merge_and_unload().save_pretrained(merged)
    AutoTokenizer.from_pretrained(result.model_dir).save_pretrained(merged)
    return merged


def read_history(job: TrainingJob) -> list[dict[str, Any]]:
    """What the trainer logged, one dictionary a log event, oldest first."""
    path = job.folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
