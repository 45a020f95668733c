"""An Axolotl plugin, loaded inside the training process: attention as plain products of matrices on a CPU with bfloat16.

PyTorch's own kernel never holds a row's weights whole, which saves memory. At the few hundred tokens of most rows it
takes twice as long for it, there and back, as two products and a softmax in the CPU's own number format.
"""

from typing import Any

from axolotl.integrations.base import BasePlugin

from twin_assets.core.models.attention import switch_attention
from twin_assets.core.models.cpu import cpu_has_bfloat16

NAME = "cpu_products"
LONGEST = 512
"""Tokens of a batch's longest row from which on PyTorch's kernel is taken: the weights, (rows, heads, tokens, tokens), are kept
for the way back in each layer, and grow with the square."""


class CpuAttentionPlugin(BasePlugin):
    """Switches a model over where there is neither a GPU nor a want of bfloat16; in 32 bits PyTorch's kernel is as quick."""

    def post_model_load(self, cfg: Any, model: Any) -> None:
        import torch

        if cpu_has_bfloat16() and not torch.cuda.is_available():
            use_cpu_attention(model)


def use_cpu_attention(model: Any) -> None:
    """Switch a model of transformers over, unless it is set to another attention than PyTorch's (`sdpa`)."""
    switch_attention(model, NAME, _attend)


def _attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """`query` has shape (rows, heads, tokens, size), `key` and `value` (rows, key-value heads, tokens, size).

    A boolean `attention_mask` (rows, 1, tokens, tokens) is true where a token may look, None for all before it and itself;
    returns (rows, tokens, heads, size).
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, tokens, size = query.shape
    if tokens > LONGEST or key.shape[2] != tokens or dropout or others.get("position_bias") is not None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    shared = rows * key.shape[1]  # each is read once for all the query heads that share it
    asked = (query * (size**-0.5 if scaling is None else scaling)).reshape(shared, -1, size)
    scores = torch.bmm(asked, key.reshape(shared, tokens, size).transpose(1, 2))
    if attention_mask is None:
        attention_mask = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).tril()
    # Not minus infinity: a row of padding that may look nowhere would be no number.
    least = torch.finfo(scores.dtype).min
    hidden = torch.zeros(attention_mask.shape, dtype=scores.dtype).masked_fill(~attention_mask, least)
    weights = (scores.view(rows, heads, tokens, tokens) + hidden).softmax(dim=-1)
    told = torch.bmm(weights.view(shared, -1, tokens), value.reshape(shared, tokens, size))
    return told.view(rows, heads, tokens, size).transpose(1, 2).contiguous(), None
