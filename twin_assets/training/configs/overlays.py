"""Axolotl configurations: shared values, overlays for method, size and GPUs, and the facts of a run.

Goes in: a profile and where base model and dataset lie. Comes out: the dictionary that Axolotl reads.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from twin_assets.core.datasets.rows import LEARNT, kind_for, side_for
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint
from twin_assets.core.models.cpu import cpu_has_bfloat16
from twin_assets.core.models.profiles import Profile
from twin_assets.settings import ROOT, Settings
from twin_assets.training.configs.qat import refuse_qat
from twin_assets.training.configs.tuned import tuned_values

TrainingStage = Literal["cpt", "sft", "dpo", "kto", "orpo", "grpo"]
SHARED = "preference"  # the name under which values of all stages after SFT stand
FOLDER = ROOT / "training_configs"

# How the weights of a quantised base model are read.
_OF_QUANTISED = ("model_quantization_config", "model_quantization_config_kwargs")

# Where a run happens, on what hardware, and how it is watched doesn't make it another training.
_NOT_HASHED = {
    "base_model", "datasets", "test_datasets", "output_dir", "dataset_prepared_path", "bf16",
    "wandb_mode", "wandb_project", "wandb_name", "wandb_run_id", "use_wandb",
}  # fmt: skip


def compose_config(
    profile: Profile,
    stage: TrainingStage,
    base_path: Path,
    dataset_dir: Path,
    output_dir: Path,
    settings: Settings,
    rows: dict[str, int],
) -> dict[str, Any]:
    """The Axolotl configuration of one run. `rows` counts the sides {"train": n, "test": m}.

    Raises TwinError when a config file is missing or isn't a YAML mapping. Without test rows nothing
    is evaluated during training.
    """
    import torch

    config = (
        compose_overlays(profile, stage)
        | tuned_values(settings, profile.name, stage)
        | {
            "base_model": str(base_path),
            "output_dir": str(output_dir),
            "dataset_prepared_path": str(output_dir.parent / "prepared"),
            "seed": settings.seed,
            "datasets": [_dataset(stage, dataset_dir / f"{side_for(stage)}.jsonl")],
            "bf16": "auto" if torch.cuda.is_available() else cpu_has_bfloat16(),
            "use_wandb": settings.wandb_mode != "disabled",
        }
    )
    if not _is_quantised(base_path):  # as openai's own repository is, and a copy in 16 bits is not
        config = {name: value for name, value in config.items() if name not in _OF_QUANTISED}
    # GRPO has nothing to hold a text against that the evaluation hasn't.
    if rows.get("test") and stage != "grpo":
        config["test_datasets"] = [_dataset(stage, dataset_dir / "test.jsonl")]
    else:
        config.pop("eval_strategy", None)
    if settings.wandb_mode != "disabled":
        config |= {"wandb_mode": settings.wandb_mode, "wandb_project": settings.wandb_project}
    return config


def compose_overlays(profile: Profile, stage: TrainingStage) -> dict[str, Any]:
    """The part of a configuration that is the same on every machine: the profile's overlays, in order.

    Raises TwinError when a file is missing or isn't a YAML mapping, or when they round weights as nothing trains them.
    """
    config: dict[str, Any] = {}
    for name in profile.overlays:
        config |= _overlay(name, stage)
    config |= profile.axolotl
    if stage == "grpo":
        # All texts of a step are written at once, over all workers; none is longer than an answer that is served.
        step = config["micro_batch_size"] * config["gradient_accumulation_steps"]
        sizes = {"generation_batch_size": step, "max_completion_length": profile.answer_tokens}
        config["trl"] = config["trl"] | sizes
    refuse_qat(config, profile.architecture)
    return config


def learnt_config(config: dict[str, Any]) -> dict[str, Any]:
    """What is learnt and how, without paths and without how the run is watched.

    `formats` are the datasets as they are read, without where they lie.
    """
    learnt = {key: value for key, value in config.items() if key not in _NOT_HASHED}
    return learnt | {"formats": [_without_path(d) for d in config["datasets"]]}


def config_hash(config: dict[str, Any]) -> str:
    """Identity of a configuration: of its `learnt_config`."""
    return fingerprint(learnt_config(config), 12)


def write_config(config: dict[str, Any], path: Path) -> None:
    """Store a configuration as YAML, in the order it was composed."""
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def _dataset(stage: TrainingStage, path: Path) -> dict[str, Any]:
    shared = {"path": str(path), "ds_type": "json", "split": "train", "field_messages": "messages"}
    if stage == "sft":
        only_answers = {
            "roles_to_train": ["assistant"], "train_on_eos": "turn", "message_field_training": LEARNT,
        }  # fmt: skip
        return {"type": "chat_template", **shared, **only_answers}
    if stage != "dpo":  # training/method_rows.py makes the texts
        texts = {name: value for name, value in shared.items() if name != "field_messages"}
        return {"type": "completion", **texts} if stage == "cpt" else texts
    return {
        "type": "chat_template.default", **shared, "field_chosen": "chosen", "field_rejected": "rejected",
    }  # fmt: skip


def _is_quantised(base_path: Path) -> bool:
    config = base_path / "config.json"
    return config.is_file() and "quantization_config" in json.loads(config.read_text())


def _without_path(dataset: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in dataset.items() if key != "path"}


def _overlay(name: str, stage: TrainingStage) -> dict[str, Any]:
    """The values of one file for a stage, after those of the file that it extends."""
    values = _read(name)
    parent = values.pop("extends", None)
    stages = {known: values.pop(known, {}) for known in (SHARED, *get_args(TrainingStage))}
    # Continued pre-training is SFT's work with other rows.
    shared = stages["sft" if kind_for(stage) == "instruct" else SHARED]
    return (_overlay(parent, stage) if parent else {}) | values | shared | stages[stage]


def _read(name: str) -> dict[str, Any]:
    path = FOLDER / name
    if not path.is_file():
        names = ", ".join(sorted(p.relative_to(FOLDER).as_posix() for p in FOLDER.glob("*/*.yaml")))
        raise TwinError(f"There is no training config {name!r}.", f"name one of: {names}.")
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise TwinError(
            f"{name} is not YAML: {str(error).splitlines()[0]}.", "mend the file's syntax."
        ) from None
    if not isinstance(values, dict):
        raise TwinError(f"{name} holds no mapping of settings.", "write it as `key: value` lines.")
    return values
