"""A decoder of transformers as a graph of OpenVINO, which a CPU runs several times as fast.

Rows of different lengths are one flat list of tokens without padding; their keys and values lie in blocks that a table
names (paged attention, Kwon et al., SOSP 2023). The weights are the model's own, in its own precision. Every linear
layer takes adapters (LoRA, Hu et al. 2021) as inputs: the factors of all adapters in use one after another, and a mask
that leaves each token its own adapter's; or none, where one adapter is merged into the weights.
"""

from typing import Any, NamedTuple

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
BLOCK = 32  # tokens of a block of the cache: what OpenVINO's attention takes on CPUs
HEAD = "head"
# Under this key OpenVINO notes a conversion that it must not fold into its constant: half the memory.
_STAYS_NARROW = "decompression_0"
# Layers of a block of the decoder that have one input become one product.
_TOGETHER = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)


def why_not(model: Any) -> str:
    """Why a model can't be such a graph; empty when it can."""
    config = model.config
    if config.model_type not in FAMILIES:
        return f"its family is {config.model_type}, none of {', '.join(FAMILIES)}"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    rope = config.rope_parameters or {}
    if (kind := rope.get("rope_type", "default")) in ("dynamic", "longrope"):
        return f"its positions are {kind}, which change with the length"
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        return "only a part of each head is rotated"
    kinds, window = getattr(config, "layer_types", None) or [], getattr(config, "sliding_window", None)
    # Mistral's layers all have the window, where there is one; Qwen's say it by their kinds.
    windowed = "sliding_attention" in kinds or (config.model_type == "mistral" and window)
    if windowed and (window or 0) < config.max_position_embeddings:
        return f"it looks back {window} tokens only"
    return ""


class Shape(NamedTuple):
    layers: int
    heads: int
    kv_heads: int
    size: int  # of a head

    @classmethod
    def of(cls, model: Any) -> "Shape":
        config = model.config
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads, size)


class Product(NamedTuple):
    """Linear layers that are one product, by their dotted names, with what each gives; all take `width`.

    Its inputs are `a`, shape (parts * ranks, width), and `b`, shape (outputs of all parts, parts * ranks).
    """

    parts: dict[str, int]
    width: int


class Graph(NamedTuple):
    """An `openvino.Model`, which shares no memory with torch's, and its products by the name of their inputs."""

    model: Any
    products: dict[str, Product]


def build(model: Any, adaptable: bool = True, int8: bool = False) -> Graph:
    """The graph of a model that `why_not` has nothing against. Its inputs are what `PagedDecoder.run` gives; its output are
    the logits after the tokens at `wanted`. One that is not `adaptable` takes no adapters. With `int8` its matrices are
    whole numbers of 8 bits with a scale for each row."""
    return _Builder(model, adaptable, int8).build()


