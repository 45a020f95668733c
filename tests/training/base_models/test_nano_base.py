"""The nano base model and the other ways to a base model."""

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.training_factories import TINY, profile, settings, tiny_base, tiny_text
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.training.base_models.base import ensure_base_model
from twin_assets.training.base_models.nano import NanoShape, build_nano_base, learning_rate
from twin_assets.training.base_models.nano_text import base_text

VOICE = "Don't “panic” – it’s naïve… 🦊👩🏽‍💻\n\n\tcode  = 1\r\nЖ 漢"


def test_every_character_survives_the_tokenizer_and_the_chat_template(tmp_path: Path) -> None:
    build_nano_base(tmp_path, tiny_text(), 17, 2, print, TINY)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.decode(tokenizer(VOICE).input_ids) == VOICE
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": VOICE}]
    rendered = tokenizer.apply_chat_template(chat, tokenize=False)
    assert VOICE in rendered
    ids = tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]
    assert tokenizer.decode(ids) == rendered
    assert ids.count(tokenizer.eos_token_id) == 2  # one end for each turn, as one token
    asked = tokenizer.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
    assert rendered.startswith(asked)
    assert len({tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}) == 3


def test_the_saved_model_generates_and_stops_at_the_end_of_its_turn(tmp_path: Path) -> None:
    metrics = build_nano_base(tmp_path, tiny_text(), 17, 2, print, TINY)
    model, tokenizer = (c.from_pretrained(tmp_path) for c in (AutoModelForCausalLM, AutoTokenizer))
    assert model.num_parameters() == metrics["parameters"]
    assert model.config.eos_token_id == tokenizer.eos_token_id
    ids = tokenizer("The quick", return_tensors="pt")
    assert model.generate(**ids, max_new_tokens=3, do_sample=False).shape[1] > ids["input_ids"].shape[1]


def test_the_same_seed_learns_the_same_and_another_differs(tmp_path: Path) -> None:
    losses = [
        build_nano_base(tmp_path / str(n), tiny_text(), seed, 4, print, TINY)["train_loss"]
        for n, seed in enumerate((17, 17, 18))
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0] != pytest.approx(losses[2], abs=1e-6)


def test_training_lowers_the_loss_and_says_how_far_it_is(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    metrics = build_nano_base(tmp_path, tiny_text(), 17, 60, seen.append, TINY)
    assert metrics["train_loss"] < 5.0  # ln(400) = 6.0 knows nothing
    assert seen[-1]["step"] == seen[-1]["steps"] == 60
    assert seen[-1]["eta_seconds"] == 0


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    from twin_assets.training.base_models.nano_text import BaseText

    with pytest.raises(TwinError, match="only"):
        build_nano_base(tmp_path, BaseText("Hello.", []), 17, 1, print, TINY)


def test_the_base_text_is_plenty_of_prose_and_whole_chats() -> None:
    text = base_text(17)
    assert len(text.prose.split()) > 60_000
    assert "\n****" not in text.prose
    assert len(text.chats) > 300
    assert all([m.role for m in chat] == ["system", "user", "assistant"] for chat in text.chats)
    assert text == base_text(17)


def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_tenth() -> None:
    shape = NanoShape()
    rates = [learning_rate(s, 1000, shape) for s in range(1, 1001)]
    assert max(rates) == rates[shape.warmup - 1] == shape.peak_lr
    assert rates[-1] == pytest.approx(shape.peak_lr / 10)


def test_the_base_is_built_once_and_shared(tmp_path: Path) -> None:
    first = tiny_base(settings(tmp_path))
    assert first.lineage.persona == "shared"
    assert first.metrics["steps"] == 3
    again = ensure_base_model(settings(tmp_path), profile(nano_steps=3), pytest.fail, nano_shape=TINY)
    assert again == first
    assert len(Registry(settings(tmp_path)).list()) == 1


def test_a_folder_is_taken_as_it_is_and_known_by_its_weights(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    build_nano_base(folder, tiny_text(), 17, 2, print, TINY)
    version = ensure_base_model(settings(tmp_path / "home"), profile(base_model=str(folder)), print)
    assert (version.path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    build_nano_base(folder, tiny_text(), 18, 2, print, TINY)
    changed = ensure_base_model(settings(tmp_path / "home"), profile(base_model=str(folder)), print)
    assert changed.tag != version.tag


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TwinError, match=r"tokenizer_config\.json"):
        ensure_base_model(settings(tmp_path / "home"), profile(base_model=str(tmp_path)), print)


def test_a_hub_model_that_cannot_be_fetched_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match=r"nobody-at-all/no-such-model.*profile nano"):
        ensure_base_model(settings(tmp_path), profile(base_model="nobody-at-all/no-such-model"), print)
