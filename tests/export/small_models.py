"""Small random models of every family that can be exported, each with a tokenizer trained on the spot."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from tests.training.training_factories import TINY
from twin_assets.export.gguf_tokenizer import _CASELESS, _TEKKEN
from twin_assets.training.base_models.nano import train_tokenizer
from twin_assets.training.base_models.nano_text import base_text

# What cutting differs on: digits, contractions in both cases, marks, scripts without spaces, emoji, runs of space.
HARD = "It's 12345,67 o'clock — WE'LL see…  \n\n\tnaïve Ünïcödé, x+=1; 漢字かな 한국어 🦊👩🏽‍💻 ЖизньHTML5\r\n  end  "


@cache
def _tokenizer() -> Any:
    return train_tokenizer(base_text(), TINY)


LLAMA3_ROPE = {
    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip


def steps(cut: str) -> Any:
    """The pre-tokenizer that llama.cpp calls so."""
    from tokenizers import Regex, pre_tokenizers

    if cut == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if cut == "smollm":
        return pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    pattern = {"llama-bpe": _CASELESS % "{1,3}", "qwen2": _CASELESS % "", "tekken": _TEKKEN}[cut]
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def save_model(folder: Path, kind: str = "llama", cut: str = "gpt-2", **changes: Any) -> Path:
    """A random model of 2 layers whose hidden size every quantisation divides; its folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = deepcopy(_tokenizer())
    tokenizer.backend_tokenizer.pre_tokenizer = steps(cut)
    shape = {
        "vocab_size": len(tokenizer) + 4, "hidden_size": 256, "intermediate_size": 320, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, "tie_word_embeddings": True, "sliding_window": None,
    }  # fmt: skip
    config = AutoConfig.for_model(kind, **(shape | changes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():  # as far from even as a trained one, norms and biases too
            parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
