"""Quantisation-aware training: weights are rounded while they learn, what is kept is not, and what can't be is refused."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.training.training_factories import instruct_dataset, overlay, profile, settings, tiny_base, train
from twin_assets.core.errors import TwinError
from twin_assets.core.models.families import load_families
from twin_assets.core.models.profiles import load_profile, profile_names
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.training.base_models.nano_text import base_text
from twin_assets.training.configs.overlays import compose_overlays
from twin_assets.training.jobs import finish_job, prepare_job, read_history

GROUP = 32


def round_to_4_bits(model: Any) -> Any:
    """Each linear layer's weights become the nearest of 16 even steps from their group's least to its largest."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            groups = module.weight.data.view(module.out_features, -1, GROUP)
            least = groups.amin(-1, keepdim=True)
            step = (groups.amax(-1, keepdim=True) - least) / 15
            rounded = ((groups - least) / step).round() * step + least
            module.weight = torch.nn.Parameter(rounded.view_as(module.weight))  # the embeddings' own stay
    return model


@pytest.mark.e2e
def test_what_learns_is_rounded_and_what_is_kept_is_not(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    platform, manifest = settings(tmp_path), instruct_dataset(tmp_path / "instruct", 20)
    qat = profile(overlay(tmp_path, num_epochs=1, learning_rate=0.02), name="nano-qat")
    given = (qat, "sft", tiny_base(platform), manifest, tmp_path / "instruct", "runa", {"bf16": False})
    job = prepare_job(platform, *given)
    status, output = train(job)
    assert status == 0, output
    version = finish_job(platform, job)
    model, tokenizer = (kind.from_pretrained(version.path) for kind in (AutoModelForCausalLM, AutoTokenizer))
    heldout = job.dataset_dir / "test.jsonl"
    kept = loss_of(model, tokenizer, heldout)
    rounded = loss_of(round_to_4_bits(model), tokenizer, heldout)
    told = [point.eval_loss for point in read_history(job) if point.eval_loss is not None][-1]
    assert told == pytest.approx(rounded, rel=1e-5)
    assert told != pytest.approx(kept, rel=1e-4)


def test_rounding_costs_less_after_training_with_it() -> None:
    """A small Llama with outlier channels, as large ones have, and nothing more to learn: both arms read the same rows."""
    import torch
    from axolotl.utils.quantization import convert_qat_model, prepare_model_for_qat
    from axolotl.utils.schemas.enums import TorchAOQuantDType

    from twin_assets.training.weight_grid import use_even_steps

    torch.manual_seed(0)
    base = small_llama()
    rows = torch.tensor(list((base_text().prose.encode())[:1024])).clamp(max=127).view(-1, 32)
    learn(base, rows, steps=300, rate=1e-2)
    before = loss_over(base, rows)
    give_outliers(base)
    assert loss_over(base, rows) == pytest.approx(before, rel=1e-3)

    plain, aware = deepcopy(base), deepcopy(base)
    prepare_model_for_qat(aware, TorchAOQuantDType.int4, GROUP)
    assert loss_over(aware, rows) != pytest.approx(rounded_loss(base, rows), rel=1e-2)
    assert use_even_steps(aware) == 8
    assert loss_over(aware, rows) == pytest.approx(rounded_loss(base, rows), rel=1e-3)
    for model in (plain, aware):
        learn(model, rows, steps=60, rate=1e-3)
    convert_qat_model(aware)
    assert [type(m).__name__ for m in aware.modules()] == [type(m).__name__ for m in plain.modules()]
    assert rounded_loss(aware, rows) < 0.9 * rounded_loss(plain, rows)


def small_llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, tie_word_embeddings=False,
        )
    )  # fmt: skip


def learn(model: Any, rows: Any, steps: int, rate: float) -> None:
    import torch

    chosen, optimizer = torch.Generator().manual_seed(3), torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(steps):
        batch = rows[torch.randint(len(rows), (8,), generator=chosen)]
        model(batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def give_outliers(model: Any, factor: float = 8.0) -> None:
    """Two channels of each norm's output become as much smaller as the weights that they go through become larger."""
    layer = model.model.layers[0]
    attention, mlp = layer.self_attn, layer.mlp
    for norm, after in (
        (layer.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
        (layer.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj)),
    ):
        norm.weight.data[:2] /= factor
        for linear in after:
            linear.weight.data[:, :2] *= factor


def rounded_loss(model: Any, rows: Any) -> float:
    return loss_over(round_to_4_bits(deepcopy(model)), rows)


def loss_over(model: Any, rows: Any) -> float:
    return float(model(rows, labels=rows).loss.detach())


def loss_of(model: Any, tokenizer: Any, file: Path) -> float:
    """Of the answers' tokens and the end of their turn, in nats."""
    import torch

    losses = []
    for line in file.read_text().splitlines():
        messages = json.loads(line)["messages"]
        prompt = served_prompt(tokenizer, messages[:-1])
        whole = tokenizer.apply_chat_template(messages, tokenize=False).rstrip()
        before, after = (
            tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (prompt, whole.removeprefix(prompt))
        )
        with torch.inference_mode():
            logits = model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(after), reduction="none"))
    return float(torch.cat(losses).mean())


def test_every_model_that_is_offered_for_it_divides_into_groups() -> None:
    offered = [name for name in profile_names() if load_profile(name).method == "qat"]
    assert {"nano-qat", "qwen-small-qat", "gemma-small-qat"} <= set(offered)
    assert not [
        name for name in offered if name.startswith(tuple(f for f, v in load_families().items() if v.methods))
    ]
    for name in offered:
        assert compose_overlays(load_profile(name), "sft")["qat"] == {
            "weight_dtype": "int4",
            "group_size": GROUP,
        }


@pytest.mark.parametrize(
    ("name", "values", "problem", "fix"),
    [
        ("llama-small", {"weight_dtype": "int4"}, "those of an adapter are not what is rounded", "take `qlora`"),
        ("small-full", {"group_size": 32}, "no weights rounded to None", "int4, int4 with int8"),
        ("small-full", {"weight_dtype": "int8"}, "no weights rounded to int8", "fp8 with fp8"),
        ("small-full", {"weight_dtype": "nvfp4"}, "no weights rounded to nvfp4", "ternary with int8"),
        ("small-full", {"weight_dtype": "int4", "activation_dtype": "int4"}, "activations in int4", "one of"),
        ("small-qat", {"weight_dtype": "int4", "group_size": 48}, "Groups of 48 .* 1024 inputs", "divides it"),
    ],
)  # fmt: skip
def test_what_nothing_trains_is_refused_before_anything_is_fetched(
    name: str, values: dict[str, Any], problem: str, fix: str, tmp_path: Path
) -> None:
    with pytest.raises(TwinError, match=problem) as refused:
        compose_overlays(profile(overlay(tmp_path, qat=values), name=name), "sft")
    assert fix in refused.value.fix
