"""Packed rows: none sees another, none is left out, and they are learnt from as rows by themselves are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.data_loader import prepare_data_loader, skip_first_batches
from axolotl.monkeypatch.data.batch_dataset_fetcher import (
    apply_multipack_dataloader_patch,
    remove_multipack_dataloader_patch,
)
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM

from tests.training.training_factories import instruct_dataset, overlay, profile, settings, tiny_base, train
from twin_assets.training.configs.job import TrainingResult
from twin_assets.training.fit.gpu import gpu_values
from twin_assets.training.jobs import prepare_job, read_history, read_result
from twin_assets.training.packing import PackedBatches

LENGTHS = [9, 17, 4, 30]


def model() -> LlamaForCausalLM:
    torch.manual_seed(17)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, attn_implementation="sdpa", pad_token_id=0,
        )
    ).eval()  # fmt: skip


def rows() -> list[dict[str, list[int]]]:
    """Rows as Axolotl's datasets have them: the first half is prompt."""
    draw = torch.Generator().manual_seed(17)
    made = []
    for length in LENGTHS:
        ids = torch.randint(1, 300, (length,), generator=draw).tolist()
        labels = [-100] * (length // 2) + ids[length // 2 :]
        made.append(
            {
                "input_ids": ids,
                "labels": labels,
                "position_ids": list(range(length)),
                "attention_mask": [1] * length,
            }
        )
    return made


def packed(*dropped: str) -> dict[str, torch.Tensor]:
    """All rows in one sequence, with padding behind, as Axolotl's collator makes it."""
    from axolotl.utils.collators import V2BatchSamplerDataCollatorForSeq2Seq

    tokenizer: Any = Padding()
    collate = V2BatchSamplerDataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=64)
    return dict(collate([[{k: v for k, v in row.items() if k not in dropped} for row in rows()]]))


class Padding:
    """What a collator asks of a tokenizer."""

    padding_side = "right"

    def pad(self, features: list[dict[str, Any]], **_: Any) -> dict[str, torch.Tensor]:
        longest = max(len(f["labels"]) for f in features)
        ids = [list(f["input_ids"]) + [0] * (longest - len(f["input_ids"])) for f in features]
        whole = {
            name: torch.tensor([list(f[name]) for f in features])
            for name in ("labels", "position_ids")
            if name in features[0]
        }
        masks = {"attention_mask": torch.tensor([[1] * sum(LENGTHS) + [0] * (longest - sum(LENGTHS))])}
        return whole | {"input_ids": torch.tensor(ids)} | masks


@contextmanager
def told_where_rows_begin() -> Iterator[None]:
    """Axolotl's attention for packed rows; without a GPU it masks by the same boundaries in place of its kernel."""
    from axolotl.monkeypatch.attention.sdpa_varlen import patch_sdpa_varlen, unpatch_sdpa_varlen

    assert patch_sdpa_varlen()
    try:
        yield
    finally:
        unpatch_sdpa_varlen()


