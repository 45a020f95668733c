"""A tokenizer of transformers in a GGUF file: byte-level BPE, as llama.cpp's `gpt2` vocabularies are."""

import json
from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError

_CASELESS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# How text is cut before its merges, and llama.cpp's name for it. By what tokenizer.json says, not by a model's name: SmolLM2
# as our package has it doesn't keep digits apart, as its original did.
_BY_PATTERN = {_CASELESS % "{1,3}": "llama-bpe", _CASELESS % "": "qwen2", _TEKKEN: "tekken"}
_BY_STEPS = {("ByteLevel",): "gpt-2", ("Digits", "ByteLevel"): "smollm"}


def add_tokenizer(writer: Any, tokenizer: Any, folder: Path, vocabulary: int) -> None:
    """Tokens, merges, kinds of tokens, special tokens and chat template.

    Raises TwinError for what is no byte-level BPE, and for one whose cutting of words llama.cpp has no name for.
    """
    import gguf

    told = json.loads(tokenizer.backend_tokenizer.to_str())
    cut = pre_tokenizer_name(told)
    tokens = [f"[PAD{n}]" for n in range(vocabulary)]
    kinds = [gguf.TokenType.UNUSED] * vocabulary
    for token, n in told["model"]["vocab"].items():
        tokens[n], kinds[n] = token, gguf.TokenType.NORMAL
    for added in told["added_tokens"]:
        special = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], kinds[added["id"]] = added["content"], special
    merges = [m if isinstance(m, str) else " ".join(m) for m in told["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    for name, number in {
        "bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id,
        "unk": tokenizer.unk_token_id,
    }.items():  # fmt: skip
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    begins = tokenizer("a").input_ids[:1]
    writer.add_add_bos_token(tokenizer.bos_token_id is not None and begins == [tokenizer.bos_token_id])
    writer.add_add_space_prefix(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def pre_tokenizer_name(told: dict[str, Any]) -> str:
    """llama.cpp's name for how a `tokenizer.json` cuts text. Raises TwinError where it has none that is known here."""
    steps = told["pre_tokenizer"] or {}
    steps = steps.get("pretokenizers", [steps])
    kinds = tuple(step.get("type") for step in steps)
    known = None
    model = told["model"]
    if (
        model["type"] == "BPE"
        and model["merges"]
        and kinds
        and kinds[-1] == "ByteLevel"
        and not steps[-1]["add_prefix_space"]
    ):
        if kinds == ("Split", "ByteLevel"):
            known = _BY_PATTERN.get(steps[0]["pattern"].get("Regex", ""))
        elif steps[-1]["use_regex"]:
            known = _BY_STEPS.get(kinds)
    normalizer = told.get("normalizer") or {}
    changed = normalizer.get("normalizers", [normalizer] if normalizer else [])
    if [step for step in changed if step["type"] != "NFC"]:
        known = None
    if known is None:
        raise TwinError(
            "The model's tokenizer cuts text in a way that a GGUF file can't be told here.",
            "byte-level BPE of SmolLM2, nano, Llama 3, Qwen 2 and 3 and Mistral's Tekken can be written; export this one "
            "with --format merged.",
        )
    return known
