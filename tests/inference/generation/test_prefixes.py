"""What prompts begin with in common is read once, and no text is another for it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tests.inference.generation.test_engine import (
    TEXT,
    alone,
    decoder,
    engine,
    model,
    tokenizer,
    torch_engine,
)
from twin_assets.inference.generation.batch_cache import BatchCache
from twin_assets.inference.generation.engine import Engine
from twin_assets.inference.generation.prefixes import MAX_PREFIXES, MIN_TOKENS, Prefix, Prefixes
from twin_assets.inference.generation.sampling import Sampling

__all__ = ["decoder", "engine", "model", "tokenizer", "torch_engine"]  # fixtures
TOKENS = 12


@contextmanager
def counted(served: Any) -> Iterator[list[int]]:
    """How many tokens each pass of the model reads."""
    read: list[int] = []
    hook = served.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        yield read
    finally:
        hook.remove()


def prompts(tokenizer: PreTrainedTokenizerFast, *ends: str) -> list[list[int]]:
    system = tokenizer(f"system: {TEXT} {TEXT}\n")["input_ids"]
    assert MIN_TOKENS < len(system) < 120
    return [system + tokenizer(f"user: {end}\nassistant:")["input_ids"] for end in ends]


def greedy(engine: Engine, some: list[list[int]]) -> list[str]:
    handles = [engine.submit(prompt, Sampling(TOKENS, temperature=0)) for prompt in some]
    return [handle.result() for handle in handles]


def test_texts_are_those_of_prompts_read_whole(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, engine: Engine
) -> None:
    asked = prompts(tokenizer, "Lantern?", "Why?", "The ferry leaves at six, and then?", "a")
    expected = [alone(model, tokenizer, prompt, TOKENS) for prompt in asked]
    assert [greedy(engine, [prompt])[0] for prompt in asked] == expected, "one after the other"
    assert greedy(engine, asked) == expected, "together"
    assert [greedy(engine, [prompt])[0] for prompt in asked] == expected, "again"


def test_what_is_shared_is_read_once(tokenizer: PreTrainedTokenizerFast, torch_engine: Engine) -> None:
    engine = torch_engine
    one, two, three = prompts(tokenizer, "Lantern?", "Why?", "And so?")
    shared = len(prompts(tokenizer, "")[0]) - len(tokenizer("\nassistant:")["input_ids"])
    with counted(engine._model) as read:
        for prompt in (one, two, three):
            greedy(engine, [prompt])
    reads = [tokens for tokens in read if tokens > 1]
    assert reads[0] == len(one)
    assert abs(reads[1] - shared) <= 2, "what the second shares with the first is found out and kept"
    assert reads[2:] == [len(two) - reads[1], len(three) - reads[1]]


def test_choices_of_one_prompt_read_it_once(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, torch_engine: Engine
) -> None:
    engine = torch_engine
    (prompt,) = prompts(tokenizer, "Why?")
    cache, version = BatchCache(engine._model), engine.bare
    prefix = engine._prefix(cache, version, [prompt] * 3)
    assert prefix is not None
    assert len(prefix.tokens) == len(prompt) - 1
    with counted(engine._model) as read:
        texts = greedy(engine, [prompt] * 3)
    assert max(read) == 3, "a token of each"
    assert texts == [alone(model, tokenizer, prompt, TOKENS)] * 3


def test_short_beginnings_are_not_kept(tokenizer: PreTrainedTokenizerFast, engine: Engine) -> None:
    one, two = (tokenizer(f"user: {end}\nassistant:")["input_ids"] for end in ("Lantern?", "Lanterns?"))
    greedy(engine, [one])
    greedy(engine, [two])
    assert engine._prefixes.tokens == 0


def prefix_of(*tokens: int) -> Prefix:
    return Prefix(tokens, [(torch.zeros(1, 1, len(tokens), 2),) * 2])


class Version:
    """Stands for an engine's version, of which only that it is itself matters."""


def test_no_version_reads_anothers_and_what_is_gone_goes() -> None:
    kept, one, other = Prefixes(), Version(), Version()
    kept.keep(one, prefix_of(*range(60)))
    prompt = [*range(60), 7]
    assert kept.known(other, [prompt]) is None
    assert kept.known(one, [prompt]) is not None
    assert kept.known(one, [list(range(60))]) is None, "its last token's logits are wanted"
    del one
    gc.collect()
    assert kept.known(other, [prompt]) is None
    assert kept.tokens == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(48, 150), st.integers(0, 9)), max_size=30))
def test_no_more_is_kept_than_may_be(asked: list[tuple[int, int, int]]) -> None:
    kept, versions = Prefixes(most=400), [Version() for _ in range(3)]
    for which, length, kind in asked:
        prompt = [kind] * (length + 1)
        shared = kept.worth_keeping(versions[which], [prompt])
        assert shared <= length
        kept.keep(versions[which], prefix_of(*prompt[:length]))
        assert kept.tokens <= 400
        assert all(
            sum(owner() is version for owner, _ in kept._kept.values()) <= MAX_PREFIXES
            for version in versions
        )
        found = kept.known(versions[which], [prompt])
        assert found is not None
        assert list(found.tokens) == prompt[: len(found.tokens)]
