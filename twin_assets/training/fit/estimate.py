"""What a training needs, before it starts: memory of each device, and time.

Pure: from the shape of the model, the composed Axolotl configuration and a machine. The formulas are
upper bounds for full rows; docs/training.md compares them with measurements.
"""

import math
from dataclasses import dataclass
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.models.families import Architecture
from twin_assets.core.models.profiles import Profile, load_profile, profile_names
from twin_assets.training.configs.overlays import TrainingStage, compose_overlays
from twin_assets.training.fit.gpu import fuses_loss
from twin_assets.training.fit.machine import GB, Machine
from twin_assets.training.fit.workers import least_at_once, share_batch

_ADAM = 2  # moments a parameter (Kingma and Ba 2015), in the parameter's own number format
_ADAPTER = 4 + 4 + 8  # bytes a parameter: weight, gradient and moments, all in 32 bits
# NormalFloat: 4 bits a weight, and 0.127 bits for its doubly quantised constants (Dettmers et al. 2023).
_NF4 = (4 + 0.127) / 8
_LOGITS = 4 + 4 + 4  # beside the model's own logits: 32-bit copy, its log-softmax, and the gradient
_DPO_LOGITS = 16  # more copies are alive at once; read off one run on a GPU, see docs/training.md
# What quantisation-aware training keeps of each weight for its backward pass, by the width of a weight in bytes: counted
# on torchao 0.17's rounding to 4 bits of one layer, with its groups' scales.
_ROUNDING = {2: 22.4, 4: 28.7}
_GPU_RESERVE = 2 * GB  # CUDA context, cuBLAS and NCCL workspaces
_FRAGMENTED = 1.1  # what torch's allocator holds over what is in use
# Seconds a layer in each pass over it, however few tokens there are: the GPU waits for its kernels to be launched. Read
# off one machine: an H200 beside slow cores took 0.35 s for 28 layers with LoRA, forward, again, and backward.
_LAUNCHING = 0.35 / 28 / 3
_CPU_RESERVE = 2 * GB  # Python, torch and Axolotl: 0.9 GB measured; buffers of the backward pass: up to 0.8


@dataclass(frozen=True)
class Estimate:
    """Bytes on each device at the peak of a step, and what the step computes.

    `devices` share the work; `flops_per_token` counts what the method computes. A device takes `rows` of `row_tokens`
    (of a pair, both texts) at once, in `launching` seconds at least; `packed` says that several rows of the dataset fill
    one of them.
    """

    weights: float
    trained: float
    activations: float
    logits: float
    reserve: float
    trainable: int
    flops_per_token: float
    launching: float
    rows: int
    row_tokens: int
    devices: int
    packed: bool = False

    @property
    def memory(self) -> float:
        return self.weights + self.trained + self.activations + self.logits + self.reserve

    def seconds(self, tokens: float, machine: Machine, rows: float | None = None) -> float:
        """Time to train on that many tokens, padding and all epochs counted in; they are full rows unless `rows` says
        how many.

        What computing takes, or launching where that is longer: the latter is read off one machine, see _LAUNCHING.
        """
        full = rows is None or self.packed
        batches = (tokens / self.row_tokens if full else rows or 0) / self.rows
        return max(tokens * self.flops_per_token / machine.speed, batches * self.launching) / self.devices

    def facts(self) -> dict[str, float]:
        """Gigabytes by what fills them."""
        parts = ("weights", "trained", "activations", "logits", "reserve", "memory")
        return {f"{part}_gb": round(getattr(self, part) / GB, 2) for part in parts}