def learnt(run: Callable[[Any], Any], network: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss, and the gradient of every parameter."""
    loss = run(network)
    loss.backward()
    return float(loss.detach()), {name: p.grad for name, p in network.named_parameters()}


def by_themselves(network: Any) -> Any:
    """The mean loss of all learnt tokens, each row alone."""
    losses, tokens = [], 0
    for row in rows():
        labels = torch.tensor([row["labels"]])
        count = int((labels[:, 1:] != -100).sum())
        losses.append(network(input_ids=torch.tensor([row["input_ids"]]), labels=labels).loss * count)
        tokens += count
    return torch.stack(losses).sum() / tokens


def test_packed_rows_are_learnt_from_as_rows_by_themselves() -> None:
    alone = learnt(by_themselves, model())
    assert alone[0] > 1
    plain = learnt(lambda m: m(**packed("attention_mask"), use_cache=False).loss, model())
    with told_where_rows_begin():
        kernel = learnt(lambda m: m(**packed("attention_mask"), use_cache=False).loss, model())
    for loss, gradients in (plain, kernel):
        assert loss == pytest.approx(alone[0], abs=1e-5)
        assert max(float((gradients[n] - g).abs().max()) for n, g in alone[1].items()) < 1e-5
    # Attention that isn't told where rows begin lets each see those before it: another loss, other gradients.
    blind = learnt(lambda m: m(**packed("position_ids")).loss, model())
    assert abs(blind[0] - alone[0]) > 1e-3
    assert max(float((blind[1][n] - g).abs().max()) for n, g in alone[1].items()) > 1e-3


def test_no_row_is_left_out_and_none_comes_twice() -> None:
    lengths = [(37 * n) % 200 + 1 for n in range(101)]
    packs = PackedBatches(lengths, capacity=256, at_once=4, seed=17)
    seen = []
    for epoch in range(3):
        packs.set_epoch(epoch)
        batches = list(packs)
        assert len(batches) == len(packs)
        assert all(sum(lengths[row] for row in pack) <= 256 for batch in batches for pack in batch)
        assert sorted(row for batch in batches for pack in batch for row in pack) == list(range(101))
        seen.append(batches)
    assert seen[0] != seen[1]
    assert len(packs.packs) <= 1.1 * sum(lengths) / 256 + 1


def test_a_resumed_run_goes_on_in_the_order_of_its_epoch() -> None:
    lengths: Any = [(37 * n) % 200 + 1 for n in range(101)]
    whole = PackedBatches(lengths, capacity=256, at_once=4, seed=17)
    whole.set_epoch(2)
    expected = [[row for pack in batch for row in pack] for batch in whole][3:]
    again: Any = PackedBatches(lengths, capacity=256, at_once=4, seed=17)
    data: Any = range(101)
    loader = prepare_data_loader(
        DataLoader(data, batch_sampler=again, collate_fn=lambda rows: rows), put_on_device=False
    )
    rest = skip_first_batches(loader, 3)  # as the trainer goes on from a checkpoint
    rest.set_epoch(2)
    apply_multipack_dataloader_patch()
    try:
        assert [[row for pack in batch for row in pack] for batch in rest] == expected
    finally:
        remove_multipack_dataloader_patch()


@pytest.mark.e2e
def test_a_packed_run_learns_what_an_unpacked_one_does(tmp_path: Path) -> None:
    """Both through the platform's own path, on a CPU: Axolotl's packing, collator and attention, without its kernel."""

    def run(name: str, **values: Any) -> tuple[TrainingResult, list[float]]:
        home = tmp_path / name
        home.mkdir()
        platform = settings(home, wandb_mode="disabled")
        manifest = instruct_dataset(home / "instruct", 60)
        chosen = profile(overlay(home, num_epochs=4, learning_rate=0.01, **values))
        job = prepare_job(platform, chosen, "sft", tiny_base(platform), manifest, home / "instruct", "runa")
        status, output = train(job)
        assert status == 0, output
        result = read_result(job)
        assert result is not None
        return result, [point.loss for point in read_history(job) if point.loss is not None]

    packing = {
        "sample_packing": True, "sdpa_varlen": True, "eval_sample_packing": False, "dataloader_drop_last": False,
        "group_by_length": False,
    }  # fmt: skip
    plugins = gpu_values({"packing": packing}, ["twin_assets.training.reporter.ReporterPlugin"])["plugins"]
    # Each step has all sixty rows: what is learnt must be the same, step by step.
    alone, losses = run("alone", micro_batch_size=20, gradient_accumulation_steps=3)
    together, packed_losses = run(
        "packed",
        micro_batch_size=2,
        gradient_accumulation_steps=60,
        sequence_len=300,
        plugins=plugins,
        **packing,
    )
    assert (together.rows_trained, together.rows_dropped) == (60, 0)
    assert together.metrics["steps"] == alone.metrics["steps"] == len(packed_losses) == 4
    assert all(loss > 0.5 for loss in packed_losses), (
        "a loss of nothing is what attention without its mask has"
    )
    assert packed_losses == pytest.approx(losses, rel=0.01)
    assert losses[-1] < 0.95 * losses[0]
    assert together.metrics["eval_loss"] == pytest.approx(alone.metrics["eval_loss"], rel=0.01)
