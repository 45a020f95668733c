"""A Llama with random weights that knows sixty words, and LoRA adapters on it, made in the test."""

from pathlib import Path
from typing import Any

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"


def tiny_llama(folder: Path, seed: int = 0, precision: str = "float32", **shape: int) -> Path:
    """A whole model with its tokenizer in `folder`; `shape` changes values of its configuration."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tiny_tokenizer(folder)
    usual = {
        "vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 128, "eos_token_id": 1,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**usual | shape, bos_token_id=None))
    model.to(getattr(torch, precision)).save_pretrained(folder)
    return folder


def tiny_tokenizer(folder: Path) -> None:
    """Its words are `ferry2` to `ferry63`; all else is unknown to it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(
        models.WordLevel({"[UNK]": 0, "[EOS]": 1} | {f"ferry{n}": n for n in range(2, 64)}, unk_token="[UNK]")
    )  # type: ignore[arg-type]
    words.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="[EOS]")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)


def tiny_adapter(
    base: Path, folder: Path, seed: int = 1, rank: int = 4, size: float = 0.5, **config: Any
) -> Path:
    """A LoRA adapter on all linear layers of `base`, its A and B random of about `size`, with the tokenizer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    values = {
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": "all-linear",
        "task_type": "CAUSAL_LM",
    } | config
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**values))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn_like(weight) * size)
    model.save_pretrained(folder)
    tiny_tokenizer(folder)
    return folder
