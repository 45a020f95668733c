"""Whole models of versions that are adapters, merged when something needs one: a training on top, an export, an engine
that takes no adapters.

They lie in the cache, named by their content, and are made by one process at a time: the whole base is in memory
meanwhile. `python -m twin_assets.core.models.whole BASE ADAPTER TARGET` is that process; one that the system kills for
its memory can be named by the one that started it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.processes import run_within
from twin_assets.settings import WORK_DIR, Settings

KEPT = 3  # whole models in the cache
JUST_USED = 3600.0  # seconds in which one may be read, and stays even if there are more
STALE_SECONDS = 24 * 3600
TOO_LONG = "set TWIN_TRAINING_HOURS higher, or see what keeps the disk busy."


def whole_folder(settings: Settings, version: ModelVersion) -> Path:
    """A folder with the version's whole weights, configuration and tokenizer; not to be changed.

    A whole model's own folder; for an adapter one in the cache, merged unless it is there, and the least used of
    more than KEPT are removed. Raises TwinError when the base isn't here, or the merge fails.
    """
    registry = Registry(settings)
    base = registry.base_of(version)
    if base is None:
        return version.path
    place = registry.whole_place(version)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.parent / "merge.lock"):
        if not place.is_dir():
            _make(settings, base, version, place)
        os.utime(place)
        _make_room(place)
    return place


def merge_within(hours: float, base: Path, adapter: Path, target: Path) -> "subprocess.CompletedProcess[str]":
    """Merge an adapter in a process of its own; how it ended. Raises TwinError when it takes longer."""
    return run_within(
        hours * 3600,
        "Merging the adapter",
        TOO_LONG,
        [sys.executable, "-m", "twin_assets.core.models.whole", str(base), str(adapter), str(target)],
        cwd=WORK_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )


def _make(settings: Settings, base: ModelVersion, version: ModelVersion, place: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="making-", dir=place.parent))
    try:
        ended = merge_within(settings.training_hours, base.path, version.path, scratch)
        if ended.returncode:
            raise _failure(ended, version)
        scratch.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _failure(ended: "subprocess.CompletedProcess[str]", version: ModelVersion) -> TwinError:
    if ended.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return TwinError(
            f"Merging {version.tag} into its base ran out of memory: the system killed it.",
            "give it more memory (the whole base in its own precision), or end what else runs.",
        )
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    return TwinError(
        f"Merging {version.tag} into its base failed: {(lines or [f'status {ended.returncode}'])[-1][:300]}",
        "see that the disk has room for the whole model; if it recurs, pull the version and its base again.",
    )


def _make_room(place: Path) -> None:
    """Remove the least used whole models, and what processes that were killed left."""
    now = time.time()
    folders = sorted((p for p in place.parent.iterdir() if p.is_dir()), key=_used, reverse=True)
    made = [p for p in folders if not p.name.startswith("making-")]
    left = [p for p in folders if p not in made and now - _used(p) > STALE_SECONDS]
    for folder in [*left, *(p for p in made[KEPT:] if now - _used(p) > JUST_USED)]:
        shutil.rmtree(folder, ignore_errors=True)


def _used(folder: Path) -> float:
    return folder.stat().st_mtime


def merge(base: Path, adapter: Path, target: Path) -> None:
    """Write the whole model, with the adapter's tokenizer, into `target`."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    whole = AutoModelForCausalLM.from_pretrained(base, local_files_only=True)
    merged = PeftModel.from_pretrained(whole, str(adapter)).merge_and_unload()
    merged.save_pretrained(target)
    AutoTokenizer.from_pretrained(adapter, local_files_only=True).save_pretrained(target)


def main(arguments: Sequence[str]) -> None:
    """Entry point: BASE ADAPTER TARGET."""
    base, adapter, target = map(Path, arguments)
    merge(base, adapter, target)


if __name__ == "__main__":
    main(sys.argv[1:])
