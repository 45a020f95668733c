"""Chooses the next token of several sequences at once, each with its own settings and its own random numbers."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from twin_assets.inference.generation.structured.schema import ResponseFormat

# A small model left to itself repeats: the usual mild settings against it.
TEMPERATURE, TOP_K, TOP_P, REPETITION_PENALTY = 0.8, 50, 0.95, 1.1


class Manner(NamedTuple):
    """How texts of one kind are drawn where nobody asks for something else."""

    temperature: float
    repetition_penalty: float

    def sampling(self, max_tokens: int, seed: int | None, temperature: float | None = None) -> "Sampling":
        """Of a text of this kind, at the temperature that was asked for, if one was."""
        drawn = self.temperature if temperature is None else temperature
        return Sampling(max_tokens, drawn, seed, repetition_penalty=self.repetition_penalty)


WRITING = Manner(TEMPERATURE, REPETITION_PENALTY)
# An answer with passages is for what they say: nearer to the likeliest words, and without the penalty on repetition, which
# counts the prompt's words too (benchmarks/facts.py).
ANSWERING = Manner(0.3, 1.0)


@dataclass(frozen=True)
class Sampling:
    """How one text is written. Temperature 0 is greedy; the same seed gives the same random numbers.

    `top_p` is TOP_P where it is None. `repetition_penalty` holds back what the prompt says too: 1 for a text that shall keep to
    the prompt's words. The other penalties are OpenAI's: taken from the logit of a token that the text holds
    already, once and for each time. With `top_logprobs` the likelihood of each token is kept, and of so many likeliest. With a
    `response_format` the text is JSON of that kind, as far as `max_tokens` lets it come.
    """

    max_tokens: int
    temperature: float = TEMPERATURE
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_p: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_logprobs: int | None = None
    repetition_penalty: float = REPETITION_PENALTY
    response_format: ResponseFormat | None = None


def following_seed(seed: int | None, n: int) -> int | None:
    """The n-th seed after one; after the last comes the first."""
    return None if seed is None else (seed + n + 2**63) % 2**64 - 2**63


class TokenLogprob(NamedTuple):
    """A token that was written, its log-likelihood in nats, and the likeliest tokens with theirs, best first."""

    token: int
    logprob: float
    top: list[tuple[int, float]]


def logprob_of(logs: Any, token: int, top: int) -> TokenLogprob:
    """`logs` are the model's own log-likelihoods, shape (vocabulary,): before temperature, nucleus and penalties."""
    best, tokens = logs.topk(min(top, logs.shape[-1]))
    return TokenLogprob(token, float(logs[token]), list(zip(tokens.tolist(), best.tolist(), strict=True)))


def penalise(scores: Any, written: Counter[int], sampling: Sampling) -> None:
    """Take the penalties of a text that holds the tokens `written` from its logits, shape (vocabulary,), in place."""
    import torch

    tokens = torch.tensor(list(written), device=scores.device)
    counts = torch.tensor(list(written.values()), device=scores.device, dtype=scores.dtype)
    scores[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * counts


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
    top_ps: list[float] | None = None,
    penalties: list[float] | None = None,
) -> list[int]:
    """One token a row. `logits` has shape (rows, vocabulary), as has `seen`, true where a row holds the token.
    `top_ps` are TOP_P and `penalties` REPETITION_PENALTY unless given.

    A repetition penalty (Keskar et al. 2019), then the temperature, the TOP_K likeliest tokens (Fan et al. 2018),
    and of their probability the nucleus (Holtzman et al. 2020): what transformers does, in its order.
    """
    import torch

    scores = logits.float()
    # Said, since the default is another one while any thread of the process loads a model in 16 bits.
    like: dict[str, Any] = {"dtype": torch.float32, "device": scores.device}
    penalty = torch.tensor(penalties or [REPETITION_PENALTY] * len(randoms), **like).unsqueeze(1)
    scores = torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
    if not any(temperatures):
        return scores.argmax(dim=-1).tolist()
    divisors = torch.tensor([t or 1.0 for t in temperatures], **like).unsqueeze(1)
    best, tokens = (scores / divisors).topk(min(TOP_K, scores.shape[-1]), dim=-1)
    mass = best.softmax(dim=-1)
    before = mass.cumsum(dim=-1) - mass
    nucleus = torch.tensor(top_ps or [TOP_P] * len(randoms), **like).unsqueeze(1)
    # The first token always stays: nothing stands before it.
    mass = torch.where(before < nucleus.clamp(min=1e-9), mass, 0.0)
    reached = mass.cumsum(dim=-1)
    drawn = torch.stack([torch.rand(1, generator=random, dtype=torch.float32) for random in randoms]).to(
        **like
    )
    picked = torch.searchsorted(reached, drawn * reached[:, -1:]).clamp(max=mass.shape[-1] - 1)
    greedy = torch.tensor([t == 0 for t in temperatures], device=scores.device).unsqueeze(1)
    picked = torch.where(greedy, 0, picked)
    return tokens.gather(1, picked).squeeze(1).tolist()
