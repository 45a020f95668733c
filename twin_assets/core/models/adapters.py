"""LoRA adapters (Hu et al. 2021) as they lie in a folder: what can be kept apart from its base, and two made one.

An adapter adds to a linear layer's `W x` the product `s B A x`: `A` of shape (rank, in), `B` of shape (out, rank), `s`
one number. So a second adapter, trained on top of a first one, and the first are together one adapter on the first
one's base: `s1 B1 A1 + s2 B2 A2 = [s1 B1, s2 B2] [A1; A2]`, of the sum of their ranks.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_A, _B = ".lora_A.weight", ".lora_B.weight"
# What PEFT can train besides A and B of linear layers, each None, empty or false where it was not.
_MORE = {
    "use_dora": "DoRA's magnitudes", "modules_to_save": "whole layers (modules_to_save)", "lora_bias": "biases",
    "trainable_token_indices": "single tokens", "target_parameters": "bare parameters", "use_qalora": "QALoRA's groups",
    "layer_replication": "repeated layers", "alora_invocation_tokens": "invocation tokens", "use_bdlora": "block-diagonal factors",
    "rank_pattern": "ranks of their own for some layers", "alpha_pattern": "scales of their own for some layers",
    "fan_in_fan_out": "layers that are stored transposed", "arrow_config": "routed adapters", "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
}  # fmt: skip


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter at its top."""
    return (folder / CONFIG).is_file()


def read_config(folder: Path) -> dict[str, Any]:
    """PEFT's configuration of an adapter. Raises TwinError when it can't be read."""
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise TwinError(f"{folder / CONFIG} can't be read: {error}.", "bring the adapter again.") from None
    if not isinstance(config, dict):
        raise TwinError(f"{folder / CONFIG} holds no configuration.", "bring the adapter again.")
    return config


def scale(config: dict[str, Any]) -> float:
    """The `s` of `s B A x`; with rank stabilisation (Kalajdzievski 2023) by the root of the rank."""
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (rank**0.5 if config.get("use_rslora") else rank)


def why_not_apart(folder: Path) -> str:
    """Why an adapter has to be merged into its base: what it has besides A and B of linear layers. Empty: it can be
    kept, joined with others and served as it is."""
    from safetensors import safe_open

    config = read_config(folder)
    if (kind := config.get("peft_type")) != "LORA":
        return f"it is of the kind {kind}, not LORA"
    if found := [words for name, words in _MORE.items() if config.get(name)]:
        return f"it has {', '.join(found)}"
    if config.get("bias", "none") != "none":
        return "it has biases"
    with safe_open(folder / WEIGHTS, "pt") as tensors:
        others = [name for name in tensors.keys() if not name.endswith((_A, _B))]  # noqa: SIM118
    return f"it has tensors besides A and B of linear layers ({others[0]})" if others else ""


def read_factors(folder: Path) -> dict[str, tuple[Any, Any]]:
    """A and B by the dotted name of the layer in the base model, as they are stored: without the scale."""
    from safetensors.torch import load_file

    tensors = load_file(folder / WEIGHTS)
    names = [name.removesuffix(_A) for name in tensors if name.endswith(_A)]
    return {
        name.removeprefix("base_model.model."): (tensors[name + _A], tensors[name + _B]) for name in names
    }


def copy_adapter(source: Path, target: Path, base: str) -> None:
    """Write an adapter's two files into `target`. Where its base lay on this machine means nothing elsewhere: it is
    called by its tag."""
    shutil.copy2(source / WEIGHTS, target / WEIGHTS)
    _write_config(read_config(source), target, base)


def join_adapters(first: Path, second: Path, target: Path, base: str) -> None:
    """Write the sum of two adapters into `target` as one on `base`, the base of `first`; `second` was trained on both.

    It is exact: their scales are folded into B, in 32 bits where fewer would round. Raises TwinError when one has more
    than A and B of linear layers, or they are of other layers.
    """
    import torch
    from safetensors.torch import save_file

    for folder in (first, second):
        if reason := why_not_apart(folder):
            raise TwinError(f"The adapter in {folder} can't be joined with another: {reason}.", "merge it.")
    factors, configs = [read_factors(f) for f in (first, second)], [read_config(f) for f in (first, second)]
    if differ := sorted(factors[0].keys() ^ factors[1].keys()):
        raise TwinError(
            f"The adapters in {first} and {second} can't be joined: only one of them is of {differ[0]}.",
            "train both on the same layers, or merge the first.",
        )
    joined: dict[str, Any] = {}
    for name in factors[0]:
        (a1, b1), (a2, b2) = factors[0][name], factors[1][name]
        b = torch.cat([_scaled(b1, scale(configs[0])), _scaled(b2, scale(configs[1]))], dim=1)
        a = torch.cat([a1, a2])
        joined |= {f"base_model.model.{name}{_A}": a, f"base_model.model.{name}{_B}": b.contiguous()}
    save_file(joined, target / WEIGHTS, metadata={"format": "pt"})
    rank = sum(int(c["r"]) for c in configs)
    _write_config(configs[1] | {"r": rank, "lora_alpha": rank, "use_rslora": False}, target, base)


def _scaled(b: Any, by: float) -> Any:
    exact = b.double() * by
    narrow = exact.to(b.dtype)
    return narrow if bool((narrow.double() == exact).all()) else exact.float()


def _write_config(config: dict[str, Any], target: Path, base: str) -> None:
    written = config | {"base_model_name_or_path": base, "revision": None, "inference_mode": True}
    (target / CONFIG).write_text(json.dumps(written, indent=2))
