"""Attention as plain products gives what PyTorch's own kernel gives, there and back."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.core.models.tiny_llama import tiny_llama
from twin_assets.settings import ROOT
from twin_assets.training.axolotl.cpu_attention import LONGEST, NAME, use_cpu_attention


def passed(folder: Path, lengths: list[int], padded_left: bool, products: bool) -> tuple[Any, list[Any]]:
    """Logits of the real tokens, and all gradients, of rows that are padded to the longest."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").train()
    if products:
        use_cpu_attention(model)
        assert model.config._attn_implementation == NAME
    width = max(lengths)
    random = torch.Generator().manual_seed(3)
    ids = torch.randint(2, 64, (len(lengths), width), generator=random)
    at = torch.arange(width)
    ends = torch.tensor(lengths)[:, None]
    seen = at >= width - ends if padded_left else at < ends
    logits = model(input_ids=ids, attention_mask=seen.long()).logits[seen]
    logits.square().mean().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    return logits.detach(), gradients


@pytest.mark.parametrize("padded_left", [False, True])
@pytest.mark.parametrize("lengths", [[40], [33, 33], [40, 9, 1]])
def test_outputs_and_gradients_are_those_of_the_kernel(
    tmp_path: Path, lengths: list[int], padded_left: bool
) -> None:
    folder = tiny_llama(tmp_path)
    (kernels, old), (products, new) = (passed(folder, lengths, padded_left, p) for p in (False, True))
    torch.testing.assert_close(products, kernels)
    assert len(new) == len(old) > 0
    for one, other in zip(new, old, strict=True):
        torch.testing.assert_close(one, other)


def test_long_rows_are_left_to_the_kernel_which_keeps_no_weights(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = tiny_llama(tmp_path, max_position_embeddings=2 * LONGEST)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").train()
    use_cpu_attention(model)
    most = {}
    for tokens in (LONGEST, LONGEST + 1):
        kept: list[int] = []

        def note(tensor: torch.Tensor, kept: list[int] = kept) -> torch.Tensor:
            kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(input_ids=torch.ones(1, tokens, dtype=torch.long), logits_to_keep=1)
        most[tokens] = max(kept)
    assert most[LONGEST] == 4 * LONGEST**2  # of four heads
    assert most[LONGEST + 1] < LONGEST**2


def test_a_model_that_is_set_to_another_attention_keeps_it(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_llama(tmp_path), attn_implementation="eager")
    use_cpu_attention(model)
    assert model.config._attn_implementation == "eager"


def test_the_profile_that_trains_on_cpus_names_it_as_axolotl_finds_it() -> None:
    from axolotl.integrations.base import load_plugin

    config = yaml.safe_load((ROOT / "training_configs" / "sizes" / "pocket.yaml").read_text())
    [name] = [plugin for plugin in config["plugins"] if "cpu_attention" in plugin]
    assert type(load_plugin(name)).__name__ == "CpuAttentionPlugin"
