"""Models of a real shape with random weights, which need as much memory and time as trained ones, and rows for them."""

import gc
import json
import random
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from twin_assets.core.datasets.rows import Manifest, kind_for
from twin_assets.core.models.families import Architecture
from twin_assets.core.models.profiles import Profile, load_profile
from twin_assets.core.models.version import Lineage, ModelVersion
from twin_assets.training.base_models.nano import NanoShape, train_tokenizer
from twin_assets.training.base_models.nano_text import base_text

_DIFFERENT = 8  # rows that are written; more are the same again
_CLASSES = {"qwen": "Qwen3", "mistral": "Mistral"}  # by family; the rest are Llamas


def shape_of(profile: str, layers: int | None = None) -> Architecture:
    """The shape of a profile's model, or of its first layers only; `pocket` is SmolLM2-135M."""
    nano = NanoShape()
    shape = load_profile(profile).architecture or Architecture(
        hidden=nano.hidden, intermediate=nano.intermediate, layers=nano.layers, heads=nano.heads, kv_heads=nano.heads,
        head_dim=nano.hidden // nano.heads, vocabulary=nano.vocabulary, tied=True,
    )  # fmt: skip
    return shape.model_copy(update={"layers": layers or shape.layers})


def random_model(shape: Architecture, family: str | None, device: str, positions: int, **config: Any) -> Any:
    """A model in bfloat16 of the class that the family's models have, made on that device."""
    import transformers

    name = _CLASSES.get(family or "", "Llama")
    if name == "Mistral":
        config |= {"sliding_window": None}
    settings = getattr(transformers, f"{name}Config")(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim, max_position_embeddings=positions, tie_word_embeddings=shape.tied, **config,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = getattr(transformers, f"{name}ForCausalLM")._from_config(settings, dtype=torch.bfloat16)
    assert model.num_parameters() == shape.parameters, "the shape is not what the estimates count"
    return model


def base_model(profile: Profile, folder: Path, layers: int | None, positions: int) -> ModelVersion:
    """A base model of the profile's shape in a folder, as the registry would hand it out; made once."""
    shape = shape_of(profile.name, layers)
    path = folder / f"{profile.base_name}-{layers or 'all'}"
    if not (path / "config.json").is_file():
        tokenizer = train_tokenizer(base_text(), NanoShape(positions=positions))
        # A new token would need a larger embedding; the real tokenizers hold it.
        tokenizer.add_special_tokens(profile.axolotl.get("special_tokens", {}))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        ids = {f"{t}_token_id": getattr(tokenizer, f"{t}_token_id") for t in ("bos", "eos", "pad")}
        random_model(shape, profile.family, device, 2**17, **ids).save_pretrained(path)
        tokenizer.save_pretrained(path)
        if device == "cuda":  # or the model would be taken for what the training needs
            gc.collect()
            torch.cuda.empty_cache()
    lineage = Lineage(
        persona="shared", stage="base", profile=profile.base_name, config_hash="random", code_version="0", seed=0,
        prompts="none",
    )  # fmt: skip
    return ModelVersion(
        tag=lineage.tag,
        lineage=lineage,
        created_at=datetime.now(UTC),
        weights_hash="",
        path=path,
        size_bytes=0,
    )


def write_rows(stage: str, model: Path, folder: Path, count: int, tokens: int) -> tuple[Manifest, Path]:
    """A dataset whose rows have just that many tokens, or a few less: half of them asked, half answered."""
    from transformers import AutoTokenizer

    tokenizer, words = AutoTokenizer.from_pretrained(model), base_text().prose.split()
    kind = kind_for(stage)
    rng = random.Random(0)

    def turns(length: int, first: int) -> list[dict[str, str]]:
        said = words[first : first + length]
        asked, answer = said[: length // 2], said[length // 2 :]
        return [
            {"role": role, "content": " ".join(text)}
            for role, text in (("user", asked), ("assistant", answer), ("assistant", answer[::-1]))
        ]

    def fits(length: int, first: int) -> bool:
        asked, *answers = turns(length, first)
        texts = [tokenizer.apply_chat_template([asked, a], tokenize=False) for a in answers]
        return max(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"])) <= tokens

    rows: list[dict[str, Any]] = []
    for _ in range(_DIFFERENT):
        first, low, high = rng.randrange(len(words) - tokens), 2, tokens
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle, first) else (low, middle)
        asked, answer, other = turns(low, first)
        rows.append(
            {"messages": [asked, answer]} if stage == "sft"
            else {"messages": [asked], "chosen": answer, "rejected": other}
        )  # fmt: skip
    place = folder / f"{model.name}-{kind}-{count}-{tokens}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in islice(cycle(rows), count)))
    manifest = Manifest(
        persona="fit", kind=kind, version=place.name, parents={}, prompts="none", counts={"train": count}, tasks={},
        dropped={}, seed=0, license="CC0-1.0", visibility="public",
    )  # fmt: skip
    return manifest, place
