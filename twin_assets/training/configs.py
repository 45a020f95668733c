"""Axolotl configurations: a base, a small overlay by profile and stage, and the facts of the run."""

from pathlib import Path
from typing import Any, Literal

import yaml

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint
from twin_assets.core.profiles import Profile
from twin_assets.settings import ROOT
from twin_assets.training.cpu import cpu_has_bfloat16

FOLDER = ROOT / "training_configs"

TrainedStage = Literal["sft", "dpo"]

# Facts of one run or one machine: they don't make it another training.
_NOT_HASHED = {
    "base_model", "datasets", "test_datasets", "output_dir", "dataset_prepared_path", "plugins", "bf16",
    "use_wandb", "wandb_project", "wandb_mode", "wandb_name",
}  # fmt: skip


def load_config(name: str) -> dict[str, Any]:
    """The base configuration with one overlay on top. Raises TwinError naming an unusable file."""
    merged: dict[str, Any] = {}
    for path in (FOLDER / "base.yaml", FOLDER / name):
        try:
            layer = yaml.safe_load(path.read_text())
        except FileNotFoundError:
            raise TwinError(
                f"There is no training config {path.name}.", f"add it to {FOLDER.name}/."
            ) from None
        except yaml.YAMLError as error:
            raise TwinError(f"{path.name} is not YAML: {error}.", "mend the file's syntax.") from None
        if not isinstance(layer, dict):
            raise TwinError(f"{path.name} holds no settings.", "write `name: value` lines.")
        merged |= layer
    return merged


def config_hash(config: dict[str, Any]) -> str:
    """Identity of a configuration, without paths and machine facts."""
    return fingerprint({k: v for k, v in config.items() if k not in _NOT_HASHED}, 12)


def compose_config(
    profile: Profile,
    stage: TrainedStage,
    *,
    base_path: Path,
    dataset_dir: Path,
    folder: Path,
    seed: int,
    wandb_mode: str,
    wandb_project: str,
    name: str,
) -> dict[str, Any]:
    """The whole Axolotl configuration of one run, whose outputs go below `folder`."""  # fmt: skip
    import torch

    config = load_config(profile.sft_config if stage == "sft" else profile.dpo_config)
    gpu = torch.cuda.is_available()
    config |= {
        "base_model": str(base_path),
        "datasets": [_dataset(dataset_dir / "train.jsonl", stage)],
        "output_dir": str(folder / "model"),
        "dataset_prepared_path": str(folder / "prepared"),
        "seed": seed,
        "bf16": "auto" if gpu else cpu_has_bfloat16(),
        "tf32": False,
    }
    config["plugins"] = ["twin_assets.training.plugin.TwinPlugin"]
    test = dataset_dir / "test.jsonl"
    if stage == "sft" and test.stat().st_size:
        config["test_datasets"] = [_dataset(test, stage) | {"split": "train"}]
    else:
        config.pop("eval_strategy", None)
    if wandb_mode != "disabled":
        config |= {
            "use_wandb": True, "wandb_project": wandb_project, "wandb_mode": wandb_mode, "wandb_name": name,
        }  # fmt: skip
    return config


def _dataset(path: Path, stage: TrainedStage) -> dict[str, Any]:
    common = {"path": str(path), "ds_type": "json", "field_messages": "messages"}
    if stage == "sft":
        return common | {"type": "chat_template", "roles_to_train": ["assistant"], "train_on_eos": "turn"}
    fields = {"field_chosen": "chosen", "field_rejected": "rejected"}
    return common | fields | {"type": "chat_template.default", "split": "train"}
