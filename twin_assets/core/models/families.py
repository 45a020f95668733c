"""Model families: which sizes each has, under what hub id, and the shape of each model.

One YAML file a family in training_configs/families. The shapes are there so that memory and time can be
estimated before anything is fetched.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from twin_assets.settings import ROOT

FAMILIES_DIR = ROOT / "training_configs" / "families"
DEFAULT_FAMILY = "qwen"  # open, without a gate on the hub, and the one with most sizes


# A gated delta rule has this many key heads, of this size as its value heads are, and looks back over so many positions.
_DELTA_KEY_HEADS, _DELTA_HEAD, _DELTA_LOOKS_BACK, _DELTA_LAYERS = 16, 128, 4, 4


class Architecture(BaseModel):
    """The shape of a decoder with grouped-query attention and a gated MLP: Llama, Qwen 3 and Mistral alike, and what others
    have beside.

    `tied` says that the output layer is the embedding; `qk_norm` that queries and keys are normalised; `norms` are those of
    a block. With `experts`, each of the width `expert`, a token goes through `experts_used` of them, and `intermediate` is the
    MLP that all share, 0 for none (Fedus et al. 2022). With `delta_heads` three of four blocks have a gated delta rule with so
    many value heads in place of attention, and attention is gated (Yang et al. 2025, Qwen 3.5). `others` are parameters of a
    block that no formula here counts: biases, routers, sinks.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool = False
    qk_norm: bool = False
    norms: int = 2
    experts: int = 0
    experts_used: int = 0
    expert: int = 0
    delta_heads: int = 0
    others: int = 0

    @classmethod
    def of_folder(cls, folder: Path) -> "Architecture | None":
        """From the `config.json` of a model folder; None when the model is of another shape."""
        return cls.of_config(json.loads((folder / "config.json").read_text()))

    @classmethod
    def of_config(cls, config: dict[str, Any]) -> "Architecture | None":
        """From a configuration of transformers; None when the model is of another shape."""
        names = {
            "hidden": "hidden_size", "intermediate": "intermediate_size", "layers": "num_hidden_layers",
            "heads": "num_attention_heads", "kv_heads": "num_key_value_heads", "vocabulary": "vocab_size",
        }  # fmt: skip
        if not set(names.values()) <= set(config) or _has_more(config):
            return None
        values = {ours: config[theirs] for ours, theirs in names.items()}
        gemma = config["model_type"].startswith("gemma3")
        return cls(
            **values,
            head_dim=config.get("head_dim") or values["hidden"] // values["heads"],
            tied=config.get("tie_word_embeddings", gemma),
            qk_norm=gemma or config["model_type"].startswith("qwen3"),
            norms=4 if gemma else 2,
        )

    @property
    def attention_layers(self) -> int:
        """Blocks with keys and values to keep."""
        return self.layers // _DELTA_LAYERS if self.delta_heads else self.layers

    @property
    def linear_shapes(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each linear layer of all blocks, but those of experts: what adapters stand beside."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        gated = 2 if self.delta_heads else 1
        attention = [
            (self.hidden, gated * query),
            (self.hidden, key),
            (self.hidden, key),
            (query, self.hidden),
        ]
        mlp = [(self.hidden, self.intermediate)] * 2 + [(self.intermediate, self.hidden)]
        shapes = attention * self.attention_layers + (mlp * self.layers if self.intermediate else [])
        if self.delta_heads:
            value = self.delta_heads * _DELTA_HEAD
            delta = [self._delta_width, value, self.delta_heads, self.delta_heads]
            of_one = [(self.hidden, width) for width in delta] + [(value, self.hidden)]
            shapes += of_one * (self.layers - self.attention_layers)
        return shapes

    @property
    def linear_parameters(self) -> int:
        """Parameters of the linear layers of all blocks: what an adapter goes beside and QLoRA quantises."""
        return sum(i * o for i, o in self.linear_shapes)

    @property
    def expert_parameters(self) -> int:
        """Parameters of all experts of all blocks."""
        return self.layers * self.experts * 3 * self.hidden * self.expert

    @property
    def computed_parameters(self) -> int:
        """Parameters of the blocks that one token is multiplied with."""
        return self.linear_parameters + self.layers * self.experts_used * 3 * self.hidden * self.expert

    @property
    def embedding_parameters(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        norms = self.layers * self.norms * self.hidden + self.hidden
        if self.qk_norm:
            norms += self.attention_layers * 2 * self.head_dim
        if self.delta_heads:
            of_one = _DELTA_LOOKS_BACK * self._delta_width + 2 * self.delta_heads + _DELTA_HEAD
            norms += of_one * (self.layers - self.attention_layers)
        blocks = self.linear_parameters + self.expert_parameters + self.layers * self.others
        return blocks + self.embedding_parameters + norms

    @property
    def _delta_width(self) -> int:
        """Values of the queries, keys and values of a gated delta rule together."""
        return (2 * _DELTA_KEY_HEADS + self.delta_heads) * _DELTA_HEAD


def _has_more(config: dict[str, Any]) -> bool:
    """Whether a model has parts that the formula of a dense decoder does not count: experts, or layers without attention."""
    experts = config.get("num_local_experts") or config.get("num_experts")
    return bool(experts) or "linear_attention" in (config.get("layer_types") or [])


class FamilyModel(Architecture):
    """One size of a family. `id` is a hub id with an optional `@revision`, or a folder."""

    id: str


class TemplateFix(BaseModel):
    """What is changed in a model's chat template so that training and serving can't render it differently.

    `prefix` is put in front; each key of `replace` that occurs becomes its value. `end` is the token that ends an answer,
    where the tokenizer names another one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = ""
    replace: dict[str, str] = {}
    end: str | None = None

    def apply(self, template: str) -> str:
        """The fixed template; one that is fixed already stays as it is."""
        for old, new in self.replace.items():
            template = template.replace(old, new)
        return template if template.startswith(self.prefix) else self.prefix + template


class Family(BaseModel):
    """What holds for every size of a family; `axolotl` holds further values of its configurations, `methods` those that it
    can be trained with, where they are not all that a size offers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    licence: str
    template: TemplateFix | None = None
    axolotl: dict[str, Any] = {}
    methods: list[str] | None = None
    models: dict[str, FamilyModel]


def load_families() -> dict[str, Family]:
    """Every family by name, in alphabetical order."""
    return {path.stem: _family(path.read_text()) for path in sorted(FAMILIES_DIR.glob("*.yaml"))}


@lru_cache
def _family(text: str) -> Family:
    return Family.model_validate(yaml.safe_load(text))
