"""With logits of the answers only, loss and gradients are those of all logits."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.core.models.tiny_llama import tiny_adapter, tiny_llama
from twin_assets.settings import ROOT
from twin_assets.training.axolotl.answer_loss import learn_answers_only, spare_logits

# Two conversations of unequal length, padded on the right; the loss is on their answers.
IDS = [[5, 9, 12, 7, 30, 31, 1], [8, 6, 40, 41, 1, 0, 0]]
LABELS = [[-100, -100, -100, -100, 30, 31, 1], [-100, -100, 40, 41, 1, -100, -100]]
MASK = [[1] * 7, [1] * 5 + [0] * 2]


def batch() -> dict[str, Any]:
    return {
        name: torch.tensor(values)
        for name, values in (("input_ids", IDS), ("labels", LABELS), ("attention_mask", MASK))
    }


def adapted(folder: Path) -> Any:
    """A base with an adapter to be trained, as Axolotl has it when the plugin is called."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_llama(folder / "base"))
    return PeftModel.from_pretrained(
        base, tiny_adapter(folder / "base", folder / "adapter"), is_trainable=True
    )


@pytest.mark.parametrize("items", [None, 4])
def test_loss_and_gradients_are_those_of_all_logits(tmp_path: Path, items: int | None) -> None:

    given = batch() | ({"num_items_in_batch": torch.tensor(items)} if items else {})
    found = []
    for only_answers in (False, True):
        model = adapted(tmp_path)
        if only_answers:
            learn_answers_only(model.get_base_model())
        loss = model(**given).loss
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.requires_grad]
        assert all(g is not None for g in gradients)
        found.append((loss.detach(), gradients))
    (before, old), (after, new) = found
    torch.testing.assert_close(after, before)
    assert len(old) == len(new) > 0
    for one, other in zip(old, new, strict=True):
        torch.testing.assert_close(other, one)


def test_only_positions_with_a_label_meet_the_vocabulary(tmp_path: Path) -> None:
    model = adapted(tmp_path)
    base = model.get_base_model()
    learn_answers_only(base)
    rows: list[int] = []
    base.lm_head.register_forward_hook(
        lambda module, given, output: rows.append(output.shape.numel() // output.shape[-1])
    )
    model(**batch())
    assert rows == [6]  # of fourteen
    del rows[:]
    without_labels = {name: value for name, value in batch().items() if name != "labels"}
    assert model(**without_labels).logits.shape == (2, 7, 64)  # as it was, for whoever wants logits


def test_axolotl_finds_it_by_the_name_in_the_configuration_and_leaves_dpo_alone(tmp_path: Path) -> None:
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.dict import DictDefault

    config = yaml.safe_load((ROOT / "training_configs" / "sizes" / "pocket.yaml").read_text())
    [name] = [plugin for plugin in config["plugins"] if "answer_loss" in plugin]
    manager = PluginManager()
    before = dict(manager.plugins)
    manager.register(name)
    try:
        for rl, has_logits in (("dpo", True), (None, False)):
            model = adapted(tmp_path)
            manager.plugins[name].post_model_load(DictDefault({"rl": rl}), model)
            assert (model(**batch()).logits is not None) == has_logits
    finally:
        manager.plugins.clear()
        manager.plugins.update(before)


def test_a_fused_loss_spares_the_logits_of_held_out_rows_too() -> None:
    given: list[dict[str, Any]] = []

    class Fused(torch.nn.Module):
        """A model whose forward is told as Liger's is."""

        def forward(self, input_ids: Any = None, labels: Any = None, skip_logits: bool | None = None) -> None:
            given.append({"labels": labels, "skip_logits": skip_logits})

    model = Fused().eval()
    spare_logits(model)
    model(input_ids=1, labels=2)
    model(input_ids=1)
    assert given == [{"labels": 2, "skip_logits": True}, {"labels": None, "skip_logits": None}]
    assert set(inspect.signature(model.forward).parameters) == {"input_ids", "labels", "skip_logits"}
