"""What a caller may ask of a text, each held against transformers' own forward pass of the same model."""

# ruff: noqa: F401, F811 (fixtures of the engine's tests)
from collections import Counter
from typing import Any

import pytest
import torch

from tests.inference.generation.test_engine import TOKENIZER, decoder, engine, model, tokenizer, torch_engine
from twin_assets.inference.generation.engine import Engine
from twin_assets.inference.generation.sampling import (
    REPETITION_PENALTY,
    Sampling,
    new_random,
    next_tokens,
)

PROMPT = TOKENIZER("The ferry leaves at six.", add_special_tokens=False).input_ids


@torch.inference_mode()
def by_hand(network: Any, presence: float, frequency: float, tokens: int) -> list[int]:
    """Greedy with both penalties, one whole forward pass a token."""
    ids, written = list(PROMPT), Counter[int]()
    for n in range(tokens):
        scores = network(torch.tensor([ids])).logits[0, -1].float().clone()
        for token, count in written.items():
            scores[token] -= presence + frequency * count
        if n == 0:
            scores[TOKENIZER.eos_token_id] = -torch.inf
        seen = sorted(set(ids))
        held = scores[seen]
        scores[seen] = torch.where(held < 0, held * REPETITION_PENALTY, held / REPETITION_PENALTY)
        ids.append(int(scores.argmax()))
        written[ids[-1]] += 1
        if ids[-1] == TOKENIZER.eos_token_id:
            return ids[len(PROMPT) : -1]
    return ids[len(PROMPT) :]


@pytest.mark.parametrize(("presence", "frequency"), [(0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (-2.0, 0.5)])
def test_penalties_are_taken_once_and_for_each_time(
    presence: float,
    frequency: float,
    engine: Engine,
    model: Any,
) -> None:
    sampling = Sampling(30, 0.0, presence_penalty=presence, frequency_penalty=frequency)
    beside = engine.submit(PROMPT, Sampling(30, 1.0, seed=3))  # without a penalty, in the same batch
    written = by_hand(model, presence, frequency, 30)
    assert engine.submit(PROMPT, sampling).result() == TOKENIZER.decode(
        written, skip_special_tokens=True
    ).strip().rstrip("\ufffd")
    assert beside.result() == engine.submit(PROMPT, Sampling(30, 1.0, seed=3)).result()


def test_a_tiny_nucleus_is_greedy_and_a_whole_one_is_not(engine: Engine) -> None:
    greedy = engine.submit(PROMPT, Sampling(20, 0.0)).result()
    assert engine.submit(PROMPT, Sampling(20, 2.0, seed=1, top_p=1e-6)).result() == greedy
    assert engine.submit(PROMPT, Sampling(20, 2.0, seed=1, top_p=1.0)).result() != greedy
    named = engine.submit(PROMPT, Sampling(20, 1.0, seed=1, top_p=0.95)).result()
    assert named == engine.submit(PROMPT, Sampling(20, 1.0, seed=1)).result()


def test_logprobs_are_the_models_own_whatever_is_sampled(engine: Engine, model: Any) -> None:
    asked = engine.submit(PROMPT, Sampling(12, 1.5, seed=5, presence_penalty=1.0, top_logprobs=3))
    silent = engine.submit(PROMPT, Sampling(12, 1.5, seed=6))
    text, _ = asked.result(), silent.result()
    assert silent.logprobs == []
    ids = [told.token for told in asked.logprobs]
    assert TOKENIZER.decode(ids, skip_special_tokens=True).strip() == text
    with torch.inference_mode():
        logs = model(torch.tensor([PROMPT + ids])).logits[0].float().log_softmax(dim=-1)
    for n, told in enumerate(asked.logprobs):
        expected = logs[len(PROMPT) - 1 + n]
        assert told.logprob == pytest.approx(float(expected[told.token]), abs=1e-3)
        values, tokens = expected.topk(3)
        assert [token for token, _ in told.top] == tokens.tolist()
        assert [value for _, value in told.top] == pytest.approx(values.tolist(), abs=1e-3)


def test_what_is_drawn_does_not_hang_on_a_model_that_is_loaded_meanwhile() -> None:
    def drawn() -> list[int]:
        random = torch.Generator().manual_seed(1)
        logits = torch.randn(64, 400, generator=random, dtype=torch.float32)
        randoms = [new_random(n) for n in range(64)]
        return next_tokens(logits, logits > 1, [0.8] * 64, randoms)

    before = drawn()
    torch.set_default_dtype(torch.bfloat16)  # as transformers does, for all threads
    try:
        assert drawn() == before
    finally:
        torch.set_default_dtype(torch.float32)