def estimate(shape: Architecture, config: dict[str, Any], machine: Machine) -> Estimate:
    """What one training of a model of that shape needs of each device.

    `config` is a composed Axolotl configuration; its overlays are enough.
    """
    rank = config["lora_r"] if config.get("adapter") else 0
    method, fsdp = config.get("rl"), config.get("fsdp_config") or {}
    referred = method in ("dpo", "kto", "grpo")  # to the model of before, without its adapter or in a copy
    sharded = bool(fsdp or config.get("deepspeed"))
    shards, width = machine.devices if sharded else 1, 2 if machine.bfloat16 else 4
    trainable = _adapter_parameters(shape, rank) if rank else shape.parameters
    weights, trained = _model_bytes(shape, config, width, trainable)
    if referred and not rank:  # the frozen reference
        weights += width * shape.parameters
    if sharded:  # while a layer computes it is whole, and the next one is on its way
        weights = (
            weights / shards + 2 * width * (shape.parameters - shape.embedding_parameters) / shape.layers
        )

    rows, row_tokens = (
        config["micro_batch_size"],
        config["sequence_len"] * (2 if method in ("dpo", "orpo") else 1),
    )
    tokens = rows * row_tokens
    checkpointed = bool(config["gradient_checkpointing"] or fsdp.get("activation_checkpointing"))
    layer = _layer_bytes(shape, width, rank)
    if (
        config.get("attn_implementation") == "eager"
    ):  # a matrix of scores, of weights in 32 bits, and of weights
        layer += shape.heads * config["sequence_len"] * (2 * width + 4)
    # Korthikanti et al. 2022, section 5: with full recomputation a layer keeps its input, and one layer is open.
    stream = width if rank or sharded else 4  # the embeddings' format, see _model_bytes
    per_token = shape.layers * shape.hidden * stream + layer if checkpointed else shape.layers * layer
    if fuses_loss(config):
        logits = _fused_loss_bytes(shape, tokens, width, whole=not rank)
    else:
        logits = tokens * shape.vocabulary * _logits_width(method, width)
    used = {
        "weights": weights,
        "trained": trained / shards,
        "activations": tokens * per_token + _rounding_bytes(shape, config, width, bool(checkpointed)),
        "logits": logits,
    }
    # KTO reads each prompt with another row's text too, by the model and by its reference. GRPO writes some texts for each prompt, reads
    # them and has its reference read them.
    passes = _passes(bool(rank), checkpointed) + {"dpo": 1, "kto": 3, "grpo": 2}.get(method or "", 0)
    passes *= config["trl"]["num_generations"] if method == "grpo" else 1
    reserve = _GPU_RESERVE + (_FRAGMENTED - 1) * sum(used.values()) if machine.gpus else _CPU_RESERVE
    return Estimate(
        **used,
        reserve=reserve,
        trainable=trainable,
        flops_per_token=2 * passes * (shape.computed_parameters + shape.vocabulary * shape.hidden),
        launching=passes * shape.layers * _LAUNCHING if machine.gpus else 0.0,
        rows=rows,
        row_tokens=row_tokens,
        devices=shards,
        packed=bool(config.get("sample_packing")),
    )


def fit_batch(shape: Architecture, config: dict[str, Any], machine: Machine, workers: int) -> dict[str, int]:
    """A step's rows shared among `workers`, each with as many at once as keep its GPU computing for as long as
    launching takes, if the estimate lets so many fit in its memory.

    More would gain nothing, and rows of unequal length would be padded more.
    """
    one = estimate(shape, config | {"micro_batch_size": 1}, machine)
    enough = math.ceil(one.launching * machine.speed / (one.row_tokens * one.flops_per_token))

    def fits(rows: int) -> bool:
        at_once = estimate(shape, config | {"micro_batch_size": rows}, machine)
        return rows <= enough and at_once.memory <= machine.memory

    return share_batch(config, workers, fits)


def profile_estimates(
    profile: Profile, machine: Machine, method: TrainingStage = "dpo"
) -> dict[str, Estimate]:
    """The estimate of both stages as composed, of which `method` is the second, on a GPU the least that they need; empty when the model is made here, or of a shape that isn't known."""
    if profile.architecture is None:
        return {}
    stages: tuple[TrainingStage, ...] = ("sft", method)
    return {s: estimate(profile.architecture, _least(compose_overlays(profile, s)), machine) for s in stages}


def _least(config: dict[str, Any]) -> dict[str, Any]:
    """With no fewer rows at once than the method needs."""
    return config | {"micro_batch_size": max(config["micro_batch_size"], least_at_once(config))}


def check_fits(profile: Profile, machine: Machine, method: TrainingStage = "dpo") -> dict[str, Estimate]:
    """The estimates of both stages, if the machine can run them.

    Raises TwinError naming what is needed, what there is, and the nearest profile of the family that fits.
    """
    estimates = profile_estimates(profile, machine, method)
    refuse_unfit(profile, estimates, machine, method)
    return estimates


def refuse_unfit(
    profile: Profile, estimates: dict[str, Estimate], machine: Machine, method: TrainingStage = "dpo"
) -> None:
    """Raises the TwinError of `check_fits` for estimates that are known already."""
    if problem := problem_of(profile, estimates, machine):
        raise TwinError(
            f"The profile {profile.name} does not fit: {problem}.",
            f"set TWIN_PROFILE={nearest_that_fits(profile, machine, method)}, the nearest that fits here; or name a larger "
            "machine that will train, in TWIN_TRAINING_MACHINE.",
        )


def nearest_that_fits(profile: Profile, machine: Machine, method: TrainingStage = "dpo") -> str:
    """The largest profile of the family, no larger than this one, that fits; a size's first method first."""
    most = profile.architecture.parameters if profile.architecture else 0
    fitting = {
        p.name: p.architecture.parameters
        for p in map(load_profile, profile_names())
        if p.family == profile.family
        and p.architecture
        and p.architecture.parameters <= most
        and not problem_of(p, profile_estimates(p, machine, method), machine)
    }
    return max(fitting, key=lambda name: fitting[name]) if fitting else "nano"


