"""Random models and rows of a real shape, with which memory and speed are measured."""

import json
from pathlib import Path

import pytest

from benchmarks.random_model import base_model, random_model, shape_of, write_rows
from twin_assets.core.models.families import Architecture
from twin_assets.core.models.profiles import load_profile
from twin_assets.training.axolotl.rows import _tokens


@pytest.mark.parametrize("name", ["small", "llama-8b", "mistral-8b", "pocket"])
def test_a_random_model_has_the_parameters_that_the_estimate_counts(name: str) -> None:
    shape = shape_of(name, layers=3)
    model = random_model(shape, load_profile(name).family, "meta", positions=1024)
    assert model.num_parameters() == shape.parameters
    assert model.config.num_hidden_layers == 3


def test_rows_fill_the_context(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    base = base_model(load_profile("nano"), tmp_path, layers=1, positions=256)
    assert Architecture.of_folder(base.path) == shape_of("nano", layers=1)
    tokenizer = AutoTokenizer.from_pretrained(base.path)
    for stage in ("sft", "dpo"):
        manifest, folder = write_rows(stage, base.path, tmp_path, count=10, tokens=256)
        rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
        assert len(rows) == manifest.counts["train"] == 10
        assert all(240 < _tokens(tokenizer, row) <= 256 for row in rows)
