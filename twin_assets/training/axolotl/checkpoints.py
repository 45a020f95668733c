"""Checkpoints of an unfinished run: which of them can be trusted.

A run that is killed while it saves leaves a checkpoint without its end. Taken for whole, it would break
the next attempt, or continue it from a model without its optimiser.
"""

import json
import shutil
import zipfile
from pathlib import Path

_HEADER_LENGTH = 8  # bytes before a safetensors header, which say how long it is
# Where the trainer leaves the optimiser: plain, FSDP, DeepSpeed.
_OPTIMIZERS = ("optimizer.pt", "optimizer.bin", "optimizer_*", "global_step*")
_WEIGHTS = ("*.safetensors", "pytorch_model_fsdp*", "global_step*")


def last_checkpoint(folder: Path) -> Path | None:
    """The newest intact checkpoint in `folder`; broken ones that are newer are removed."""
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        if is_intact(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def kept_for_the_next_run(folder: Path) -> str:
    """What a run that was stopped leaves in `folder`, in words."""
    if checkpoint := last_checkpoint(folder):
        return f"the next run resumes from the checkpoint of step {step_of(checkpoint)}"
    return "there was no checkpoint yet, so the next run begins anew"


def step_of(checkpoint: Path) -> int:
    """The optimiser step that a checkpoint was saved after; -1 when its name does not say."""
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isdigit() else -1


def is_intact(checkpoint: Path) -> bool:
    """Whether everything that a resumed run reads is there to its last byte.

    The trainer writes trainer_state.json last, so an interrupted save lacks it. The other files are
    looked at too, as a machine that loses power may keep a later write without an earlier one.
    """
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    return (
        state.get("global_step") == step_of(checkpoint)
        and any(any(checkpoint.glob(name)) for name in _OPTIMIZERS)
        and any(any(checkpoint.glob(name)) for name in _WEIGHTS)
        and all(_has_all_tensors(path) for path in checkpoint.rglob("*.safetensors"))
        # torch.save writes a zip archive, whose directory is its end.
        and all(zipfile.is_zipfile(path) for path in checkpoint.rglob("*.pt*") if path.is_file())
    )


def _has_all_tensors(path: Path) -> bool:
    """Whether the file is as long as its header says (https://github.com/huggingface/safetensors)."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_HEADER_LENGTH), "little")
        if length > path.stat().st_size:
            return False
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return False
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return path.stat().st_size == _HEADER_LENGTH + length + max(ends, default=0)
