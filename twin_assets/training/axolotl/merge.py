"""Merges a LoRA adapter into its base, `python -m twin_assets.training.axolotl.merge BASE MODEL TARGET`.

It is a process of its own: the whole base is in memory meanwhile, and a process that the system kills for that can be
named by the one that started it.
"""

import sys
from pathlib import Path


def merge_adapter(base: Path, model: Path, target: Path) -> None:
    """Write the whole model, with its tokenizer, into `target`; `model` holds the adapter."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    whole = AutoModelForCausalLM.from_pretrained(base, local_files_only=True)
    merged = PeftModel.from_pretrained(whole, str(model)).merge_and_unload()
    merged.save_pretrained(target)
    AutoTokenizer.from_pretrained(model, local_files_only=True).save_pretrained(target)


if __name__ == "__main__":
    merge_adapter(*map(Path, sys.argv[1:4]))
