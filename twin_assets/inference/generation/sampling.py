"""Chooses the next token of several sequences at once, each with its own settings and its own random numbers."""

from dataclasses import dataclass
from typing import Any

# A small model left to itself repeats: the usual mild settings against it.
TOP_K, TOP_P, REPETITION_PENALTY = 50, 0.95, 1.1


@dataclass(frozen=True)
class Sampling:
    """How one text is written. Temperature 0 is greedy; the same seed gives the same random numbers.

    `repetition_penalty` holds back what the prompt says too: 1 for a text that shall keep to the prompt's words.
    """

    max_tokens: int
    temperature: float = 0.8
    seed: int | None = None
    stop: tuple[str, ...] = ()
    repetition_penalty: float = REPETITION_PENALTY


def new_random(seed: int | None) -> Any:
    """A `torch.Generator` of its own, so that sequences of a batch don't disturb one another."""
    import torch

    random = torch.Generator()
    if seed is None:
        random.seed()
    else:
        random.manual_seed(seed)
    return random


def next_tokens(
    logits: Any,
    seen: Any,
    temperatures: list[float],
    randoms: list[Any],
    penalties: list[float] | None = None,
) -> list[int]:
    """One token a row. `logits` has shape (rows, vocabulary), as has `seen`, true where a row holds the token.
    `penalties` are REPETITION_PENALTY unless given.

    A repetition penalty (Keskar et al. 2019), then the temperature, the TOP_K likeliest tokens (Fan et al. 2018),
    and of their probability the nucleus (Holtzman et al. 2020): what transformers does, in its order.
    """
    import torch

    scores = logits.float()
    penalty = torch.tensor(penalties or [REPETITION_PENALTY] * len(randoms), device=scores.device).unsqueeze(
        1
    )
    scores = torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
    if not any(temperatures):
        return scores.argmax(dim=-1).tolist()
    divisors = torch.tensor([t or 1.0 for t in temperatures], device=scores.device).unsqueeze(1)
    best, tokens = (scores / divisors).topk(min(TOP_K, scores.shape[-1]), dim=-1)
    mass = best.softmax(dim=-1)
    before = mass.cumsum(dim=-1) - mass
    mass = torch.where(before < TOP_P, mass, 0.0)  # the first token always stays: nothing stands before it
    reached = mass.cumsum(dim=-1)
    drawn = torch.stack([torch.rand(1, generator=random) for random in randoms]).to(scores.device)
    picked = torch.searchsorted(reached, drawn * reached[:, -1:]).clamp(max=mass.shape[-1] - 1)
    greedy = torch.tensor([t == 0 for t in temperatures], device=scores.device).unsqueeze(1)
    picked = torch.where(greedy, 0, picked)
    return tokens.gather(1, picked).squeeze(1).tolist()
