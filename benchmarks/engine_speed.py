"""Tokens a second and time to first token of our engine, against `model.generate` of transformers."""

import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from benchmarks.random_model import random_model, shape_of
from twin_assets.core.models.cpu import cpu_has_bfloat16
from twin_assets.core.models.profiles import load_profile
from twin_assets.inference.generation.engine import Engine, GenerationHandle
from twin_assets.inference.generation.grouped_attention import use_grouped_attention
from twin_assets.inference.generation.sampling import REPETITION_PENALTY, TOP_P, Sampling

QUESTION_TOKENS = 24  # what is asked, after a persona's system turn
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # as LocalGenerator chooses


def engine_speed(
    folder: Path | None, prompt_tokens: int, tokens: int, rounds: int, shape: str = "pocket",
    at_once: list[int] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Prints medians over rounds, in which all take turns, and returns them. No text ends before its last token.

    `shape` is a profile, whose model is made with random weights; `at_once` are numbers of texts beside one alone.
    """
    many = at_once or [8]
    model, tokenizer = _loaded(folder, shape, prompt_tokens + tokens)
    torch.manual_seed(1)

    def fresh(texts: int, tokens: int = prompt_tokens) -> list[list[int]]:
        """Prompts that the engine has read nothing of."""
        return torch.randint(3, model.config.vocab_size, (texts, tokens)).tolist()

    engine = Engine(model, tokenizer, frozenset(), max_rows=max(many))

    def generate(some: list[list[int]], most: int = tokens) -> float:
        return written_by_generate(model, some, most)

    def ours(some: list[list[int]], most: int = tokens) -> tuple[float, list[GenerationHandle]]:
        return written_by_ours(engine, model, some, most)

    def cpu(what: Callable[[], object]) -> float:
        start = time.process_time()
        what()
        return (time.process_time() - start) * 1000 / tokens

    for number in [1, *many]:  # kernels are chosen, and on a GPU loaded, at the first call of a size
        generate(fresh(number), 4)
        ours(fresh(number), 4)
    seen: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        seen.setdefault(name, []).append(value)

    for _ in range(rounds):
        note("generate cpu", cpu(lambda: generate(fresh(1))))
        note("ours cpu", cpu(lambda: ours(fresh(1))))
        for n in many:
            note(f"ours at {n} cpu", cpu(lambda n=n: ours(fresh(n))) / n)  # type: ignore[misc]
        costs = ", ".join(f"{k.removesuffix(' cpu')} {v[-1]:.2f}" for k, v in seen.items())
        print(f"CPU ms a token: {costs}", flush=True)
    for _ in range(rounds):
        one = fresh(1)
        note("generate", tokens / generate(one))
        took, tickets = ours(one)
        note("ours", tokens / took)
        note("first", tickets[0].first_token_seconds * 1000)
        note("first alone", generate(one, 1) * 1000)
        start = fresh(1, prompt_tokens - QUESTION_TOKENS)[0]
        for question in fresh(3, QUESTION_TOKENS):  # the second tells what is shared, the third has it
            _, tickets = ours([start + question], 1)
        note("first shared", tickets[0].first_token_seconds * 1000)
        for n in many:
            prompts = fresh(n)
            took, tickets = ours(prompts)
            note(f"ours at {n}", n * tokens / took)
            note(f"first at {n}", statistics.median(t.first_token_seconds for t in tickets) * 1000)
            note(f"generate of {n}", n * tokens / generate(prompts))
    middle = {name: statistics.median(values) for name, values in seen.items()}
    _show(model, middle, many, f"prompts of {prompt_tokens} tokens, {tokens} written")
    return middle


def written_by_generate(model: Any, prompts: list[list[int]], tokens: int) -> float:
    """Seconds that `generate` takes for so many tokens after each prompt, as one batch."""
    model.set_attn_implementation("sdpa")  # as transformers has it
    torch.backends.cuda.enable_cudnn_sdp(True)
    start = time.perf_counter()
    ids = torch.tensor(prompts, device=model.device)
    with torch.inference_mode():
        model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=0.8, top_p=TOP_P, top_k=0,
            repetition_penalty=REPETITION_PENALTY, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=0,
        ).tolist()  # fmt: skip  # which waits for the device
    return time.perf_counter() - start


def written_by_ours(
    engine: Engine, model: Any, prompts: list[list[int]], tokens: int
) -> tuple[float, list[GenerationHandle]]:
    """Seconds that our engine takes for the same with `model`, which is its, and the texts."""
    use_grouped_attention(model)
    start = time.perf_counter()
    handles = [engine.submit(p, Sampling(tokens, seed=n)) for n, p in enumerate(prompts)]
    readers = [threading.Thread(target=handle.result) for handle in handles]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert all(handle.tokens_out == tokens for handle in handles)
    return time.perf_counter() - start, handles


def _show(model: Any, middle: dict[str, float], many: list[int], what: str) -> None:
    size = sum(p.numel() for p in model.parameters()) / 1e6
    cuda = DEVICE == "cuda"
    where = torch.cuda.get_device_name() if cuda else f"{torch.get_num_threads()} threads"
    alone = middle["generate"]
    print(f"{size:.0f}M parameters, {model.dtype}, {where}; {what}")
    print(
        f"one text     generate {alone:.1f} tokens/s, ours {middle['ours']:.1f}: {middle['ours'] / alone:.2f} times"
    )
    print(f"first token  generate {middle['first alone']:.0f} ms, ours {middle['first']:.0f} ms, and where all but the last "
          f"{QUESTION_TOKENS} tokens of the prompt are known {middle['first shared']:.0f} ms")  # fmt: skip
    for n in many:
        ours, batch = middle[f"ours at {n}"], middle[f"generate of {n}"]
        print(f"{f'{n} at once':12} ours {ours:.1f} tokens/s: {ours / alone:.2f} times generate one by one, "
              f"{ours / batch:.2f} times generate of a batch of {n}; first token {middle[f'first at {n}']:.0f} ms")  # fmt: skip
    if cuda:
        print(f"{torch.cuda.max_memory_reserved() / 1e9:.1f} GB of the GPU's memory at most")
    print(f"load average {os.getloadavg()[0]:.1f}")


def _loaded(folder: Path | None, shape: str, positions: int) -> tuple[Any, Any]:
    if folder:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    else:
        model = random_model(shape_of(shape), load_profile(shape).family, DEVICE, positions)
        words = {f"w{n} ": n for n in range(model.config.vocab_size)}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words)))
    model.generation_config.eos_token_id = None
    if DEVICE == "cpu":
        model = model.bfloat16() if cpu_has_bfloat16() else model.float()
    return model.to(DEVICE).eval(), tokenizer
