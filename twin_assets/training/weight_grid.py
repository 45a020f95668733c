"""An Axolotl plugin, loaded inside the training process: weights of 4 bits learn on the grid on which they are served.

Axolotl 0.19 leaves torchao's default where activations stay as they are, and that is the grid of a kernel for activations in
8-bit floats: symmetric, with the largest weight of a group cut by an eighth. What `axolotl quantize` packs of the same
configuration, and GGUF's Q4_1, has 16 even steps from a group's least to its largest weight.
"""

from typing import Any

from axolotl.integrations.base import BasePlugin


class WeightGridPlugin(BasePlugin):
    """Acts only where `qat:` rounds weights to 4 bits and nothing else; does nothing to other kinds."""

    def post_model_load(self, cfg: Any, model: Any) -> None:
        if cfg.qat and cfg.qat.activation_dtype is None:
            use_even_steps(model)


def use_even_steps(model: Any) -> int:
    """Round the weights of all layers that torchao rounds to 4 bits in even steps; returns how many layers that are."""
    import torch
    from torchao.quantization.qat.fake_quantizer import Int4WeightFakeQuantizer

    found = [module for module in model.modules() if isinstance(module, Int4WeightFakeQuantizer)]
    for quantizer in found:
        # That of the kernel which takes 16 bits; nothing else reads it.
        quantizer.config.activation_dtype = torch.bfloat16
    return len(found)