def problem_of(profile: Profile, estimates: dict[str, Estimate], machine: Machine) -> str | None:
    """Why a profile with these estimates can't be trained on a machine; None when it can."""
    if profile.method == "qlora" and not machine.gpus:
        return f"QLoRA needs a GPU, and this is a {machine}"
    if profile.parallel != "single" and machine.gpus < 2:
        return f"{profile.parallel} needs several GPUs, and this is a {machine}"
    for stage, needed in estimates.items():
        if needed.memory > machine.memory:
            return (
                f"{stage} needs about {needed.memory / GB:.1f} GB{' on each GPU' if machine.gpus else ''} "
                f"(weights {needed.weights / GB:.1f}, training state {needed.trained / GB:.1f}, activations and "
                f"logits {(needed.activations + needed.logits) / GB:.1f}), and this is a {machine}"
            )
    return None


def _adapter_parameters(shape: Architecture, rank: int) -> int:
    """Two matrices of that rank beside each linear layer (Hu et al. 2021)."""
    return sum(rank * (i + o) for i, o in shape.linear_shapes)


def _model_bytes(
    shape: Architecture, config: dict[str, Any], width: int, trainable: int
) -> tuple[float, float]:
    """All weights; and what learning adds: gradients, moments, and weights kept in 32 bits beside them."""
    others = shape.parameters - shape.linear_parameters
    if config.get("adapter"):
        linear = _NF4 if config.get("load_in_4bit") else width
        return linear * shape.linear_parameters + width * others, _ADAPTER * trainable
    if config.get("deepspeed"):  # Rajbhandari et al. 2020, section 3.1: 2 + 2 + 12 bytes
        return width * shape.parameters, (2 + 12) * shape.parameters
    # On one device Axolotl keeps embeddings and norms in 32 bits, the rest in the training's format.
    held = width * shape.linear_parameters + 4 * others
    return held, (1 + _ADAM) * held


def _layer_bytes(shape: Architecture, width: int, rank: int) -> float:
    """What one layer keeps of a token for its backward pass, with fused attention (no matrix of scores).

    Counted on real layers, see docs/training.md; the norms and the input of an adapter are in 32 bits.
    """
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    mlp = shape.intermediate + shape.experts_used * shape.expert
    if rank:
        values = 38 * shape.hidden + 10 * query + 4 * key + 12 * mlp + 14 * rank
    else:
        values = 26 * shape.hidden + 4 * query + 4 * key + 8 * mlp
    return values * width / 2


def _rounding_bytes(shape: Architecture, config: dict[str, Any], width: int, checkpointed: bool) -> float:
    """What rounding the weights as they learn keeps: of all layers, or of the one that is open, and of the output layer, whose
    weights are in 32 bits where it shares them with the embeddings."""
    if not config.get("qat"):
        return 0.0
    layers = _ROUNDING[width] * shape.linear_parameters / (shape.layers if checkpointed else 1)
    return layers + _ROUNDING[4] * shape.vocabulary * shape.hidden


def _fused_loss_bytes(shape: Architecture, tokens: int, width: int, whole: bool) -> float:
    """What a fused loss holds: logits and their gradient of so many positions as have about as many of them as their hidden
    states have values (Hsu et al. 2024, section 3.2), the gradient of all hidden states, and, where the `whole` model learns, that of
    the output layer. Cut Cross Entropy holds less.
    """
    positions = 2 ** math.ceil(math.log2(max(tokens * shape.hidden / shape.vocabulary, 1)))
    output = shape.vocabulary * shape.hidden * width if whole else 0
    return positions * shape.vocabulary * (2 * width + 4) + tokens * shape.hidden * width + output


def _logits_width(method: str | None, width: int) -> int:
    """Bytes for each logit. KTO holds those of the other row's text beside its own while it compares; no run of it or of ORPO was measured."""
    if not method:
        return width + _LOGITS
    return width + _DPO_LOGITS + (width + 8 if method == "kto" else 0)


def _passes(adapter: bool, checkpointed: bool) -> int:
    """How often a token's 2 operations a parameter are computed: forward, and for each gradient (Kaplan et al. 2020).

    Frozen weights need no gradient of their own; recomputing is a forward pass.
    The embedding is looked up, not multiplied; the output layer is.
    """
    return 1 + (1 if adapter else 2) + checkpointed


def table(machine: Machine, method: TrainingStage = "dpo") -> str:
    """All profiles with a known shape on a machine, as a Markdown table: the least memory, and the time with as many
    rows at once as a training takes."""
    lines = [
        f"On {machine}:",
        "",
        f"| profile | base model | SFT GB | {method.upper()} GB | SFT minutes a million tokens | fits |",
        "|---|---|---|---|---|---|",
    ]
    for profile in map(load_profile, profile_names()):
        if profile.architecture and (estimates := profile_estimates(profile, machine, method)):
            config = compose_overlays(profile, "sft")
            if machine.gpus:
                config |= fit_batch(profile.architecture, config, machine, 1)
            minutes = estimate(profile.architecture, config, machine).seconds(1e6, machine) / 60
            sft, second = estimates["sft"], estimates[method]
            lines.append(
                f"| `{profile.name}` | {profile.base_model} | {sft.memory / GB:.1f} | {second.memory / GB:.1f} | "
                f"{minutes:.1f} | {'no' if problem_of(profile, estimates, machine) else 'yes'} |"
            )
    return "\n".join(lines)
