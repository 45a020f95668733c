"""Small models, datasets and jobs for the training tests."""

import json
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, run

from twin_assets.core.datasets.rows import Manifest
from twin_assets.core.models.profiles import Profile, load_profile
from twin_assets.core.models.registry import ModelVersion
from twin_assets.settings import Settings
from twin_assets.training.base_models.base import ensure_base_model
from twin_assets.training.base_models.nano import NanoShape
from twin_assets.training.base_models.nano_text import BaseText
from twin_assets.training.configs.job import TrainingJob

TINY = NanoShape(
    vocabulary=400,
    hidden=32,
    intermediate=64,
    layers=1,
    heads=2,
    positions=1024,
    batch=2,
    length=64,
    warmup=2,
)


def tiny_text() -> BaseText:
    return BaseText(prose="The quick brown fox jumps over the lazy dog. " * 40, chats=[])


def settings(home: Path, **changes: object) -> Settings:
    return Settings(home=home, **{"wandb_mode": "offline"} | changes)


def profile(*overlays: str, name: str = "nano", **changes: object) -> Profile:
    """A shipped profile with some values replaced, and further overlays after its own."""
    shipped = load_profile(name)
    return shipped.model_copy(update={"overlays": (*shipped.overlays, *overlays), **changes})


def tiny_base(settings: Settings) -> ModelVersion:
    return ensure_base_model(settings, profile(nano_steps=3), print, nano_shape=TINY)


def instruct_dataset(
    folder: Path, train: int, test: int = 2, words: int = 12, documents: int = 0
) -> Manifest:
    manifest = _write(folder, "instruct", [_chat(n, words) for n in range(train + test)], train)
    if not documents:
        return manifest
    rows = [{"task": "documents", "messages": _chat(n, 3 * words)["messages"][-1:]} for n in range(documents)]
    (folder / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest.model_copy(update={"counts": manifest.counts | {"documents": documents}})


def preference_dataset(folder: Path, train: int, test: int = 2) -> Manifest:
    rows = [
        {
            "messages": chat["messages"][:-1],
            "chosen": chat["messages"][-1],
            "rejected": {"role": "assistant", "content": "As a model I can not."},
        }
        for chat in (_chat(n, 12) for n in range(train + test))
    ]
    return _write(folder, "preference", rows, train)


def with_thumbs(folder: Path, manifest: Manifest, thumbs: int) -> Manifest:
    """The same preference dataset with so many single thumbs, every other one up."""
    rows = [
        {"messages": chat["messages"][:-1], "completion": chat["messages"][-1], "label": n % 2 == 0}
        for n, chat in enumerate(_chat(100 + n, 12) for n in range(thumbs))
    ]
    (folder / "thumbs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest.model_copy(update={"counts": manifest.counts | {"thumbs": thumbs}})


def overlay(folder: Path, **values: object) -> str:
    """A file of Axolotl values; its path can stand behind a profile's own overlays."""
    import yaml

    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def start(job: TrainingJob) -> "Popen[str]":
    command = [sys.executable, "-m", "twin_assets.training.axolotl.run", str(job.file)]
    return Popen(command, stdout=PIPE, stderr=STDOUT, text=True)


def train(job: TrainingJob, memory: int | None = None) -> tuple[int, str]:
    """Exit status and output of a whole run; `memory` limits the bytes that each process of it may have."""
    command = [sys.executable, "-m", "twin_assets.training.axolotl.run", str(job.file)]
    if memory is not None:
        command = ["prlimit", f"--as={memory}", *command]
    ended = run(command, stdout=PIPE, stderr=STDOUT, text=True, check=False)
    return ended.returncode, ended.stdout


def processes_of(job: TrainingJob) -> dict[int, str]:
    """Command lines of the processes that carry this job's folder in their environment, by their ids."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(job.folder).encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:  # it ended while we looked
            continue
    return found


def _chat(n: int, words: int) -> dict[str, list[dict[str, str]]]:
    answer = " ".join(f"word{n}" for _ in range(words)) + " – don't “quote” me 🦊"
    return {
        "messages": [
            {"role": "system", "content": "You are Runa."},
            {"role": "user", "content": f"Write about topic {n}."},
            {"role": "assistant", "content": answer},
        ]
    }


def _write(folder: Path, kind: str, rows: list[dict[str, object]], train: int) -> Manifest:
    folder.mkdir(parents=True, exist_ok=True)
    sides = {"train": rows[:train], "test": rows[train:]}
    for side, kept in sides.items():
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in kept))
    manifest = Manifest(
        persona="runa", kind=kind, version=f"{kind}-v1", parents={}, prompts="p1",
        counts={side: len(kept) for side, kept in sides.items()}, tasks={}, dropped={}, seed=17,
        license="CC-BY-4.0", visibility="public",
    )  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return manifest
