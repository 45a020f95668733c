"""A BERT sentence embedder as an OpenVINO model, made from its folder alone: neither torch nor sentence-transformers is asked.

The encoder is that of Devlin et al. (NAACL 2019); sentences are the mean of their tokens (Reimers and Gurevych, EMNLP 2019).
Services that only embed questions need no more, and are installed without torch.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

MODEL_FILES = ("config.json", "modules.json", "model.safetensors", "tokenizer.json")


def why_not_bert(folder: Path) -> str | None:
    """Why this folder's model can't be built here, or None. Raises OSError and ValueError where its files can't be read."""
    if missing := [name for name in MODEL_FILES if not (folder / name).is_file()]:
        return f"it is no folder with {', '.join(missing)}"
    config = _read(folder / "config.json")
    told = (
        config.get("model_type"),
        config.get("hidden_act"),
        config.get("position_embedding_type", "absolute"),
    )
    if told != ("bert", "gelu", "absolute"):
        return f"its kind of model is {'/'.join(map(str, told))}"
    parts = [module["type"].rpartition(".")[2] for module in _read(folder / "modules.json")]
    if parts not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return f"its parts are {', '.join(parts)}"
    pooling = _read(folder / _read(folder / "modules.json")[1]["path"] / "config.json")
    modes = [name for name, value in pooling.items() if name.startswith("pooling_mode_") and value is True]
    return None if modes == ["pooling_mode_mean_tokens"] else f"it pools by {', '.join(modes) or 'nothing'}"


def bert_facts(folder: Path) -> dict[str, int]:
    """How long its vectors are, and how many tokens of a text it reads."""
    config, limits = _read(folder / "config.json"), folder / "sentence_bert_config.json"
    most: int = config["max_position_embeddings"]
    told = _read(limits).get("max_seq_length") if limits.is_file() else None
    return {"dimensions": config["hidden_size"], "max_tokens": min(told or most, most)}


def build_bert(folder: Path) -> Any:
    """The `openvino.Model` of a folder that `why_not_bert` has nothing against.

    Its inputs are `input_ids` and `attention_mask`, shape (n, longest), int64. Its outputs are the unit vectors of the texts,
    shape (n, dimensions), and of their tokens, shape (n, longest, dimensions), float32.
    """
    from safetensors import safe_open

    with safe_open(str(folder / "model.safetensors"), framework="numpy") as file:
        names = {name.removeprefix("bert."): name for name in file.keys()}  # noqa: SIM118, no mapping
        return _Builder(_read(folder / "config.json"), lambda name: file.get_tensor(names[name])).build()


class _Builder:
    def __init__(self, config: dict[str, Any], tensor: Any) -> None:
        from openvino import opset13

        self._ops: Any = opset13
        self._config, self._tensor = config, tensor

    def build(self) -> Any:
        import openvino

        ops = self._ops
        tokens, mask = (self._input(name) for name in ("input_ids", "attention_mask"))
        hidden = self._embedded(tokens)
        shown = ops.convert(mask, "f32")
        hiding = ops.multiply(ops.subtract(np.float32(1), shown), np.finfo(np.float32).min)
        self._hiding = ops.unsqueeze(hiding, self._integers(1, 2))  # of every head, before every token
        for number in range(self._config["num_hidden_layers"]):
            hidden = self._layer(f"encoder.layer.{number}", hidden)
        kept = ops.unsqueeze(shown, self._integers(2))
        summed = ops.reduce_sum(ops.multiply(hidden, kept), self._integers(1), False)
        mean = ops.divide(summed, ops.reduce_sum(kept, self._integers(1), False))
        outputs = [ops.result(self._unit(mean)), ops.result(self._unit(hidden))]
        return openvino.Model(outputs, [tokens, mask], "bert")

    def _embedded(self, tokens: Any) -> Any:
        ops = self._ops
        words = ops.gather(self._weights("embeddings.word_embeddings.weight"), tokens, self._integer(0))
        length = ops.gather(ops.shape_of(tokens), self._integers(1), self._integer(0))
        table = self._weights("embeddings.position_embeddings.weight")
        places = ops.slice(table, self._integers(0), length, self._integers(1), self._integers(0))
        one_kind = ops.constant(self._floats("embeddings.token_type_embeddings.weight")[0])
        return self._norm("embeddings.LayerNorm", ops.add(ops.add(words, one_kind), places))

    def _layer(self, name: str, hidden: Any) -> Any:
        ops = self._ops
        heads = (self._heads(self._linear(f"{name}.attention.self.{part}", hidden)) for part in ("query", "key", "value"))  # fmt: skip
        attended = ops.scaled_dot_product_attention(*heads, self._hiding, causal=False)
        together = ops.reshape(
            ops.transpose(attended, self._integers(0, 2, 1, 3)),
            self._integers(0, 0, self._config["hidden_size"]),
            True,
        )
        joined = ops.add(hidden, self._linear(f"{name}.attention.output.dense", together))
        hidden = self._norm(f"{name}.attention.output.LayerNorm", joined)
        wide = ops.gelu(self._linear(f"{name}.intermediate.dense", hidden), "erf")
        return self._norm(f"{name}.output.LayerNorm", ops.add(hidden, self._linear(f"{name}.output.dense", wide)))  # fmt: skip

    def _heads(self, vectors: Any) -> Any:
        """Shape (n, heads, longest, size)."""
        count: int = self._config["num_attention_heads"]
        shape = self._integers(0, 0, count, self._config["hidden_size"] // count)
        return self._ops.transpose(self._ops.reshape(vectors, shape, True), self._integers(0, 2, 1, 3))

    def _linear(self, name: str, hidden: Any) -> Any:
        product = self._ops.matmul(hidden, self._weights(f"{name}.weight"), False, True)
        return self._ops.add(product, self._weights(f"{name}.bias"))

    def _norm(self, name: str, hidden: Any) -> Any:
        epsilon = float(self._config["layer_norm_eps"])
        centred = self._ops.mvn(hidden, self._integers(-1), True, epsilon, "inside_sqrt")
        return self._ops.add(
            self._ops.multiply(centred, self._weights(f"{name}.weight")), self._weights(f"{name}.bias")
        )

    def _unit(self, vectors: Any) -> Any:
        squared = self._ops.reduce_sum(self._ops.multiply(vectors, vectors), self._integers(-1), True)
        return self._ops.divide(vectors, self._ops.maximum(self._ops.sqrt(squared), np.float32(1e-12)))

    def _input(self, name: str) -> Any:
        made = self._ops.parameter([-1, -1], np.int64, name=name)
        made.output(0).set_names({name})
        return made

    def _weights(self, name: str) -> Any:
        return self._ops.constant(self._floats(name))

    def _floats(self, name: str) -> np.ndarray:
        values: np.ndarray = self._tensor(name).astype(np.float32)
        return values

    def _integers(self, *values: int) -> Any:
        return self._ops.constant(np.array(values, dtype=np.int64))

    def _integer(self, value: int) -> Any:
        return self._ops.constant(np.int64(value))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
