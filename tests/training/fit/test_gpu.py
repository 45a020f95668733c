"""What a GPU is used with: every combination is one that Axolotl accepts, and a CPU learns as it always did."""

import inspect
import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.training.training_factories import instruct_dataset, settings, tiny_base
from twin_assets.core.models.families import FamilyModel
from twin_assets.core.models.profiles import Profile, load_profile, profile_names
from twin_assets.settings import GpuOption, Settings
from twin_assets.training.axolotl.failures import ZERO_LOSS, broken_loss
from twin_assets.training.configs.job import RayWorkers, TrainingJob
from twin_assets.training.configs.overlays import TrainingStage, compose_config
from twin_assets.training.fit import gpu
from twin_assets.training.fit.batches import launch
from twin_assets.training.fit.estimate import estimate
from twin_assets.training.fit.machine import GB, Machine, parse_machine
from twin_assets.training.jobs import prepare_job

GPU_PROFILES = [name for name in profile_names() if load_profile(name).family]
USUAL: list[GpuOption] = Settings().training_gpu_options
ALL: tuple[GpuOption, ...] = get_args(GpuOption)
MODEL_TYPES = {
    "llama": "llama", "qwen": "qwen3", "mistral": "mistral", "ministral": "ministral3", "smollm3": "smollm3",
    "gemma": "gemma3_text", "gptoss": "gpt_oss", "llama4": "llama4_text", "qwen35": "qwen3_5_text",
}  # fmt: skip
KERNELS = (
    "llama",
    "qwen",
    "mistral",
)  # whose attention, MLP and loss Axolotl's and Liger's kernels replace here
NOT_WHOLE = (
    "gemma",
    "gptoss",
    "llama4",
    "qwen35",
)  # some layers look at a window or a chunk, or keep a state
ONE = parse_machine("1x80")
CAPABILITIES = {"bf16": True, "fp8": False, "tf32": True, "n_node": 1}


def base_folder(at: Path, profile: Profile) -> Path:
    """A folder with the config.json of a profile's base model, as far as its family's file knows it."""
    shape = profile.architecture
    assert isinstance(shape, FamilyModel)
    assert profile.family is not None
    at.mkdir(parents=True)
    facts = {
        "model_type": MODEL_TYPES[profile.family], "hidden_size": shape.hidden, "num_hidden_layers": shape.layers,
        "intermediate_size": shape.intermediate, "num_attention_heads": shape.heads, "head_dim": shape.head_dim,
        "num_key_value_heads": shape.kv_heads, "vocab_size": shape.vocabulary, "sliding_window": None,
        "tie_word_embeddings": shape.tied,
    }  # fmt: skip
    (at / "config.json").write_text(json.dumps(facts))
    return at


def composed(
    at: Path, name: str, stage: TrainingStage = "sft", **changes: Any
) -> tuple[dict[str, Any], Path]:
    profile = load_profile(name)
    base = base_folder(at / "base", profile)
    rows = {"train": 100, "test": 10}
    config = compose_config(profile, stage, base, at / "data", at / "out", settings(at), rows)
    return config | {"bf16": "auto"} | changes, base  # "auto" is what a machine with a GPU composes


def used(config: dict[str, Any], base: Path, machine: Machine, allowed: list[GpuOption]) -> dict[str, Any]:
    return config | gpu.gpu_values(gpu.gpu_options(config, base, machine, allowed), config["plugins"])


def accepted(config: dict[str, Any], machine: Machine) -> Any:
    import torch
    from axolotl.cli.config import prepare_plugins
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault

    PluginManager.get_instance().plugins.clear()  # one for the whole process, with the plugins of every test before
    given = DictDefault(config)
    prepare_plugins(given)
    return validate_config(
        given,
        capabilities=CAPABILITIES | {"n_gpu": machine.gpus, "compute_capability": "sm_86"},
        env_capabilities={"torch_version": str(torch.__version__).split("+")[0]},
    )


