"""Attention for the steps that write: each key-value head is read once for all the query heads that share it.

PyTorch's own kernels take a mask, which rows of different lengths need, only with the keys and values copied for
every query head (grouped-query attention, Ainslie et al., EMNLP 2023): four times the memory traffic of a step,
for a family like Llama 3. benchmarks/serving.py `llm` has what it brings.
"""

from typing import Any

from twin_assets.core.models.attention import switch_attention

NAME = "grouped"


def use_grouped_attention(model: Any) -> None:
    """Switch a model of transformers over, unless it is set to another attention than PyTorch's (`sdpa`).

    For this process it also takes cuDNN out of PyTorch's choice: that plans anew for every length and in every thread,
    which takes longer than a step.
    """
    import torch

    if switch_attention(model, NAME, _attend):
        torch.backends.cuda.enable_cudnn_sdp(False)


def _attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """`query` has shape (rows, heads, tokens, size), `key` and `value` (rows, key-value heads, columns, size).

    A boolean `attention_mask` (rows, 1, tokens, columns) is true where a token may look, None for everywhere;
    returns (rows, tokens, heads, size).
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, tokens, size = query.shape
    # Without a mask a GPU has a kernel that shares the heads; a prompt is read by PyTorch's own everywhere.
    if tokens > 1 or (attention_mask is None and query.is_cuda) or others.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    shared = key.shape[1]
    scores = query.reshape(rows, shared, heads // shared, size) @ key.transpose(-1, -2)
    scores = scores * (size**-0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, float("-inf"))
    weights = scores.float().softmax(dim=-1).to(value.dtype)
    return (weights @ value).reshape(rows, 1, heads, size), None
