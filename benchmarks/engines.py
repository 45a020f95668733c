"""Our engine with OpenVINO and with torch, `generate` and continuous batching of transformers, and engines of other
projects, in one run.

    python -m benchmarks.engines --gguf Q8_0=model.gguf --peer openvino_genai=PYTHON --peer llama_cpp=PYTHON
                                 [--model FOLDER] [--prompt 400] [--tokens 128] [--rounds 5] [--at-once 1 8 24] [--int8]
                                 [--minutes 9]
    python -m benchmarks.engines --texts FILE [FILE ...]

`--model` is a Hugging Face folder (without it the packaged SmolLM2-135M), each `--gguf` the same model as `twin export`
writes it, each `--peer` an engine of benchmarks/peers with the interpreter that has it and, after commas, its options. All sample alike, no text ends
before its last token, prompts are random tokens that no cache knows. Engines take turns within a round. A peer is a
process that stands still while others are measured. CPU only: on a GPU the peer is vLLM. `--texts` measures what is written
instead: perplexity and greedy texts with OpenVINO against torch, in the model's precision and in 32 bits.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from benchmarks.engine_speed import written_by_generate, written_by_ours
from twin_assets.core.models.cpu import cpu_has_bfloat16
from twin_assets.core.models.packaged import fetch_package, unpack_model
from twin_assets.inference.generation.engine import Engine
from twin_assets.inference.generation.paged.decoder import PagedDecoder
from twin_assets.inference.generation.sampling import REPETITION_PENALTY, TOP_K, TOP_P, Sampling

Prompts = list[list[int]]
Writer = Callable[[Prompts, int], float]  # seconds for so many tokens after each prompt
PEERS = Path(__file__).parent / "peers"
OURS, TORCH = "ours, OpenVINO", "ours, torch"
PASSAGE, PASSAGES, WRITTEN = (
    160,
    24,
    32,
)  # tokens, at most so many, tokens written after the first half of each


class Peer:
    """An engine in a process of its own, under an interpreter of its own."""

    def __init__(self, engine: str, python: str, gguf: str, options: list[str]) -> None:
        script = PEERS / f"{engine}_peer.py"
        if not script.is_file():
            known = ", ".join(sorted(p.name.removesuffix("_peer.py") for p in PEERS.glob("*_peer.py")))
            raise SystemExit(f"There is no peer {engine!r}. Fix: use one of {known}.")
        self._process = subprocess.Popen(
            [python, str(script), gguf, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._name = f"{engine} ({python})"
        self._answer()

    def __call__(self, prompts: Prompts, tokens: int) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"prompts": prompts, "tokens": tokens}) + "\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise SystemExit(f"{self._name}: {answer['error']}. Fix: run the script by hand to see why.")
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def continuous_of(model: Any) -> Writer:
    """Continuous batching of transformers; the model is its own, since it changes how that attends."""

    def write(prompts: Prompts, tokens: int) -> float:
        config = GenerationConfig(
            do_sample=True, temperature=0.8, top_p=TOP_P, top_k=TOP_K, max_new_tokens=tokens, eos_token_id=-1, pad_token_id=0,
            repetition_penalty=REPETITION_PENALTY,
        )  # fmt: skip
        start = time.perf_counter()
        done = model.generate_batch(
            prompts, generation_config=config, progress_bar=False, persistent_manager=True, warmup=False
        )
        took = time.perf_counter() - start
        assert all(len(text.generated_tokens) == tokens for text in done.values()), "a text ended early"
        return took

    return write


def compare(
    writers: dict[str, Writer],
    vocabulary: int,
    prompt: int,
    tokens: int,
    rounds: int,
    many: list[int],
    minutes: float,
) -> None:
    """Prints tokens a second by engine and number of texts, medians over the rounds, and ratios to ours with torch.

    Rounds that would end after so many `minutes` are left out.
    """
    torch.manual_seed(1)
    began, longest = time.monotonic(), 0.0

    def fresh(texts: int) -> Prompts:
        return torch.randint(3, vocabulary, (texts, prompt)).tolist()

    for name, write in writers.items():  # kernels are chosen at the first call of a size
        for texts in many:
            print(f"warming {name} at {texts}: {write(fresh(texts), 4):.1f} s", flush=True)
    seconds: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds):
        if number and time.monotonic() + longest > began + 60 * minutes:
            break
        start = time.monotonic()
        for texts in many:
            prompts = fresh(texts)
            for name, write in writers.items():
                seconds.setdefault((name, texts), []).append(write(prompts, tokens))
        longest = max(longest, time.monotonic() - start)
        print(f"round {number + 1} of {rounds}, load average {os.getloadavg()[0]:.1f}", flush=True)
    print(
        f"{'':32}"
        + "".join(f"{f'{n} at once':>26}" for n in many)
        + "   tokens/s, times ours with torch, range"
    )
    for name in writers:
        cells = []
        for texts in many:
            took, base = seconds[name, texts], seconds[TORCH, texts]
            speeds = [texts * tokens / s for s in took]
            ratios = sorted(b / s for b, s in zip(base, took, strict=True))  # within a round
            told = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            cells.append(f"{statistics.median(speeds):7.1f} {told:>18}")
        print(f"{name:32}" + "".join(cells))


@torch.inference_mode()
def fidelity(model: Any, tokenizer: Any, files: list[Path]) -> None:
    """Prints perplexities of passages, and how alike what both write greedily after their first halves is."""
    tokens = [tokenizer(file.read_text(), add_special_tokens=False)["input_ids"] for file in files]
    each = max(PASSAGES // len(files), 1)
    starts = [range(0, len(t) - PASSAGE + 1, PASSAGE)[:each] for t in tokens]
    passages = [t[at : at + PASSAGE] for t, own in zip(tokens, starts, strict=True) for at in own][:PASSAGES]
    print(f"{len(passages)} passages of {PASSAGE} tokens, {model.dtype}")
    exact = copy.deepcopy(model).float()
    decoders = {"OpenVINO": (PagedDecoder(model), model), "OpenVINO, int8": (PagedDecoder(model, int8=True), model),
                "OpenVINO, 32 bits": (PagedDecoder(exact), exact)}  # fmt: skip
    ways = {"torch, 32 bits": lambda: _by_torch(exact, passages), "torch": lambda: _by_torch(model, passages)}
    ways |= {name: lambda d=d: _by_steps(d, passages) for name, (d, _) in decoders.items()}
    losses = {name: way() for name, way in ways.items()}
    for name, loss in losses.items():
        ratio = float((loss.mean() - losses["torch, 32 bits"].mean()).exp())
        print(f"{name:20} perplexity {float(loss.mean().exp()):.4f}, {ratio:.4f} of torch's in 32 bits")
    for name, (decoder, same) in decoders.items():
        one, other = (_greedy(Engine(runs, tokenizer, frozenset()), passages) for runs in (decoder, same))
        alike = [
            next((n for n, (a, b) in enumerate(zip(*two, strict=True)) if a != b), WRITTEN)
            for two in zip(one, other, strict=True)
        ]
        print(f"{name:20} {sum(n == WRITTEN for n in alike)} of {len(alike)} greedy texts are torch's in all {WRITTEN} tokens; "
              f"the same until token {statistics.mean(alike):.1f} on average")  # fmt: skip


def _by_torch(model: Any, passages: Prompts) -> torch.Tensor:
    """Losses in nats, shape (passages, tokens - 1)."""
    logs = model(torch.tensor(passages)).logits.float().log_softmax(-1)
    return -logs[:, :-1].gather(2, torch.tensor(passages)[:, 1:, None]).squeeze(2)


def _by_steps(decoder: PagedDecoder, passages: Prompts) -> torch.Tensor:
    """The same as the engine gets them: a token of each at a time."""
    cache = decoder.new_cache()
    cache.join(read := cache.read([p[:1] for p in passages]))
    scores = [read.logits, *(cache.step([p[at] for p in passages]) for at in range(1, PASSAGE - 1))]
    logs = torch.stack(scores, dim=1).log_softmax(-1)
    return -logs.gather(2, torch.tensor(passages)[:, 1:, None]).squeeze(2)


def _greedy(engine: Engine, passages: Prompts) -> Prompts:
    sampling = Sampling(WRITTEN, temperature=0, top_logprobs=0)
    handles = [engine.submit(passage[: PASSAGE // 2], sampling) for passage in passages]
    for handle in handles:
        handle.result()
    return [[entry.token for entry in handle.logprobs] for handle in handles]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--gguf", action="append", default=[], metavar="KIND=FILE")
    parser.add_argument("--peer", action="append", default=[], metavar="ENGINE=PYTHON")
    parser.add_argument("--prompt", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--minutes", type=float, default=60, help="for the rounds and the warming before them"
    )
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8, 24])
    parser.add_argument("--without-continuous", action="store_true", help="of transformers: it is slow")
    parser.add_argument("--without-generate", action="store_true")
    parser.add_argument("--int8", action="store_true", help="ours with OpenVINO and weights of 8 bits too")
    parser.add_argument("--float32", action="store_true", help="ours in float32 too, where it is bfloat16")
    parser.add_argument("--texts", type=Path, nargs="+", default=[], metavar="FILE")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_peers:
        if not (where := given.model):
            unpack_model(fetch_package(), where := Path(folder))
        model, tokenizer = AutoModelForCausalLM.from_pretrained(where), AutoTokenizer.from_pretrained(where)
        model = (model.bfloat16() if cpu_has_bfloat16() else model.float()).eval()
        model.generation_config.eos_token_id = None
        print(
            f"{model.num_parameters() / 1e6:.0f}M parameters, {model.dtype}, {torch.get_num_threads()} threads"
        )
        if given.texts:
            fidelity(model, tokenizer, given.texts)
            return

        def ours(runs: Any) -> Writer:
            engine = Engine(runs, tokenizer, frozenset(), max_rows=max(given.at_once))
            return lambda prompts, tokens: written_by_ours(engine, model, prompts, tokens)[0]

        writers: dict[str, Writer] = {
            OURS: ours(PagedDecoder(model)),
            TORCH: ours(model),
        }
        if given.int8:
            writers[f"{OURS}, int8"] = ours(PagedDecoder(model, int8=True))
        if not given.without_generate:
            writers["generate"] = lambda prompts, tokens: written_by_generate(model, prompts, tokens)
        if given.float32:
            writers[f"{OURS}, float32"] = ours(PagedDecoder(full := copy.deepcopy(model).float()))
            writers[f"{TORCH}, float32"] = ours(full)
        if not given.without_continuous:
            writers["transformers, continuous"] = continuous_of(copy.deepcopy(model))
        for kind, file in (g.split("=", 1) for g in given.gguf):
            for peer_name, (python, *options) in (
                (n, p.split(",")) for n, p in (p.split("=", 1) for p in given.peer)
            ):
                peer = Peer(peer_name, python, file, options)
                open_peers.callback(peer.close)
                writers[", ".join([peer_name, kind, *options])] = peer
        compare(
            writers,
            model.config.vocab_size,
            given.prompt,
            given.tokens,
            given.rounds,
            given.at_once,
            given.minutes,
        )


if __name__ == "__main__":
    main()
