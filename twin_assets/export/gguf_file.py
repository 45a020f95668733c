"""Writes a model folder of transformers as one GGUF file, which llama.cpp, Ollama and LM Studio read.

The names and shapes are those of llama.cpp's own converter; `gguf`, its library, writes the file and quantises. One tensor is in
memory at a time. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.export.gguf_tokenizer import add_tokenizer

# What `gguf` computes by itself. K-quants are made of an f16 file by llama.cpp (`quantizer`).
FileKind = Literal["f16", "q8_0", "q4_0", "q4_1"]


class _Family(NamedTuple):
    """How llama.cpp names an architecture, and whether it turns pairs of neighbours where transformers turns halves."""

    arch: str
    pairs: bool
    qk_norm: bool = False
    qkv_bias: bool = False


# By `model_type` of config.json: nano, SmolLM2 and Llama 3 are `llama`.
FAMILIES = {
    "llama": _Family("llama", pairs=True),
    "mistral": _Family("llama", pairs=True),
    "qwen2": _Family("qwen2", pairs=False, qkv_bias=True),
    "qwen3": _Family("qwen3", pairs=False, qk_norm=True),
}
_VOCABULARY = ("token_embd.weight", "output.weight")
_QUERY_OR_KEY = re.compile(r"\.(q|k)_proj\.(?:weight|bias)$")


def write_gguf(folder: Path, target: Path, kind: FileKind, name: str, licence: str) -> None:
    """Write the model and tokenizer of `folder` to the file `target`.

    Vectors stay f32, and so does a tensor that overflows f16; a row whose length the quantisation can't divide is f16.
    Raises TwinError for a family, a shape or a tokenizer that has no counterpart in llama.cpp, naming those that have.
    """
    import gguf
    from transformers import AutoTokenizer

    config = json.loads((folder / "config.json").read_text())
    family = _family(config)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(target, family.arch)
    try:
        writer.add_name(name)
        writer.add_license(licence)
        _add_shape(writer, config)
        writer.add_file_type(gguf.LlamaFileType["MOSTLY_" + kind.upper()])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        add_tokenizer(
            writer, AutoTokenizer.from_pretrained(folder, local_files_only=True), folder, config["vocab_size"]
        )
        names = gguf.get_tensor_name_map(
            gguf.MODEL_ARCH[family.arch.upper()], config["num_hidden_layers"]
        ).get_name

        def tensors() -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
            """Name in the file, and a call that reads the values, f32."""
            if (factors := _rope_factors(config)) is not None:
                yield "rope_freqs.weight", lambda: factors
            for theirs, read in _stored(folder):
                if theirs == "lm_head.weight" and config.get("tie_word_embeddings"):
                    continue
                ours = names(theirs, try_suffixes=(".weight", ".bias"))
                if ours is None:
                    raise TwinError(
                        f"The tensor {theirs} has no place in a GGUF file of a {family.arch} model.",
                        "export it with --format merged.",
                    )
                turned = _QUERY_OR_KEY.search(theirs) if family.pairs else None
                if turned:
                    count = heads if turned[1] == "q" else kv_heads
                    yield ours, lambda read=read, count=count: _as_pairs(read(), count)  # type: ignore[misc]
                else:
                    yield ours, read

        kinds = []
        for ours, read in tensors():  # once for what stands where, once for the values
            values = read()
            kinds.append(_kind_of(ours, values, kind))
            shape = gguf.quant_shape_to_byte_shape(values.shape, kinds[-1])
            is_float = kinds[-1] in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)
            dtype = np.dtype("f4" if kinds[-1] == gguf.GGMLQuantizationType.F32 else "f2")
            size = int(np.prod(shape))
            writer.add_tensor_info(
                ours,
                values.shape if is_float else shape,
                dtype if is_float else np.dtype("u1"),
                size,
                kinds[-1],
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for (_, read), chosen in zip(tensors(), kinds, strict=True):
            writer.write_tensor_data(gguf.quants.quantize(read(), chosen))
    finally:
        writer.close()


def tensor_kinds(file: Path) -> dict[str, int]:
    """How many tensors of each kind a GGUF file holds, the commonest first."""
    from collections import Counter

    import gguf

    counted = Counter(tensor.tensor_type.name.lower() for tensor in gguf.GGUFReader(file).tensors)
    return dict(counted.most_common())


def _family(config: dict[str, Any]) -> _Family:
    kind = config["model_type"]
    family = FAMILIES.get(kind)
    if family is None:
        raise TwinError(
            f"A model of the type {kind!r} can't be written as GGUF here.",
            f"these can: {', '.join(FAMILIES)}. Export it with --format merged.",
        )
    unknown = [
        f"{name}={value}"
        for name, value in {
            "hidden_act": config.get("hidden_act", "silu"),
            "mlp_bias": config.get("mlp_bias", False),
            "attention_bias": config.get("attention_bias", False),
            "rope_type": _rope(config).get("rope_type", "default"),
            "use_sliding_window": config.get("use_sliding_window", False),
        }.items()
        if value not in {"hidden_act": ("silu",), "rope_type": ("default", "llama3")}.get(name, (False,))
    ]
    if unknown:
        raise TwinError(
            f"A {kind} model with {', '.join(unknown)} can't be written as GGUF here.",
            "export it with --format merged, and convert it with llama.cpp's convert_hf_to_gguf.py.",
        )
    return family


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary embedding's values; transformers before 5 wrote them in two places."""
    return {
        "rope_theta": config.get("rope_theta", 10_000.0),
        **(config.get("rope_scaling") or {}),
        **(config.get("rope_parameters") or {}),
    }


def _add_shape(writer: Any, config: dict[str, Any]) -> None:
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(_rope(config)["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if config.get("sliding_window") and config["model_type"] == "mistral":
        writer.add_sliding_window(config["sliding_window"])


def _rope_factors(config: dict[str, Any]) -> np.ndarray | None:
    """By what Llama 3.1 and later divide each frequency, shape (head / 2,); None where they are as they are."""
    if _rope(config).get("rope_type", "default") != "llama3":
        return None
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](AutoConfig.for_model(**config), "cpu")
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    plain = _rope(config)["rope_theta"] ** -(np.arange(0, head, 2) / head)
    return (plain / scaled.numpy()).astype(np.float32)


def _stored(folder: Path) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Every tensor of the folder's files by name."""
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise TwinError(f"{folder} has no weights (*.safetensors).", "pull or train the version again.")
    for path in files:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118, it is no dictionary
                yield name, lambda file=file, name=name: file.get_tensor(name).float().numpy()  # type: ignore[misc]


def _as_pairs(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query's or key's projection in llama.cpp's order: what stands half a head apart stands side by side."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def _kind_of(name: str, values: np.ndarray, kind: FileKind) -> Any:
    import gguf

    kinds = gguf.GGMLQuantizationType
    if values.ndim == 1 or not np.isfinite(values.astype(np.float16)).all():
        return kinds.F32
    # Four bits are too few for what every token is read from and written by.
    wanted = kinds.Q8_0 if kind.startswith("q4") and name in _VOCABULARY else kinds[kind.upper()]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if values.shape[-1] % block == 0 else kinds.F16
