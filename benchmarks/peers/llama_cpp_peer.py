"""llama.cpp as a peer engine: `python llama_cpp_peer.py MODEL.gguf`, where llama-cpp-python is installed.

All texts are sequences of one batch, as its own server writes several at once.
"""

import os
import sys

import llama_cpp
from worker import REPETITION_PENALTY, TEMPERATURE, TOP_K, TOP_P, serve

READ = 2048  # tokens of prompts read in one go
llama_cpp.llama_backend_init()
model = llama_cpp.llama_model_load_from_file(sys.argv[1].encode(), llama_cpp.llama_model_default_params())
settings = llama_cpp.llama_context_default_params()
settings.n_ctx, settings.n_batch, settings.n_ubatch, settings.n_seq_max = 24 * 1024, READ, 512, 24
settings.n_threads = settings.n_threads_batch = os.cpu_count()
settings.kv_unified = True
context = llama_cpp.llama_init_from_model(model, settings)
VOCABULARY = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
memory = llama_cpp.llama_get_memory(context)
batch = llama_cpp.llama_batch_init(READ, 0, 1)


def chain(seed: int) -> object:
    """The product's order: repetition, the likeliest, the temperature, the nucleus."""
    made = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    for step in (
        llama_cpp.llama_sampler_init_penalties(VOCABULARY, settings.n_ctx, REPETITION_PENALTY, 0.0, 0.0),
        llama_cpp.llama_sampler_init_top_k(TOP_K),
        llama_cpp.llama_sampler_init_temp(TEMPERATURE),
        llama_cpp.llama_sampler_init_top_p(TOP_P, 1),
        llama_cpp.llama_sampler_init_dist(seed),
    ):
        llama_cpp.llama_sampler_chain_add(made, step)
    return made


def decode(rows: list[tuple[int, int, int, bool]]) -> None:
    """Read (token, position, sequence, whether its logits are wanted)."""
    batch.n_tokens = len(rows)
    for at, (token, position, sequence, wanted) in enumerate(rows):
        batch.token[at], batch.pos[at], batch.logits[at] = token, position, wanted
        batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
    if llama_cpp.llama_decode(context, batch):
        raise RuntimeError("llama_decode failed")


def write(prompts: list[list[int]], tokens: int) -> list[int]:
    llama_cpp.llama_memory_clear(memory, True)
    chains = [chain(n) for n in range(len(prompts))]
    last: dict[int, int] = {}
    for sequence, prompt in enumerate(prompts):
        decode([(t, at, sequence, at == len(prompt) - 1) for at, t in enumerate(prompt)])
        last[sequence] = llama_cpp.llama_sampler_sample(chains[sequence], context, len(prompt) - 1)
    for step in range(1, tokens):
        decode([(t, len(prompts[s]) + step - 1, s, True) for s, t in last.items()])
        last = {s: llama_cpp.llama_sampler_sample(chains[s], context, row) for row, s in enumerate(last)}
    for made in chains:
        llama_cpp.llama_sampler_free(made)
    return [tokens] * len(prompts)


serve(write)
