"""The base model that comes as a Python package: fetched by pip, unpacked, and able to write English."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.training.training_factories import profile, settings
from twin_assets.core.records import Message
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.training.base_models.base import ensure_base_model

VOICE = "Don't “panic” – it’s naïve… 🦊👩🏽‍💻\n\n\tcode  = 1024\r\nЖ 漢"


@pytest.mark.e2e
def test_the_packaged_model_keeps_every_character_and_answers_in_english(tmp_path: Path) -> None:
    version = ensure_base_model(settings(tmp_path), profile(name="pocket"), print)
    assert ensure_base_model(settings(tmp_path), profile(name="pocket"), pytest.fail) == version

    tokenizer = AutoTokenizer.from_pretrained(version.path)
    assert tokenizer.decode(tokenizer(VOICE, add_special_tokens=False).input_ids) == VOICE
    assert len({tokenizer.eos_token_id, tokenizer.pad_token_id}) == 2

    asked = [Message(role="user", content="What is the capital of France? Answer in one short sentence.")]
    answer = LocalGenerator(version.path, version.tag).generate([asked], Sampling(24, temperature=0))[0]
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"
