"""What a training does otherwise on a GPU than on a CPU: the same sums, sooner or in less memory.

The one place that decides it. Like the split of a step it is a matter of hardware: decided at launch, recorded in the
version's environment, never hashed. TWIN_TRAINING_GPU_OPTIONS names what may be used.
"""

from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twin_assets.settings import GpuOption
from twin_assets.training.fit.machine import Machine

_LIGER = "axolotl.integrations.liger.LigerPlugin"
_CUT = "axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin"
_PACKING = "twin_assets.training.packing.PackingPlugin"
_FUSED_LOSS = "twin_assets.training.axolotl.answer_loss.FusedLossPlugin"
_ANSWERS_ONLY = "twin_assets.training.axolotl.answer_loss.AnswerLossPlugin"

# Whose attention Axolotl's LoRA kernels can be put into, and whose norms, MLP and loss Liger replaces.
KERNEL_FAMILIES = ("llama", "mistral", "qwen3")
_WIDEST_HEAD = 256  # of the kernel behind torch.nn.attention.varlen


def gpu_options(
    config: Mapping[str, Any], parent: Path, machine: Machine, allowed: Collection[GpuOption]
) -> dict[GpuOption, dict[str, Any]]:
    """What this training uses of `allowed` on that machine: Axolotl's values by option; none on a CPU.

    `config` is the composed configuration, `parent` the folder of the model that learns. An option that the method, the
    model or the installed packages don't allow is left out, never refused: without it the same is learnt, more slowly.
    """
    if not machine.gpus:
        return {}
    model = _model_facts(parent)
    # Several processes each see a shard of the weights, or a part of the rows.
    alone = machine.gpus == 1 and not (config.get("fsdp_config") or config.get("deepspeed"))
    sft = not config.get("rl")
    chosen: dict[GpuOption, dict[str, Any]] = {}
    plain = config.get("attn_implementation") == "sdpa"
    if alone and sft and machine.bfloat16 and plain and _keeps_apart(model):
        # Several rows fill one sequence: no padding, and full batches. Attention runs over each row by itself
        # (torch.nn.attention.varlen, given where each begins). Torch's plain attention would need a matrix that masks the
        # others, and Axolotl warns that in bfloat16, before Hopper, such a training may have a loss of nothing.
        chosen["packing"] = {
            "sample_packing": True,
            "sdpa_varlen": True,
            "eval_sample_packing": False,  # the held-out loss stays that of rows by themselves, as on a CPU
            "dataloader_drop_last": False,  # what Axolotl sets with it would leave held-out rows out
            "group_by_length": False,  # against padding, of which there is none
        }
    known = model.get("model_type") in KERNEL_FAMILIES
    # The fused losses multiply with the output layer's weights outside of that layer, where shards aren't gathered, and
    # quantisation-aware training doesn't round.
    fusible = alone and sft and known and not config.get("qat")
    cut = "cut_cross_entropy" in allowed and cut_cross_entropy_installed()
    if fusible and machine.bfloat16 and cut:
        # The loss without its logits in memory (Wijmans et al. 2025): they are the second largest part of a step's.
        chosen["cut_cross_entropy"] = {"cut_cross_entropy": True}
    kernels = bool(alone and sft and known and _plain_lora(config))
    if kernels:
        # Adapter and frozen weights in one function with a backward pass by hand: less is kept, and fewer kernels are
        # launched. Preference methods switch the adapter off for their reference; Axolotl has not tested that.
        chosen["lora_kernels"] = {"lora_mlp_kernel": True, "lora_qkv_kernel": True, "lora_o_kernel": True}
    if known and find_spec("liger_kernel"):
        # Norms, rotary positions and the gated MLP as one kernel each (Hsu et al. 2024): they are bound by memory's speed.
        chosen["liger"] = {"liger_rms_norm": True, "liger_rope": True}
        if not (kernels and "lora_kernels" in allowed):  # those bring an MLP of their own
            chosen["liger"]["liger_glu_activation"] = True
        if fusible and "cut_cross_entropy" not in chosen:
            chosen["liger"]["liger_fused_linear_cross_entropy"] = True  # logits of a few positions at a time
    if config.get("optimizer") == "adamw_torch" and not config.get("deepspeed"):
        # One kernel in place of several for each tensor. ZeRO steps a copy of its own.
        chosen["fused_adamw"] = {"optimizer": "adamw_torch_fused"}
    if alone and not config.get("adapter"):
        # Only by request: rows of every length make it compile again and again, which a training of minutes does not
        # earn back, and it can't look into the kernels of the other options or of 4-bit weights.
        chosen["compile"] = {"torch_compile": True}
    return {name: values for name, values in chosen.items() if name in allowed}


def gpu_values(options: Mapping[GpuOption, Mapping[str, Any]], plugins: list[str]) -> dict[str, Any]:
    """The options as Axolotl's values, with the plugins that they need beside the config's own `plugins`."""
    values = {name: value for option in options.values() for name, value in option.items()}
    fused = fuses_loss(values)
    needed = {
        _LIGER: "liger" in options,
        _CUT: "cut_cross_entropy" in options,
        _PACKING: "packing" in options,
        _FUSED_LOSS: "liger_fused_linear_cross_entropy" in values,
    }
    # What a fused loss spares includes what that plugin spares; both would be the plugin's alone.
    kept = [plugin for plugin in plugins if not (fused and plugin == _ANSWERS_ONLY)]
    all_plugins = kept + [plugin for plugin, wanted in needed.items() if wanted]
    return values | ({"plugins": all_plugins} if all_plugins != plugins else {})


def fuses_loss(config: Mapping[str, Any]) -> bool:
    """Whether a configuration computes its loss without all logits in memory."""
    return bool(config.get("cut_cross_entropy") or config.get("liger_fused_linear_cross_entropy"))


def cut_cross_entropy_installed() -> bool:
    """Whether Axolotl's fork of Cut Cross Entropy is here; other builds know no transformers."""
    if not find_spec("cut_cross_entropy") or not find_spec("cut_cross_entropy.transformers"):
        return False
    from importlib import import_module

    return bool(getattr(import_module("cut_cross_entropy.transformers.patch"), "AXOLOTL_CCE_FORK", False))


def _model_facts(parent: Path) -> dict[str, Any]:
    """The text model's configuration with its class's defaults, which its file may leave out."""
    from transformers import AutoConfig

    facts: dict[str, Any] = (
        AutoConfig.from_pretrained(parent, local_files_only=True).get_text_config().to_dict()
    )
    return facts


def _keeps_apart(model: Mapping[str, Any]) -> bool:
    """Whether packed rows of the model go through the kernel that is told where each begins.

    Axolotl would otherwise go on with the plain attention, and say so only in its log.
    """
    head = model.get("head_dim") or model.get("hidden_size", 0) // model.get("num_attention_heads", 1)
    layers = model.get("layer_types")
    # A gated delta rule carries its state on from row to row, and a window or a chunk is counted over all of them.
    whole = set(layers) == {"full_attention"} if layers else not model.get("sliding_window")
    return bool(find_spec("torch.nn.attention.varlen")) and 0 < head <= _WIDEST_HEAD and whole


def _plain_lora(config: Mapping[str, Any]) -> bool:
    """LoRA without what its kernels do otherwise or not at all: their dropout is one draw for all adapters of an input."""
    unlike = ("lora_dropout", "peft_use_dora", "load_in_8bit", "trust_remote_code")
    return config.get("adapter") in ("lora", "qlora") and not any(config.get(name) for name in unlike)
