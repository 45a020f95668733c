"""Adapters are kept apart from their base, joined exactly, merged on demand, and never served on another base."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.core.models.tiny_llama import tiny_adapter, tiny_llama
from tests.support.models import lineage, save
from twin_assets.core.errors import TwinError
from twin_assets.core.models import whole
from twin_assets.core.models.adapters import join_adapters, read_config, read_factors, why_not_apart
from twin_assets.core.models.registry import BaseRef, ModelVersion, Registry
from twin_assets.core.models.whole import merge, whole_folder
from twin_assets.settings import Settings

IDS = torch.tensor([[5, 9, 40, 2, 17, 33]])


def logits(folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        return AutoModelForCausalLM.from_pretrained(folder)(IDS).logits


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("more", [{}, {"use_rslora": True}, {"lora_alpha": 3}])
def test_two_adapters_one_on_top_of_the_other_are_exactly_one_of_the_sum_of_their_ranks(
    tmp_path: Path, base: Path, more: dict[str, Any]
) -> None:
    first = tiny_adapter(base, tmp_path / "first", 1, 4, **more)
    (tmp_path / "sft").mkdir()
    merge(base, first, tmp_path / "sft")
    second = tiny_adapter(tmp_path / "sft", tmp_path / "second", 2, 3)
    (tmp_path / "dpo").mkdir()
    merge(tmp_path / "sft", second, tmp_path / "dpo")
    joined = tmp_path / "joined"
    joined.mkdir()
    join_adapters(first, second, joined, "twin-shared-base:1")
    shutil.copytree(
        first, joined, dirs_exist_ok=True, ignore=shutil.ignore_patterns("adapter_*", "README.md")
    )
    config = read_config(joined)
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (
        7,
        7,
        "twin-shared-base:1",
    )
    a, b = next(iter(read_factors(joined).values()))
    assert (a.shape[0], b.shape[1]) == (7, 7)
    (tmp_path / "both").mkdir()
    merge(base, joined, tmp_path / "both")
    assert torch.allclose(logits(tmp_path / "both"), logits(tmp_path / "dpo"), atol=1e-5)
    assert not torch.allclose(logits(tmp_path / "both"), logits(tmp_path / "sft"), atol=1e-2)


@pytest.mark.parametrize(
    ("more", "reason"),
    [({"use_dora": True}, "DoRA"), ({"bias": "lora_only"}, "biases"), ({"modules_to_save": ["lm_head"]}, "whole layers"),
     ({"rank_pattern": {"q_proj": 2}}, "ranks of their own")],
)  # fmt: skip
def test_what_has_more_than_two_factors_a_layer_is_not_kept_apart(
    tmp_path: Path, base: Path, more: dict[str, Any], reason: str
) -> None:
    odd, plain = tiny_adapter(base, tmp_path / "odd", **more), tiny_adapter(base, tmp_path / "plain")
    assert reason in why_not_apart(odd)
    assert why_not_apart(plain) == ""
    with pytest.raises(TwinError, match=f"can't be joined with another: it has .*{reason.split()[-1]}"):
        join_adapters(plain, odd, tmp_path, "twin-shared-base:1")


def test_adapters_of_other_layers_are_not_joined(tmp_path: Path, base: Path) -> None:
    all_layers = tiny_adapter(base, tmp_path / "all")
    some = tiny_adapter(base, tmp_path / "some", target_modules=["q_proj", "v_proj"])
    with pytest.raises(TwinError, match=r"only one of them is of model\.layers\.0\.mlp\.down_proj"):
        join_adapters(all_layers, some, tmp_path, "twin-shared-base:1")


def registered(home: Path, base: Path, number: int = 1) -> tuple[Registry, ModelVersion, ModelVersion]:
    registry = Registry(Settings(home=home))
    under = registry.save(base, lineage("base"))
    adapter = tiny_adapter(base, home / f"adapter{number}", number)
    made = registry.save(adapter, lineage("sft", under.tag, number), base=under.as_base)
    return registry, under, made


def test_an_adapter_is_a_version_that_names_its_base(tmp_path: Path, base: Path) -> None:
    registry, under, made = registered(tmp_path, base)
    assert under.base is None
    assert registry.get(made.tag).base == BaseRef(tag=under.tag, weights_hash=under.weights_hash)
    assert json.loads((made.path / "version.json").read_text())["base"]["tag"] == under.tag
    assert registry.base_of(made) == under
    assert registry.base_of(under) is None
    card = (made.path / "README.md").read_text()
    assert "LoRA adapter of rank 4" in card
    assert f"stands on | {under.tag}, weights {under.weights_hash}" in card
    assert made.size_bytes < under.size_bytes


def test_another_base_under_the_same_name_is_refused_with_both_named(tmp_path: Path, base: Path) -> None:
    _, under, made = registered(tmp_path / "here", base)
    there = Registry(Settings(home=tmp_path / "there"))
    with pytest.raises(
        TwinError, match=f"is an adapter on {under.tag} with .* which this registry doesn't have"
    ):
        there.base_of(made)
    other = there.save(tiny_llama(tmp_path / "other", seed=5), lineage("base"))
    assert other.tag == under.tag
    with pytest.raises(
        TwinError, match=f"weights {under.weights_hash}; {other.tag} has the weights {other.weights_hash}"
    ):
        there.base_of(made)
    # The same weights under another name are the same base.
    renamed = there.save(base, lineage("base", number=7))
    assert there.base_of(made) == renamed


def test_a_version_of_an_earlier_registry_is_a_whole_model(tmp_path: Path) -> None:
    version = save(Registry(Settings(home=tmp_path)), tmp_path / "old", lineage("sft"))
    assert "base" not in (version.path / "model.yaml").read_text().split("metadata:")[1].split("context:")[
        0
    ].replace("base_model", "")
    assert version.base is None
    assert whole_folder(Settings(home=tmp_path), version) == version.path


def test_a_whole_model_is_merged_once_and_the_least_used_of_many_goes(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    registry, under, made = registered(tmp_path, base)
    folder = whole_folder(settings, made)
    assert folder.is_relative_to(settings.cache_dir)
    merged = logits(folder)
    assert not torch.allclose(merged, logits(under.path), atol=1e-2)
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert whole_folder(settings, made) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp, "it was merged again"
    others = [folder.parent / f"older{n}" for n in range(4)]
    for age, other in enumerate(others):
        other.mkdir()
        os.utime(other, (time.time() - 7200 - age,) * 2)
    left = folder.parent / "making-left"
    left.mkdir()
    os.utime(left, (1, 1))
    whole_folder(settings, made)
    kept = sorted(p.name for p in folder.parent.iterdir() if p.is_dir())
    assert kept == sorted([folder.name, "older0", "older1"])
    registry.delete(made.tag)
    assert not folder.exists()


def test_a_merge_that_fails_is_named_and_leaves_nothing(tmp_path: Path, base: Path) -> None:
    settings = Settings(home=tmp_path)
    registry, _, made = registered(tmp_path, base)
    (made.path / "adapter_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(TwinError, match=f"Merging {made.tag} into its base failed"):
        whole_folder(settings, made)
    place = registry.whole_place(made)
    assert [p.name for p in place.parent.iterdir()] == ["merge.lock"]
    killed: Any = subprocess.CompletedProcess([], -9, "", "")
    assert "ran out of memory" in whole._failure(killed, made).problem