class _Builder:
    def __init__(self, model: Any, adaptable: bool, int8: bool) -> None:
        from openvino import opset13

        self._ops: Any = opset13
        self._model, self._shape, self._adaptable, self._int8 = model, Shape.of(model), adaptable, int8
        self._inputs: list[Any] = []
        self._products: dict[str, Product] = {}

    def build(self) -> Graph:
        import openvino

        ops, decoder = self._ops, self._model.model
        tokens, positions, wanted = (self._input(n, [-1], "i64") for n in ("tokens", "positions", "wanted"))
        paging = ["past_lens", "subsequence_begins", "block_indices", "block_indices_begins"]
        self._paging = [self._input(name, [-1], "i32") for name in paging]
        self._longest = self._input("max_context_len", [], "i32")
        if self._adaptable:
            mask = self._input("adapters", [-1, -1], "f32")
            self._masks = {1: mask} | {n: ops.concat([mask] * n, 1) for n in (2, 3)}
        self._first, self._second = self._integers(0), self._integers(1)
        self._unused = self._unused_inputs()
        self._rotation = self._rotated_by(positions)
        table = self._weights(decoder.embed_tokens.weight)
        hidden = ops.gather(table, tokens, self._first)
        for number, layer in enumerate(decoder.layers):
            hidden = self._block(number, layer, hidden)
        if self._adaptable:
            self._masks = {1: ops.gather(mask, wanted, self._first)}
        hidden = self._norm(ops.gather(hidden, wanted, self._first), decoder.norm.weight)
        head = self._model.lm_head
        tied = table if head.weight is decoder.embed_tokens.weight else None
        logits = self._linear(HEAD, {"lm_head": head}, hidden, tied)
        return Graph(openvino.Model([ops.result(logits)], self._inputs, "decoder"), self._products)

    def _block(self, number: int, layer: Any, hidden: Any) -> Any:
        ops, shape = self._ops, self._shape
        qkv, o, gate_up, down = (
            {f"model.layers.{number}.{name}": layer.get_submodule(name) for name in names}
            for names in _TOGETHER
        )
        normed = self._norm(hidden, layer.input_layernorm.weight)
        key_width, turned = shape.kv_heads * shape.size, (shape.heads + shape.kv_heads) * shape.size
        queries_keys, values = self._split(self._linear(f"{number}.qkv", qkv, normed), [turned, key_width])
        heads = self._reshaped(queries_keys, [-1, shape.heads + shape.kv_heads, shape.size])
        if hasattr(layer.self_attn, "q_norm"):
            heads = self._norm(heads, self._head_norms(layer.self_attn))
        queries, keys = self._split(
            self._reshaped(self._turned(heads), [-1, turned]), [turned - key_width, key_width]
        )
        attended = self._attend(number, queries, keys, values)
        hidden = ops.add(hidden, self._linear(f"{number}.o", o, attended))
        normed = self._norm(hidden, layer.post_attention_layernorm.weight)
        wide = layer.mlp.gate_proj.out_features
        gate, up = self._split(self._linear(f"{number}.gate_up", gate_up, normed), [wide, wide])
        return ops.add(hidden, self._linear(f"{number}.down", down, ops.multiply(ops.swish(gate), up)))

    def _rotated_by(self, positions: Any) -> tuple[Any, Any]:
        """What turns a head by its token's position (Su et al. 2021): cosines and signed sines, shape (tokens, 1, size)."""
        import torch

        ops, rotary = self._ops, self._model.model.rotary_emb
        rates = self._floats(torch.cat([rotary.inv_freq, rotary.inv_freq])[None, None])
        angles = ops.multiply(self._reshaped(ops.convert(positions, "f32"), [-1, 1, 1]), rates)
        scale, half = torch.tensor(rotary.attention_scaling), torch.ones(self._shape.size // 2)
        signs = self._floats(torch.cat([-half, half])[None, None] * scale)
        return ops.multiply(ops.cos(angles), self._floats(scale)), ops.multiply(ops.sin(angles), signs)

    def _turned(self, heads: Any) -> Any:
        ops, size = self._ops, self._shape.size
        cosines, sines = self._rotation
        halves = self._integers([*range(size // 2, size), *range(size // 2)])
        swapped = ops.gather(heads, halves, self._integers(2))
        return ops.add(ops.multiply(heads, cosines), ops.multiply(swapped, sines))

    def _head_norms(self, attention: Any) -> Any:
        import torch

        query, key = attention.q_norm.weight, attention.k_norm.weight
        return torch.cat([query.expand(self._shape.heads, -1), key.expand(self._shape.kv_heads, -1)])

    def _norm(self, hidden: Any, weight: Any) -> Any:
        """Root mean square normalisation (Zhang and Sennrich 2019), in the form that OpenVINO makes one operation of."""
        import numpy as np

        ops, epsilon = self._ops, np.float32(self._model.config.rms_norm_eps)
        mean = ops.reduce_mean(ops.power(hidden, np.float32(2)), self._integers([-1]), True)
        scale = ops.divide(np.float32(1), ops.sqrt(ops.add(mean, epsilon)))
        return ops.multiply(ops.multiply(hidden, scale), self._floats(weight))

    def _linear(self, name: str, layers: dict[str, Any], hidden: Any, weights: Any = None) -> Any:
        """The product of layers that have one input, and beside it that of the adapters; `weights` where they are there."""
        import torch

        ops, parts = self._ops, list(layers.values())
        if weights is None:
            whole = parts[0].weight if len(parts) == 1 else torch.cat([part.weight for part in parts])
            weights = self._weights(whole)
        output = ops.matmul(hidden, weights, False, True)
        if any(part.bias is not None for part in parts):
            biases = [torch.zeros(p.out_features) if p.bias is None else p.bias.float() for p in parts]
            output = ops.add(output, self._floats(torch.cat(biases)))
        if not self._adaptable:
            return output
        product = Product({n: p.out_features for n, p in layers.items()}, parts[0].in_features)
        self._products[name] = product
        a = self._factor(f"{name}.a", [-1, product.width])
        b = self._factor(f"{name}.b", [sum(product.parts.values()), -1])
        narrow = ops.multiply(ops.matmul(hidden, a, False, True), self._masks[len(parts)])
        return ops.add(output, ops.matmul(narrow, b, False, True))

    def _factor(self, name: str, shape: list[int]) -> Any:
        import torch

        if self._model.dtype == torch.bfloat16:
            return self._ops.convert(self._input(name, shape, "bf16"), "f32")
        return self._input(name, shape, "f32")

    def _attend(self, number: int, queries: Any, keys: Any, values: Any) -> Any:
        from openvino.op import _PagedAttentionExtension

        store = [self._input(f"{kind}_cache.{number}", [-1] * 4, "dynamic") for kind in ("key", "value")]
        before = [queries, keys, values, *store, *self._paging, *self._unused[:3], self._longest]
        attention = _PagedAttentionExtension(
            [
                given if type(given).__name__ == "Output" else given.output(0)
                for given in [*before, *self._unused[3:]]
            ]
        )
        facts = attention.get_rt_info()
        for part in ("k", "v"):
            facts[f"{part}_head_size"], facts[f"num_{part}_heads"] = self._shape.size, self._shape.kv_heads
        return attention.output(0)

    def _unused_inputs(self) -> list[Any]:
        """What the operation has besides, in its order: the scale, no window and no slopes; then nothing that drops, turns or
        weighs tokens of the cache."""
        import numpy as np

        none, no_floats = np.zeros(0, np.int32), np.zeros(0, np.float32)
        sliding = [np.float32(self._shape.size**-0.5), np.int32(0), no_floats]
        sparse = [none, none, none, no_floats, no_floats, np.int32(64), np.int32(8), no_floats]
        evicting = [np.int32(0), none, none, none]
        tokens = [none, np.zeros(0, np.uint8), none]
        return [self._ops.constant(value) for value in [*sliding, *sparse, *evicting, *tokens]]

    def _input(self, name: str, shape: list[int], kind: str) -> Any:
        import openvino

        made = self._ops.parameter(openvino.PartialShape(shape), getattr(openvino.Type, kind), name=name)
        made.output(0).set_names({name})
        self._inputs.append(made)
        return made

    def _weights(self, tensor: Any) -> Any:
        """A constant as 32-bit floats for what follows: OpenVINO computes in what it is told to."""
        import openvino
        import torch

        tensor = tensor.contiguous()
        if self._int8:
            return self._rounded(tensor)
        if tensor.dtype == torch.float32:
            return self._ops.constant(tensor.numpy())
        kind = openvino.Type.bf16 if tensor.dtype == torch.bfloat16 else openvino.Type.f16
        bits = openvino.Tensor(tensor.view(torch.int16).numpy(), list(tensor.shape), kind)
        widened = self._ops.convert(openvino.op.Constant(bits, shared_memory=False), "f32")
        widened.get_rt_info()[_STAYS_NARROW] = True
        return widened

    def _rounded(self, tensor: Any) -> Any:
        """The same of whole numbers from -127 to 127, times a scale for each output: the form that OpenVINO's products take
        as it is, so that a step reads a byte a weight."""
        import torch

        tensor = tensor.float()
        scales = tensor.abs().amax(1, keepdim=True).clamp_min(1e-30) / 127  # a row of zeros stays one
        whole = self._ops.constant((tensor / scales).round().to(torch.int8).numpy())
        return self._ops.multiply(self._ops.convert(whole, "f32"), self._ops.constant(scales.numpy()))

    def _floats(self, tensor: Any) -> Any:
        return self._ops.constant(tensor.float().numpy())

    def _integers(self, values: int | list[int]) -> Any:
        import numpy as np

        return self._ops.constant(np.array(values, dtype=np.int64))

    def _reshaped(self, node: Any, shape: list[int]) -> Any:
        return self._ops.reshape(node, self._integers(shape), False)

    def _split(self, node: Any, widths: list[int]) -> list[Any]:
        return list(self._ops.variadic_split(node, self._second, self._integers(widths)).outputs())
