"""Recognises a training config that this machine cannot run, before minutes go into loading it."""

from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.training.configs.job import TrainingJob

_FLAGS = ("load_in_4bit", "load_in_8bit", "fp16", "fp8", "lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel",
          "flash_attention", "xformers_attention", "fsdp", "fsdp_config", "deepspeed")  # fmt: skip
_GPU_ATTENTION = ("flash_attention", "flex_attention", "xformers", "sage")
_GPU_OPTIMIZERS = ("8bit", "4bit", "fp8", "paged")
_GPU_PLUGINS = ("liger", "cut_cross_entropy")


def check_hardware(job: TrainingJob) -> None:
    """Raises TwinError when the config needs a GPU and the run would have none; names the settings that do."""
    import torch

    has_gpu = job.ray.gpus > 0 if job.ray else torch.cuda.is_available()
    if has_gpu or not (needs := gpu_settings(job.config)):
        return
    raise TwinError(
        f"There is no GPU here, and the training config of {job.lineage.profile} needs one: "
        f"{', '.join(f'{name}: {value}' for name, value in needs.items())}.",
        "run it where there is one (TWIN_TRAINING_RUNNER=kubernetes or ray), choose the profile nano or small, "
        "or take these settings out of the config.",
    )


def gpu_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The values of an Axolotl config that only work on a GPU."""
    needs = {name: config[name] for name in _FLAGS if config.get(name)}
    if str(config.get("attn_implementation")).startswith(_GPU_ATTENTION):
        needs["attn_implementation"] = config["attn_implementation"]
    if any(word in str(config.get("optimizer")) for word in _GPU_OPTIMIZERS):
        needs["optimizer"] = config["optimizer"]
    if plugins := [p for p in config.get("plugins", []) if any(word in p for word in _GPU_PLUGINS)]:
        needs["plugins"] = plugins
    return needs
