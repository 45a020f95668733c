"""The language model of a model that also sees or hears: a twin reads and writes text, and the class of causal language
models loads nothing else.

The weights are copied file by file under the names that the language model gives them, so that no more than one of their files
is in memory. What the towers have beside is left out.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.models.cpu import without_gpu_kernels

# How the parts are named on the hub, and by the language model's own class.
_PARTS = {
    "model.language_model.": "model.",
    "language_model.model.": "model.",
    "language_model.lm_head.": "lm_head.",
    "lm_head.": "lm_head.",
}
_HEAD = "lm_head.weight"
_INDEX = "model.safetensors.index.json"
# Of images and sounds, or of the weights as they were.
_NOT_COPIED = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", _INDEX)


def has_towers(folder: Path) -> bool:
    """Whether the model of a folder is a language model and something else."""
    return "text_config" in json.loads((folder / "config.json").read_text())


def without_towers(folder: Path, scratch: Path) -> Path:
    """A folder in `scratch` with the language model alone; the model's own folder stays as it is.

    Raises TwinError where its weights are not all there, or are named in a way that isn't known.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    out = scratch / "text"
    out.mkdir()
    config = _text_config(folder)
    missing = _expected(config)
    places: dict[str, str] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            tensors = {name: weights.get_tensor(old) for old, name in _renamed(weights.keys())}
        if tensors:
            save_file(tensors, out / path.name, metadata={"format": "pt"})
            places |= dict.fromkeys(tensors, path.name)
            missing -= set(tensors)
    if missing:
        raise TwinError(
            f"The language model in {folder} lacks {len(missing)} of its weights, such as {min(missing)}.",
            "name a model of text alone, or one that transformers saved.",
        )
    config.tie_word_embeddings = _HEAD not in places
    (out / _INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    config.save_pretrained(out)
    for path in folder.iterdir():
        if (
            path.is_file()
            and path.suffix != ".safetensors"
            and path.name not in (*_NOT_COPIED, "config.json")
        ):
            (out / path.name).symlink_to(path.resolve())
    return out


def _text_config(folder: Path) -> Any:
    """The language model's own configuration, with the tokens and the number format that the whole names."""
    from transformers import AutoConfig

    whole = AutoConfig.from_pretrained(folder, local_files_only=True)
    text = whole.get_text_config()
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "dtype"):
        if getattr(text, name, None) is None and (value := getattr(whole, name, None)) is not None:
            setattr(text, name, value)
    return text


def _expected(config: Any) -> set[str]:
    """The weights of the language model of a configuration, whose class it is given; none is made.

    The output layer is left out, since it may be the embedding.
    """
    import torch
    from transformers import AutoModelForCausalLM

    without_gpu_kernels()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.architectures = [type(model).__name__]
    return set(model.state_dict()) - {_HEAD}


def _renamed(names: Iterator[str]) -> Iterator[tuple[str, str]]:
    """The names of a file's weights that are the language model's, with what they become."""
    for name in names:
        for old, new in _PARTS.items():
            if name.startswith(old):
                yield name, new + name.removeprefix(old)
                break
