"""Small tokenizers with each family's real special tokens and its chat template as Axolotl or TRL ships it.

No hub is reachable in tests. Every byte is a token, so any text is representable; the marks that a family's
template writes are single tokens, as in its real vocabulary.
"""

from pathlib import Path
from typing import Any

# `template` is one of Axolotl's, of TRL's with `trl:` in front, or a file here.
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen": {
        "template": "qwen3",
        "marks": ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"],
        "bos": None, "eos": "<|im_end|>", "pad": "<|endoftext|>",
    },
    "llama": {
        "template": "llama3_2_vision",  # the text part is that of the 3.1, 3.2 and 3.3 instruct models
        "marks": ["<|start_header_id|>", "<|end_header_id|>"],
        "bos": "<|begin_of_text|>", "eos": "<|eot_id|>", "pad": "<|finetune_right_pad_id|>",
    },
    "mistral": {
        "template": "mistral_v7_tekken",
        "marks": ["[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]"],
        "bos": "<s>", "eos": "</s>", "pad": "<pad>",
    },
    "mistral_v3": {
        "template": "mistral_v3_tekken",
        "marks": ["[INST]", "[/INST]"],
        "bos": "<s>", "eos": "</s>", "pad": "<pad>",
    },
    "ministral": {
        "template": "mistral_v7_tekken",  # of a system turn, users and answers Ministral 3's makes the same
        "marks": ["[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]", "[THINK]", "[/THINK]"],
        "bos": "<s>", "eos": "</s>", "pad": "<pad>",
    },
    "qwen35": {
        "template": "trl:qwen3_5_think",
        "marks": ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"],
        "bos": None, "eos": "<|im_end|>", "pad": "<|endoftext|>",
    },
    "gemma": {
        "template": "trl:gemma3",
        "marks": ["<start_of_turn>", "<end_of_turn>"],
        "bos": "<bos>", "eos": "<eos>", "pad": "<pad>",
    },
    "gptoss": {
        "template": "trl:gptoss",
        "marks": ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>"],
        "bos": "<|startoftext|>", "eos": "<|return|>", "pad": "<|endoftext|>",
    },
    "llama4": {
        "template": "llama4",
        "marks": ["<|header_start|>", "<|header_end|>"],
        "bos": "<|begin_of_text|>", "eos": "<|eot|>", "pad": "<|finetune_right_pad|>",
    },
    "smollm3": {
        "template": "smollm3.jinja",
        "marks": ["<|im_start|>", "<|im_end|>", "<think>", "</think>"],
        "bos": "<|begin_of_text|>", "eos": "<|im_end|>", "pad": "<|end_of_text|>",
    },
}  # fmt: skip


def save_tokenizer(name: str, folder: Path) -> None:
    """The tokenizer of a family, with its template untouched, in the files that a hub model has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    family = FAMILIES[name]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({letter: n for n, letter in enumerate(alphabet)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=family["bos"], eos_token=family["eos"], pad_token=family["pad"],
        additional_special_tokens=family["marks"],
        chat_template=_template(family["template"]),
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)  # fmt: skip


def _template(name: str) -> str:
    import trl
    from axolotl.utils.chat_templates import get_chat_template

    if name.endswith(".jinja"):
        return (Path(__file__).parent / name).read_text()
    if name.startswith("trl:"):
        return (Path(trl.__file__).parent / f"chat_templates/{name.removeprefix('trl:')}.jinja").read_text()
    return get_chat_template(name)


def load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
