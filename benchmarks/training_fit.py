"""Memory and speed of real training steps, held against what `twin_assets.training.fit.estimate` says of them.

    python -m benchmarks.training_fit small llama-8b llama-8b:dpo llama-8b-qlora [--steps 4] [--rows-a-step 4]
                                      [--micro 1] [--layers 4] [--tokens 512] [--parallel fsdp2] [--set lora_dropout=0]
                                      [--out results.jsonl] [--folder /dev/shm/fit]

Each profile's model is made with random weights (they need as much memory and time as trained ones) and a small
tokenizer, in the real shape and with the real vocabulary. Rows fill the whole context, so a step is the largest there
is. Then Axolotl trains as the platform has it: the job is prepared, checked and run by twin_assets.training.

allocated is the most that torch had in use, reserved what its allocator held for that, and device what the driver says
was taken beside what was before, so CUDA's own too: this is what the estimate means by memory. Without a GPU there is
the process's resident memory only. Speed leaves out the first step, which compiles and warms up. --rows-a-step
takes fewer rows than the profile's, to see more steps in the time. Of those a GPU takes as many at once as keep it busy, or
--micro; that is what memory and speed depend on.
--layers and --tokens make it small enough for a CPU. --parallel runs one process through the path of several GPUs.
"""

import argparse
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import yaml

from benchmarks.random_model import base_model, write_rows
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile
from twin_assets.settings import Settings
from twin_assets.training.axolotl import process
from twin_assets.training.axolotl.run import run
from twin_assets.training.configs.overlays import FOLDER as CONFIGS
from twin_assets.training.configs.overlays import compose_overlays
from twin_assets.training.fit.machine import GB, training_machine
from twin_assets.training.jobs import job_estimate, prepare_job, read_history

_ALLOCATED = re.compile(r"memory/max_allocated \(GiB\)'?: '?([\d.]+)")  # Axolotl's own log of a step
_TORCHRUN = ["torchrun", "--", "--standalone", "--nproc-per-node=1"]


def measure(wanted: str, given: argparse.Namespace) -> dict[str, Any]:
    """Estimate and measurement of `profile[:dpo]`; with `failed` in place of the latter when it could not run."""
    name, _, stage = wanted.partition(":")
    stage, profile = stage or "sft", load_profile(name)
    overrides = _parallel(given.parallel) | ({"sequence_len": given.tokens} if given.tokens else {})
    overrides |= {key: yaml.safe_load(value) for key, value in (pair.split("=", 1) for pair in given.set)}
    config = compose_overlays(profile, "dpo" if stage == "dpo" else "sft") | overrides
    micro, tokens, pair = config["micro_batch_size"], config["sequence_len"], 2 if stage == "dpo" else 1
    accumulate = max(given.rows_a_step // micro, 1)
    overrides |= {"gradient_accumulation_steps": accumulate, "max_steps": given.steps, "num_epochs": 1}
    rows = given.steps * micro * accumulate
    settings = Settings(
        home=given.folder / "home", wandb_mode="disabled", profile=name, training_micro_batch=given.micro
    )
    machine = training_machine(settings)
    result: dict[str, Any] = {"run": wanted, "settings": given.set, "parallel": given.parallel, "tokens": tokens,
                              "layers": given.layers, "machine": str(machine)}  # fmt: skip
    try:
        parent = base_model(profile, given.folder, given.layers, tokens)
        manifest, dataset = write_rows(stage, parent.path, given.folder, rows, tokens)
        job = prepare_job(settings, profile, stage, parent, manifest, dataset, "fit", overrides, wanted)
        [needed] = job_estimate(job, machine).values()
        result |= needed.facts() | {"rows_at_once": needed.rows,
                                    "estimated_tokens_per_second": 1e6 / needed.seconds(1e6, machine)}  # fmt: skip
        with ExitStack() as watching:
            if given.parallel:  # which the platform does where there is more than one GPU
                ours = process.command
                watching.enter_context(
                    patch.object(process, "command", lambda job: [*ours(job)[:-1], *_TORCHRUN])
                )
            taken = watching.enter_context(device_memory())
            start = time.monotonic()
            done = run(job, lambda line: print(line, flush=True))
        history = [p for p in read_history(job) if p.loss is not None]
    except (TwinError, AssertionError, RuntimeError) as error:
        return result | {"failed": f"{type(error).__name__}: {error}"}
    steps, seconds = len(history) - 1, history[-1].seconds - history[0].seconds
    speed = tokens * pair * steps * rows / given.steps / max(seconds, 1e-9)
    peaks = [float(n) * 2**30 / GB for n in _ALLOCATED.findall(job.log_file.read_text())]
    return result | {
        "allocated_gb": max(peaks, default=None), "reserved_gb": done.metrics["peak_memory_gb"],
        "device_gb": taken.get("gb"), "tokens_per_second": speed, "seconds_in_all": time.monotonic() - start,
        "losses": [p.loss for p in history], "reported": history[-1].model_dump(exclude_none=True),
    }  # fmt: skip


def _parallel(name: str | None) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / "parallel" / f"{name}.yaml").read_text()) if name else {}


@contextmanager
def device_memory() -> Iterator[dict[str, float]]:
    """{"gb": the most that was taken of the first GPU while the block ran, beside what was before}; empty without."""
    peak: dict[str, float] = {}
    if not torch.cuda.is_available():
        yield peak
        return
    import pynvml

    pynvml.nvmlInit()
    handle, over = pynvml.nvmlDeviceGetHandleByIndex(0), threading.Event()
    before = pynvml.nvmlDeviceGetMemoryInfo(handle).used

    def watch() -> None:
        while not over.wait(0.05):
            now = (pynvml.nvmlDeviceGetMemoryInfo(handle).used - before) / GB
            peak["gb"] = max(peak.get("gb", 0.0), now)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def show(results: list[dict[str, Any]]) -> None:
    """The table, in Markdown."""
    print(
        "| run | rows at once | estimated GB | allocated | reserved | device | estimate / device | estimated tokens/s | measured | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for r in results:
        about = " ".join([r["run"], *r["settings"], *([r["parallel"]] if r["parallel"] else [])])
        if "failed" in r:
            print(
                f"| {about} | {r.get('rows_at_once', '')} | {r.get('memory_gb', '')} | {r['failed'][:300]} |"
            )
            continue
        taken = r["device_gb"] or r["reserved_gb"]
        speeds = r["estimated_tokens_per_second"], r["tokens_per_second"]
        print(
            f"| {about} | {r['rows_at_once']} | {r['memory_gb']:.1f} | {r['allocated_gb'] or 0:.1f} | {r['reserved_gb']:.1f} | {taken:.1f} | "
            f"{r['memory_gb'] / taken:.2f} | {speeds[0]:.0f} | {speeds[1]:.0f} | {speeds[1] / speeds[0]:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profiles", nargs="+", metavar="PROFILE[:dpo]")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rows-a-step", type=int, default=4)
    parser.add_argument("--micro", type=int, help="rows at once; unset, what a training takes")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--parallel", choices=["fsdp2", "zero3"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of Axolotl's config")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(".twin/fit"))
    given = parser.parse_args()
    given.folder = given.folder.resolve()
    results = []
    for wanted in given.profiles:
        results.append(measure(wanted, given))
        if given.out:
            with given.out.open("a") as out:
                out.write(json.dumps(results[-1]) + "\n")
        print(json.dumps(results[-1]), flush=True)
    show(results)


if __name__ == "__main__":
    main()