@pytest.mark.parametrize("stage", get_args(TrainingStage))
@pytest.mark.parametrize("name", GPU_PROFILES)
def test_axolotl_accepts_what_a_gpu_is_used_with(
    name: str, stage: TrainingStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = load_profile(name)
    machine = ONE if profile.parallel == "single" else replace(ONE, gpus=8)
    sft = profile.parallel == "single" and stage in ("cpt", "sft")
    packs, kernels = sft and profile.family not in NOT_WHOLE, sft and profile.family in KERNELS
    adapter, fused = profile.method in ("lora", "qlora"), kernels and profile.method != "qat"
    composition, base = composed(tmp_path, name, stage)
    for dropout, allowed, cut in ((0.05, USUAL, True), (0.0, list(ALL), False)):
        monkeypatch.setattr(gpu, "cut_cross_entropy_installed", lambda cut=cut: cut)
        config = composition | ({"lora_dropout": dropout} if "lora_dropout" in composition else {})
        whole = used(config, base, machine, allowed)
        known = accepted(whole, machine)
        changed = {key for key in whole if whole[key] != config.get(key)} - {"plugins"}
        assert {key: known[key] for key in changed} == {key: whole[key] for key in changed}
        assert bool(known.sample_packing) is packs
        assert known.attn_decontaminates_packing or not packs, "no row sees another"
        assert bool(known.lora_mlp_kernel) is bool(kernels and adapter and not dropout)
        assert bool(known.cut_cross_entropy) is (fused and cut)
        assert bool(known.liger_fused_linear_cross_entropy) is (fused and not cut)
        single_full = profile.parallel == "single" and not adapter
        assert bool(known.torch_compile) is (single_full and "compile" in allowed)
        assert known.optimizer == ("adamw_torch" if profile.parallel == "zero3" else "adamw_torch_fused")


def test_a_cpu_and_the_workers_of_ray_take_the_config_as_it_is(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    manifest = instruct_dataset(tmp_path / "instruct", 12)
    job = prepare_job(
        platform, load_profile("nano"), "sft", tiny_base(platform), manifest, tmp_path / "instruct", "runa"
    )
    assert job.gpu_options == tuple(USUAL)
    cpu = Machine("CPU", 0, 1000 * GB, 1e11)
    assert launch(job, cpu, 1000).values == {}
    on_ray = job.model_copy(update={"ray": RayWorkers(workers=1, gpus=1, cpus=4)})
    assert launch(on_ray, ONE, 1000).options == ()
    assert launch(job, ONE, 1000).options == ("packing", "liger", "fused_adamw")


def test_what_a_model_or_a_card_cant_do_is_left_out(tmp_path: Path) -> None:
    config, base = composed(tmp_path, "mistral-8b", lora_dropout=0.0)

    def options(machine: Machine = ONE, **changes: Any) -> set[str]:
        return set(gpu.gpu_options(config | changes, base, machine, USUAL))

    assert options() == {"packing", "liger", "lora_kernels", "fused_adamw"}
    assert options(parse_machine("1x16:T4")) == {"liger", "lora_kernels", "fused_adamw"}, (
        "no bfloat16, no kernel"
    )
    assert options(lora_dropout=0.05) == options() - {"lora_kernels"}
    assert options(peft_use_dora=True) == options() - {"lora_kernels"}
    assert options(attn_implementation="eager") == options() - {"packing"}
    assert options(optimizer="adamw_8bit") == options() - {"fused_adamw"}
    assert options(replace(ONE, gpus=2)) == {"liger", "fused_adamw"}
    # A window that slides over rows is more than the kernel is asked for here: Axolotl would take the plain attention.
    facts = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(facts | {"sliding_window": 4096}))
    assert options() == {"liger", "lora_kernels", "fused_adamw"}
    (base / "config.json").write_text('{"model_type": "gpt2"}')
    assert options() == {"fused_adamw"}, "a family whose kernels nobody looked at"
    assert gpu.gpu_options(config, base, ONE, []) == {}


def test_a_fused_loss_takes_the_place_of_the_one_of_answers_only(tmp_path: Path) -> None:
    plugins = [
        "twin_assets.training.reporter.ReporterPlugin",
        "twin_assets.training.axolotl.answer_loss.AnswerLossPlugin",
    ]
    fused = gpu.gpu_values({"liger": {"liger_fused_linear_cross_entropy": True}}, plugins)["plugins"]
    assert fused[0] == plugins[0]
    assert plugins[1] not in fused
    assert gpu.gpu_values({"fused_adamw": {"optimizer": "adamw_torch_fused"}}, plugins) == {
        "optimizer": "adamw_torch_fused"
    }


def test_a_step_of_packs_learns_from_about_as_many_rows(tmp_path: Path) -> None:
    config, base = composed(tmp_path / "small", "small")
    platform = settings(tmp_path)
    manifest = instruct_dataset(tmp_path / "instruct", 12)
    made = prepare_job(
        platform, load_profile("nano"), "sft", tiny_base(platform), manifest, tmp_path / "instruct", "runa"
    )
    job: TrainingJob = made.model_copy(update={"config": config, "parent_path": base, "rows": {"train": 500}})

    def at_once(machine: Machine, row_tokens: int) -> tuple[int, int]:
        values = job.config | launch(job, machine, row_tokens * 500).values
        assert values["sample_packing"]
        return values["micro_batch_size"], values["gradient_accumulation_steps"]

    # 16 rows of 768 tokens are 4 packs of 3,072.
    assert at_once(ONE, 768) == (4, 1)
    assert at_once(parse_machine("1x8"), 768)[0] < 4
    assert at_once(ONE, 3072) == (8, 2), "full rows are as many packs"
    assert at_once(ONE, 20) == (1, 1), "never less than one"


def test_the_estimate_knows_packs_and_a_loss_without_logits(tmp_path: Path) -> None:
    profile = load_profile("llama-8b")
    config, base = composed(tmp_path, "llama-8b")
    shape = profile.architecture
    assert shape is not None
    plain, whole = estimate(shape, config, ONE), estimate(shape, used(config, base, ONE, USUAL), ONE)
    assert (plain.packed, whole.packed) == (False, True)
    assert plain.logits == 4096 * 128256 * 14
    # 4,096 × 4,096 / 128,256 are 131 positions, of which Liger takes 256 at a time.
    assert whole.logits == 256 * 128256 * 8 + 4096 * 4096 * 2
    assert plain.memory - whole.memory == pytest.approx(1.1 * (plain.logits - whole.logits))
    full = estimate(shape, used(config | {"adapter": None}, base, ONE, USUAL), ONE)
    assert full.logits == whole.logits + 128256 * 4096 * 2
    # A thousand rows of a hundred tokens are a thousand batches, or the packs that they fill.
    fast = replace(ONE, speed=1e30)
    assert plain.seconds(1e5, fast, 1000) == pytest.approx(1000 * plain.launching)
    assert whole.seconds(1e5, fast, 1000) == pytest.approx(1e5 / 4096 * whole.launching)


@pytest.mark.parametrize("model_type", gpu.KERNEL_FAMILIES)
def test_the_kernels_know_the_families_they_are_used_with(model_type: str) -> None:
    from axolotl.monkeypatch.lora_kernels import ORIGINAL_O_CODE, QKV_PATCHES
    from axolotl.monkeypatch.utils import detab_code
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    named = inspect.signature(MODEL_TYPE_TO_APPLY_LIGER_FN[model_type]).parameters
    assert {"rope", "rms_norm", "swiglu", "fused_linear_cross_entropy"} <= set(named)
    module = import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    [attention] = [
        getattr(module, name) for name in dir(module) if name.endswith("Attention") and len(name) < 20
    ]
    source, _ = detab_code(inspect.getsource(attention.forward))
    assert any(before in source for before, _ in QKV_PATCHES)
    assert ORIGINAL_O_CODE in source
    loss = import_module(f"liger_kernel.transformers.model.{model_type}")
    assert "skip_logits" in inspect.signature(loss.lce_forward).parameters


def test_a_loss_of_nothing_is_named() -> None:
    error = broken_loss(ZERO_LOSS, 3)
    assert "step 3" in error.problem
    assert "TWIN_TRAINING_GPU_OPTIONS" in error.fix
