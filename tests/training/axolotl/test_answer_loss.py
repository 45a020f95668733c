"""With logits of the answers only, loss and gradients are those of all logits."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.core.models.tiny_llama import tiny_adapter, tiny_llama
from twin_assets.settings import ROOT
from twin_assets.training.axolotl.answer_loss import (
    AnswerLossPlugin,
    answers_of,
    learn_answers_only,
    spare_logits,
)

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


# Prompts and answers of unequal length: of the longest row no padding is left, and one pair has no prompt.
PAIRS = [
    {name: " ".join(f"ferry{n}" for n in numbers) for name, numbers in pair.items()}
    for pair in (
        {"prompt": [5, 9, 12, 7], "chosen": [30, 31], "rejected": [22, 23, 24, 25, 26]},
        {"prompt": [8, 6], "chosen": [40, 41, 42, 43], "rejected": [50]},
        {"prompt": [], "chosen": [11, 13], "rejected": [14, 15, 16, 17, 18, 19, 20, 21, 22]},
    )
]


def dpo_trainer(folder: Path, model: Any, **args: Any) -> Any:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    tokenizer.pad_token = "[UNK]"
    config = DPOConfig(
        output_dir=str(folder / "out"), use_cpu=True, report_to=[], bf16=False, gradient_checkpointing=False,
        loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.2], per_device_train_batch_size=len(PAIRS), **args,
    )  # fmt: skip
    return DPOTrainer(model, args=config, train_dataset=Dataset.from_list(PAIRS), processing_class=tokenizer)


@pytest.mark.parametrize("reference", ["the adapter's base", "written down before"])
def test_dpo_has_the_same_loss_gradients_and_measures(tmp_path: Path, reference: str) -> None:
    from axolotl.utils.dict import DictDefault

    found: list[tuple[Any, list[Any], dict[str, float]]] = []
    heads: list[list[tuple[int, ...]]] = []
    for only_answers in (False, True):
        model = adapted(tmp_path)
        trainer = dpo_trainer(tmp_path, model, precompute_ref_log_probs=reference == "written down before")
        if only_answers:
            AnswerLossPlugin().post_trainer_create(DictDefault({"rl": "dpo"}), trainer)
        heads.append([])
        model.get_base_model().lm_head.register_forward_hook(
            lambda module, given, output: heads[-1].append(tuple(output.shape))
        )
        trainer.model.train()
        [batch] = trainer.get_train_dataloader()
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.requires_grad]
        measures = {name: values[-1] for name, values in trainer._metrics["train"].items()}
        found.append((loss.detach(), gradients, measures))
    (before, old, told), (after, new, tells) = found
    torch.testing.assert_close(after, before)
    assert len(old) == len(new) > 0
    for one, other in zip(old, new, strict=True):
        torch.testing.assert_close(other, one)
    assert {"rewards/margins", "entropy", "mean_token_accuracy", "logps/chosen", "num_tokens"} <= set(told)
    assert tells == pytest.approx(told, rel=1e-4, abs=1e-5)
    # Of six rows of ten tokens each the longest answer, and one token before it, are left.
    assert set(heads[0]) == {(6, 10, 64)}
    assert set(heads[1]) == {(6, 11, 64)}


def test_what_is_cut_to_the_answers_keeps_each_answer_and_what_foretells_it() -> None:
    ids = torch.tensor([[5, 9, 12, 30, 31, 1], [8, 40, 41, 42, 1, 0], [8, 6, 7, 3, 50, 1]])
    mask = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1]])
    cut = answers_of({"input_ids": ids, "completion_mask": mask, "attention_mask": torch.ones(3, 6)})
    assert cut["completion_mask"].tolist() == [[0, 1, 1, 1, 0], [0, 1, 1, 1, 1], [0, 1, 1, 0, 0]]
    answers = [
        row[kept.bool()].tolist() for row, kept in zip(cut["input_ids"], cut["completion_mask"], strict=True)
    ]
    assert answers == [[30, 31, 1], [40, 41, 42, 1], [50, 1]]
    assert cut["input_ids"][:, 0].tolist() == [12, 8, 3]
    assert cut["attention_mask"].shape == (3, 6)  # the model reads whole rows


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
