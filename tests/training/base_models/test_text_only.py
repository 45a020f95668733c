"""Of a model that also sees, the language model alone is kept: the same numbers for the same text."""

import json
from pathlib import Path

import pytest
import torch

from tests.families import WITH_TOWERS, save, tiny
from tests.training.base_models.family_tokenizers import load, save_tokenizer
from tests.training.training_factories import profile, settings
from twin_assets.core.errors import TwinError
from twin_assets.training.base_models.base import ensure_base_model
from twin_assets.training.base_models.text_only import has_towers, without_towers


def hub_folder(family: str, at: Path) -> Path:
    save_tokenizer(family, at)
    return save(tiny(family, len(load(at))).eval(), load(at), at)


@pytest.mark.parametrize("family", WITH_TOWERS)
def test_the_language_model_writes_what_the_whole_one_does(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    source = hub_folder(family, tmp_path / "hub")
    before = sorted(path.name for path in source.iterdir())
    assert has_towers(source)
    out = without_towers(source, tmp_path)
    assert not has_towers(out)
    whole = AutoModelForImageTextToText.from_pretrained(source).eval()
    text = AutoModelForCausalLM.from_pretrained(out).eval()
    ids = torch.arange(3, 43).unsqueeze(0)
    with torch.inference_mode():
        torch.testing.assert_close(text(input_ids=ids).logits, whole(input_ids=ids).logits)
    names = {name for name, _ in text.named_parameters()}
    assert not [name for name in names if "vision" in name or "visual" in name or "projector" in name]
    assert len(names) < len(list(whole.named_parameters()))
    assert sorted(path.name for path in source.iterdir()) == before


@pytest.mark.parametrize("family", ["gemma", "qwen35"])
def test_a_base_with_a_tower_is_registered_as_text_with_its_fixed_template(
    family: str, tmp_path: Path
) -> None:
    source = hub_folder(family, tmp_path / "hub")
    chosen = profile(name=f"{family}-8b", base_model=str(source))
    version = ensure_base_model(settings(tmp_path / "home"), chosen, print)
    assert "text_config" not in json.loads((version.path / "config.json").read_text())
    assert load(version.path).eos_token == ("<end_of_turn>" if family == "gemma" else "<|im_end|>")
    assert load(source).eos_token == ("<eos>" if family == "gemma" else "<|im_end|>")
    assert ensure_base_model(settings(tmp_path / "home"), chosen, print) == version


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source = hub_folder("ministral", tmp_path / "hub")
    weights = load_file(source / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.1.mlp" not in name}
    assert len(kept) < len(weights)
    save_file(kept, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TwinError, match=r"lacks 3 of its weights, such as model\.layers\.1\.mlp"):
        without_towers(source, tmp_path)


def test_a_tokenizer_of_another_family_is_refused(tmp_path: Path) -> None:
    save_tokenizer("ministral", tmp_path / "hub")
    source = save(tiny("smollm3", len(load(tmp_path / "hub"))), load(tmp_path / "hub"), tmp_path / "hub")
    with pytest.raises(TwinError, match="does not know <end_of_turn>"):
        ensure_base_model(
            settings(tmp_path / "home"), profile(name="gemma-8b", base_model=str(source)), print
        )
