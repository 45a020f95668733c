"""What a configuration may ask of quantisation-aware training, so that the rest is refused before anything is fetched."""

from collections.abc import Mapping
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.models.families import Architecture

METHOD = "training_configs/methods/qat.yaml"
# What weights are rounded to, each with the format of what they are multiplied with (none: as it is): those that Axolotl 0.19
# takes in `qat:` and torchao 0.17 has a rounding for, as tried. It has none for nvfp4 and for weights of 8 bits.
KINDS: dict[str, tuple[str | None, ...]] = {
    "int4": (None, "int8", "fp8"),
    "fp8": ("fp8",),
    "mxfp4": (None,),
    "ternary": (None, "int8"),
}
_IN_GROUPS, _GROUP = "int4", 32  # weights that share a scale by groups, and Axolotl's size of one


def refuse_qat(config: Mapping[str, Any], shape: Architecture | None) -> None:
    """Raises TwinError for a training of rounded weights that Axolotl would refuse, break off, or do without rounding what
    is served. `shape` is the model's, where it is known."""
    asked = config.get("qat")
    if not asked:
        return
    if config.get("adapter"):  # Axolotl's own check looks for another name, and lets it through
        raise TwinError(
            "Quantisation-aware training rounds the weights that learn, and those of an adapter are not what is rounded "
            "when it is merged.",
            f"train the whole model so ({METHOD} does), or take `qlora`, whose adapter learns beside weights of 4 bits.",
        )
    weights, activations = (_name(asked.get(f"{of}_dtype")) for of in ("weight", "activation"))
    if activations not in KINDS.get(weights or "", ()):
        known = ", ".join(f"{w} with {a}" if a else str(w) for w, many in KINDS.items() for a in many)
        raise TwinError(
            f"Axolotl trains no weights rounded to {weights}{f' with activations in {activations}' if activations else ''}.",
            f"set weight_dtype and activation_dtype of `qat:` to one of: {known}.",
        )
    group = asked.get("group_size", _GROUP)
    if weights == _IN_GROUPS and shape and group:
        widths = {inputs for inputs, _ in shape.linear_shapes} | {shape.hidden}
        if uneven := sorted(width for width in widths if width % group):
            raise TwinError(
                f"Groups of {group} weights do not divide this model's layers, which have {uneven[0]} inputs.",
                f"set group_size of `qat:` in {METHOD} to what divides it, or train it without.",
            )


def _name(dtype: str | None) -> str | None:
    return "fp8" if dtype in ("float8", "float8_e4m3fn") else dtype
