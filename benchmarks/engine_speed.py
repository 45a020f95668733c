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
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from twin_assets.core.cpu import cpu_has_bfloat16
from twin_assets.inference.engine import Engine, Ticket
from twin_assets.inference.sampling import REPETITION_PENALTY, TOP_P, Sampling

AT_ONCE = 8


def engine_speed(folder: Path | None, prompt_tokens: int, tokens: int, rounds: int) -> None:
    """Prints medians over rounds, in which all take turns. No text ends before its last token."""
    model, tokenizer = _loaded(folder)
    vocabulary = model.config.vocab_size
    torch.manual_seed(1)
    prompts = [torch.randint(3, vocabulary, (prompt_tokens,)).tolist() for _ in range(AT_ONCE)]
    engine = Engine(model, tokenizer, frozenset())

    def generate(some: list[list[int]], most: int = tokens) -> float:
        start = time.perf_counter()
        ids = torch.tensor(some)
        with torch.inference_mode():
            model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=0.8, top_p=TOP_P, top_k=0,
                repetition_penalty=REPETITION_PENALTY, max_new_tokens=most, min_new_tokens=most, pad_token_id=0,
            )  # fmt: skip
        return time.perf_counter() - start

    def ours(some: list[list[int]]) -> tuple[float, list[Ticket]]:
        start = time.perf_counter()
        tickets = [engine.submit(p, Sampling(tokens, seed=n)) for n, p in enumerate(some)]
        readers = [threading.Thread(target=t.result) for t in tickets]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert all(t.tokens_out == tokens for t in tickets)
        return time.perf_counter() - start, tickets

    def cpu(what: Callable[[], object]) -> float:
        start = time.process_time()
        what()
        return (time.process_time() - start) * 1000 / tokens

    generate(prompts[:1], 4)
    ours(prompts[:1])
    for _ in range(rounds):
        costs = [
            cpu(lambda: generate(prompts[:1])),
            cpu(lambda: ours(prompts[:1])),
            cpu(lambda: ours(prompts)) / AT_ONCE,
        ]
        print("CPU ms a token: generate {:.2f}, ours {:.2f}, ours at 8 {:.2f}".format(*costs), flush=True)
    seen: dict[str, list[float]] = {name: [] for name in ("generate", "ours", "first", "first alone", "ours at 8", "generate of 8", "first at 8")}  # fmt: skip
    for number in range(rounds):
        one = [prompts[number % AT_ONCE]]
        seen["generate"].append(tokens / generate(one))
        took, tickets = ours(one)
        seen["ours"].append(tokens / took)
        seen["first"].append(tickets[0].first_token_seconds * 1000)
        seen["first alone"].append(generate(one, 1) * 1000)
        took, tickets = ours(prompts)
        seen["ours at 8"].append(AT_ONCE * tokens / took)
        seen["first at 8"].append(statistics.median(t.first_token_seconds for t in tickets) * 1000)
        seen["generate of 8"].append(AT_ONCE * tokens / generate(prompts))
    middle = {name: statistics.median(values) for name, values in seen.items()}
    size = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{size:.0f}M parameters, {model.dtype}, {torch.get_num_threads()} threads; prompts of {prompt_tokens} tokens, {tokens} written"
    )
    print(
        f"one text     generate {middle['generate']:.1f} tokens/s, ours {middle['ours']:.1f}: {middle['ours'] / middle['generate']:.2f} times"
    )
    print(f"first token  generate {middle['first alone']:.0f} ms, ours {middle['first']:.0f} ms")
    print(f"8 at once    ours {middle['ours at 8']:.1f} tokens/s: {middle['ours at 8'] / middle['generate']:.2f} times generate one by one, "
          f"{middle['ours at 8'] / middle['generate of 8']:.2f} times generate of a batch of 8; first token {middle['first at 8']:.0f} ms")  # fmt: skip
    print(f"load average {os.getloadavg()[0]:.1f}")


def _loaded(folder: Path | None) -> tuple[Any, Any]:
    if folder:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    else:
        words = {f"w{n} ": n for n in range(49152)}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words)))
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
            num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True,
        ))  # fmt: skip
    model.generation_config.eos_token_id = None
    return (model.bfloat16() if cpu_has_bfloat16() else model.float()).eval(), tokenizer
