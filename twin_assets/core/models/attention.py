"""Attention of one's own for a model of transformers."""

from collections.abc import Callable
from typing import Any


def switch_attention(model: Any, name: str, attend: Callable[..., tuple[Any, None]]) -> bool:
    """Have a model attend by `attend`, with masks as PyTorch's own attention (`sdpa`) has them; False, and nothing done, where the
    model is set to another attention than that."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(model.config, "_attn_implementation", None) != "sdpa":
        return False
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, sdpa_mask)
    model.set_attn_implementation(name)
    return True
