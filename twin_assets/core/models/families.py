"""Model families: which sizes each has, under what hub id, and the shape of each model.

One YAML file a family in training_configs/families. The shapes are there so that memory and time can be
estimated before anything is fetched.
"""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from twin_assets.settings import ROOT

FAMILIES_DIR = ROOT / "training_configs" / "families"
DEFAULT_FAMILY = "qwen"  # open, without a gate on the hub, and the one with most sizes


class Architecture(BaseModel):
    """The shape of a decoder with grouped-query attention and a gated MLP: Llama, Qwen 3 and Mistral alike.

    `tied` says that the output layer is the embedding; `qk_norm` that queries and keys are normalised.
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
        if not set(names.values()) <= set(config):
            return None
        values = {ours: config[theirs] for ours, theirs in names.items()}
        return cls(
            **values,
            head_dim=config.get("head_dim") or values["hidden"] // values["heads"],
            tied=config.get("tie_word_embeddings", False),
            qk_norm=config["model_type"].startswith("qwen3"),
        )

    @property
    def linear_shapes(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each linear layer of one block: q, k, v, o, gate, up, down."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = [(self.hidden, query), (self.hidden, key), (self.hidden, key), (query, self.hidden)]
        mlp = [(self.hidden, self.intermediate)] * 2 + [(self.intermediate, self.hidden)]
        return attention + mlp

    @property
    def linear_parameters(self) -> int:
        """Parameters of the linear layers of all blocks: what an adapter goes beside and QLoRA quantises."""
        return self.layers * sum(i * o for i, o in self.linear_shapes)

    @property
    def embedding_parameters(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        norms = self.layers * (2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)) + self.hidden
        return self.linear_parameters + self.embedding_parameters + norms


class FamilyModel(Architecture):
    """One size of a family. `id` is a hub id with an optional `@revision`, or a folder."""

    id: str


class TemplateFix(BaseModel):
    """What is changed in a model's chat template so that training and serving can't render it differently.

    `prefix` is put in front; each key of `replace` that occurs becomes its value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = ""
    replace: dict[str, str] = {}

    def apply(self, template: str) -> str:
        """The fixed template; one that is fixed already stays as it is."""
        for old, new in self.replace.items():
            template = template.replace(old, new)
        return template if template.startswith(self.prefix) else self.prefix + template


class Family(BaseModel):
    """What holds for every size of a family; `axolotl` holds further values of its configurations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    licence: str
    template: TemplateFix | None = None
    axolotl: dict[str, Any] = {}
    models: dict[str, FamilyModel]


def load_families() -> dict[str, Family]:
    """Every family by name, in alphabetical order."""
    return {
        path.stem: Family.model_validate(yaml.safe_load(path.read_text()))
        for path in sorted(FAMILIES_DIR.glob("*.yaml"))
    }
