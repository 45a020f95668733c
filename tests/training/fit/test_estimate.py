"""Estimates of memory and time, against what torch really holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.base_models.family_tokenizers import save_tokenizer
from tests.training.training_factories import (
    instruct_dataset,
    preference_dataset,
    profile,
    settings,
    tiny_base,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.models.families import Architecture
from twin_assets.core.models.profiles import load_profile
from twin_assets.settings import Settings
from twin_assets.training.configs.overlays import compose_config, compose_overlays
from twin_assets.training.fit.estimate import (
    check_fits,
    estimate,
    fit_batch,
    nearest_that_fits,
    profile_estimates,
    table,
)
from twin_assets.training.fit.machine import GB, Machine, parse_machine, this_machine, training_machine
from twin_assets.training.jobs import estimate_facts, job_estimate, prepare_job

LAPTOP = Machine("CPU", 0, 24 * GB, 1e11)


@pytest.mark.parametrize("name", ["qwen-8b", "llama-small", "mistral-32b"])
def test_parameters_are_those_of_the_model_class_itself(name: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen3Config

    shape = load_profile(name).architecture
    assert shape is not None
    kind: Any = {"qwen": Qwen3Config, "llama": LlamaConfig, "mistral": MistralConfig}[name.split("-")[0]]
    config = kind(
        hidden_size=shape.hidden, intermediate_size=shape.intermediate, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim,
        vocab_size=shape.vocabulary, tie_word_embeddings=shape.tied,
    )  # fmt: skip
    with torch.device("meta"):
        assert AutoModelForCausalLM.from_config(config).num_parameters() == shape.parameters


@pytest.mark.parametrize("name", ["llama-small", "llama-small-full", "llama-small-qat"])
def test_axolotls_model_holds_the_bytes_and_activations_that_are_estimated(name: str, tmp_path: Path) -> None:
    """One step of a 5M-parameter Llama, loaded by Axolotl itself: adapters in 32 bits, embeddings too."""
    import torch

    whole = name.endswith(("full", "qat"))
    shape, model, config = axolotl_model(name, tmp_path)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        if (storage := tensor.untyped_storage()).data_ptr() not in weights:
            kept[storage.data_ptr()] = storage  # held, so that its address is not given to another
        return tensor

    ids = torch.randint(0, shape.vocabulary, (config["micro_batch_size"], config["sequence_len"]))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        hidden = model.base_model(input_ids=ids) if whole else model.base_model.model.model(ids)
    activations = sum(storage.nbytes() for storage in kept.values())
    hidden.last_hidden_state.float().mean().backward()
    optimizer.step()

    expected = estimate(shape, config, Machine("CPU", 0, GB, 1e9, bfloat16=True))
    assert sum(p.numel() for p in trained) == expected.trainable
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    if not whole:  # an adapter's own weights are in the trained part of the estimate
        held -= 4 * expected.trainable
    assert held == pytest.approx(expected.weights, rel=0.01)
    state = sum(
        v.nbytes for s in optimizer.state.values() for v in s.values() if torch.is_tensor(v) and v.numel() > 1
    )
    grown = sum(p.grad.nbytes for p in trained if p.grad is not None) + state
    if not whole:
        grown += 4 * expected.trainable
        assert grown == pytest.approx(expected.trained, rel=0.01)
    else:  # the output layer has no gradient in this test
        head = 4 * 3 * shape.vocabulary * shape.hidden
        assert grown == pytest.approx(expected.trained - head, rel=0.01)
    if name.endswith(
        "qat"
    ):  # what rounding keeps is counted from above; the output layer is not part of this test
        counted = expected.activations - 28.7 * shape.vocabulary * shape.hidden
        assert 0.9 * counted < activations <= counted
    else:
        assert activations == pytest.approx(expected.activations, rel=0.05)


def axolotl_model(name: str, at: Path) -> tuple[Architecture, Any, dict[str, Any]]:
    import torch
    from axolotl.cli.config import prepare_plugins
    from axolotl.loaders import ModelLoader, load_tokenizer
    from axolotl.utils.config import normalize_config, validate_config
    from axolotl.utils.dict import DictDefault
    from transformers import LlamaConfig, LlamaForCausalLM

    save_tokenizer("llama", at / "model")
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=4096,
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            tie_word_embeddings=False,
        )
    ).to(torch.bfloat16).save_pretrained(at / "model")
    composed = compose_config(
        profile(name=name), "sft", at / "model", at, at / "out", settings(at), {"train": 1}
    ) | {"gradient_checkpointing": False, "bf16": True, "sequence_len": 1024, "use_wandb": False}
    given = DictDefault(composed)
    prepare_plugins(given)
    config = validate_config(given)
    normalize_config(config)
    model, _ = ModelLoader(config, load_tokenizer(config)).load()
    shape = Architecture.of_folder(at / "model")
    assert shape is not None
    return shape, model.train(), composed


def test_quantising_sharding_and_checkpointing_save_what_their_papers_say() -> None:
    one, eight = parse_machine("1x80"), parse_machine("8x80")
    lora = profile_estimates(load_profile("llama-70b"), one)["sft"]
    qlora = profile_estimates(load_profile("llama-70b-qlora"), one)["sft"]
    assert qlora.weights / lora.weights == pytest.approx(
        0.28, abs=0.02
    )  # 4.1 of 16 bits, but not the embeddings
    spread = profile_estimates(load_profile("llama-70b"), eight)["sft"]
    assert spread.trained == pytest.approx(lora.trained / 8)
    full = profile_estimates(load_profile("llama-8b-full"), eight)["sft"]
    assert full.weights + full.trained == pytest.approx(16 * 8.03e9 / 8, rel=0.06)  # and two whole layers
    shape = load_profile("llama-8b").architecture
    assert shape is not None
    config = compose_overlays(load_profile("llama-8b"), "sft")
    whole = estimate(shape, config | {"gradient_checkpointing": False}, one)
    some = estimate(shape, config, one)
    assert some.activations < whole.activations / 15
    assert some.flops_per_token == pytest.approx(whole.flops_per_token * 3 / 2)


def test_a_gpu_that_waits_for_kernels_is_no_faster_for_a_smaller_model() -> None:
    """Tokens a second that real steps of full rows reached on an H200: see docs/training.md."""
    h200 = parse_machine("1x150:H200")
    measured = {"small": 8690, "llama-8b": 6510}
    for name, speed in measured.items():
        one = profile_estimates(load_profile(name), h200)["sft"]
        assert 1 / 1.5 < 1e6 / one.seconds(1e6, h200) / speed < 1.5
    shape, config = load_profile("small").architecture, compose_overlays(load_profile("small"), "sft")
    assert shape is not None
    many = estimate(shape, config | fit_batch(shape, config, h200, 1), h200)
    one = estimate(shape, config, h200)
    assert many.rows == 8
    assert many.seconds(1e6, h200) < one.seconds(1e6, h200) / 4
    small = parse_machine("1x24:H200")
    assert estimate(shape, config | fit_batch(shape, config, small, 1), small).rows == 2
    large, config = load_profile("llama-8b").architecture, compose_overlays(load_profile("llama-8b"), "sft")
    assert large is not None
    assert fit_batch(large, config, h200, 1)["micro_batch_size"] == 1, "one row keeps the GPU computing"
    assert one.seconds(1e6, h200, rows=2000) > 4 * one.seconds(1e6, h200), "short rows are more launches"
    assert profile_estimates(load_profile("small"), LAPTOP)["sft"].launching == 0


def test_what_does_not_fit_is_refused_with_the_nearest_that_does() -> None:
    with pytest.raises(TwinError) as refused:
        check_fits(load_profile("qwen-14b"), parse_machine("1x44"))
    assert "qwen-14b does not fit: sft needs about 50.2 GB" in refused.value.problem
    assert "this is a 1 × A100 of 44 GB" in refused.value.problem
    assert "TWIN_PROFILE=qwen-8b-qlora," in refused.value.fix
    with pytest.raises(TwinError, match=r"fsdp2 needs several GPUs.*TWIN_PROFILE=llama-8b,"):
        check_fits(load_profile("llama-70b"), parse_machine("1x80"))
    with pytest.raises(TwinError, match=r"QLoRA needs a GPU.*TWIN_PROFILE=qwen-small,"):
        check_fits(load_profile("qwen-8b-qlora"), LAPTOP)
    with pytest.raises(TwinError, match="TWIN_PROFILE=nano"):
        check_fits(load_profile("mistral-8b"), LAPTOP)
    assert check_fits(load_profile("nano"), LAPTOP) == {}
    assert check_fits(load_profile("qwen-14b"), parse_machine("1x80")).keys() == {"sft", "dpo"}
    assert nearest_that_fits(load_profile("llama-70b-qlora"), parse_machine("8x80")) == "llama-70b"
    assert nearest_that_fits(load_profile("llama-8b-full"), parse_machine("1x80")) == "llama-8b"
    assert nearest_that_fits(load_profile("llama-small-full"), parse_machine("1x24")) == "llama-small"


def test_a_job_too_large_for_the_machine_that_trains_is_refused(tmp_path: Path) -> None:
    manifest = instruct_dataset(tmp_path / "data", train=3)
    base = tiny_base(settings(tmp_path))

    def prepared(platform: Settings) -> dict[str, Any]:
        job = prepare_job(platform, profile(), "sft", base, manifest, tmp_path / "data", "runa")
        return estimate_facts(job, training_machine(platform))

    here = prepared(settings(tmp_path))
    assert here["machine"].startswith(("CPU with", "1 ×"))
    assert 0 < here["weights_gb"] + here["logits_gb"] < here["memory_gb"]
    assert here["minutes"] >= 0
    with pytest.raises(
        TwinError, match=r"nano does not fit: sft needs about 2\.\d GB on each GPU.*1 × A100 of 1 GB"
    ):
        prepared(settings(tmp_path).model_copy(update={"training_machine": "1x1"}))


def test_a_pairs_prompt_is_read_with_either_answer(tmp_path: Path) -> None:
    manifest = preference_dataset(tmp_path / "data", train=3)
    base, data = tiny_base(settings(tmp_path)), tmp_path / "data"
    job = prepare_job(settings(tmp_path), profile(), "dpo", base, manifest, data, "runa")
    [first, *_] = (json.loads(line) for line in (data / "train.jsonl").read_text().splitlines())
    prompt = sum(len(m["content"].encode()) for m in first["messages"])
    answers = sum(len(first[side]["content"].encode()) for side in ("chosen", "rejected"))
    slow = Machine("CPU", 0, 24 * GB, 1e4)
    [needed] = job_estimate(job, slow).values()
    expected = needed.seconds(3 * (2 * prompt + answers) / 4, slow) / 60
    assert estimate_facts(job, slow)["minutes"] == pytest.approx(expected, rel=0.01)


def test_a_machine_is_read_from_its_name() -> None:
    assert parse_machine("8x80").memory == 80 * GB
    assert parse_machine("1x24:4090").speed < parse_machine("1x24").speed
    with pytest.raises(TwinError, match="8x80"):
        parse_machine("big")
    assert this_machine().memory > GB
    assert this_machine().speed > 1e8


def test_the_table_lists_every_profile_whose_shape_is_known() -> None:
    text = table(parse_machine("1x80"))
    assert "| `qwen-8b` | Qwen/Qwen3-8B |" in text
    assert text.count("\n|") == 2 + 67
