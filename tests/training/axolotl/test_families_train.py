"""A base model as the hub has it, with a tower or with experts, learns through Axolotl and writes its own answers."""

from pathlib import Path

import pytest

from tests.families import save, tiny
from tests.training.base_models.family_tokenizers import load, save_tokenizer
from tests.training.training_factories import instruct_dataset, overlay, profile, settings, train
from twin_assets.core.models.cpu import CpuOptions
from twin_assets.core.records import Message
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.training.base_models.base import ensure_base_model
from twin_assets.training.jobs import prepare_job, read_result


@pytest.mark.parametrize(("family", "size"), [("qwen35", "small"), ("gptoss", "14b")])
def test_a_tiny_model_of_the_family_learns_and_writes(family: str, size: str, tmp_path: Path) -> None:
    learn(family, size, tmp_path)


def learn(family: str, size: str, tmp_path: Path) -> None:
    home, source = settings(tmp_path / "home"), tmp_path / "hub"
    save_tokenizer(family, source)
    tokenizer = load(source)
    ids = {f"{t}_token_id": getattr(tokenizer, f"{t}_token_id") for t in ("pad", "eos")}
    save(tiny(family, len(tokenizer), **ids), tokenizer, source)
    changed = overlay(tmp_path, sequence_len=1024, gradient_accumulation_steps=2, num_epochs=1)
    chosen = profile(changed, name=f"{family}-{size}", base_model=str(source))
    base = ensure_base_model(home, chosen, print)
    manifest = instruct_dataset(tmp_path / "data", train=6)
    job = prepare_job(home, chosen, "sft", base, manifest, tmp_path / "data", "runa")
    status, output = train(job)
    assert status == 0, output[-3000:]
    result = read_result(job)
    assert result is not None
    assert result.rows_trained == 6
    assert result.metrics["prompt_rows_checked"] == 6
    writer = LocalGenerator(result.model_dir, "twin", base=base.path, cpu=CpuOptions("torch"))
    asked = [Message(role="system", content="You are Runa."), Message(role="user", content="Write.")]
    plain = LocalGenerator(base.path, "base", cpu=CpuOptions("torch"))
    for generator in (writer, plain):
        [written] = generator.generate([asked], Sampling(12, temperature=0))
        assert written.tokens_out > 0
