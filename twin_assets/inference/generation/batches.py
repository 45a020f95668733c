"""Many texts from one model, in batches, with word of how far it is."""

import time
from collections.abc import Callable

from twin_assets.core.records import Message
from twin_assets.inference.generation.engine import MAX_ROWS as BATCH
from twin_assets.inference.generation.local import Generator
from twin_assets.inference.generation.sampling import REPETITION_PENALTY, Sampling


def generate_all(
    generator: Generator,
    conversations: list[list[Message]],
    max_tokens: list[int],
    *,
    temperature: float,
    seed: int,
    on_progress: Callable[[str], None],
    repetition_penalty: float = REPETITION_PENALTY,
) -> list[str]:
    """One text for each conversation, in their order, of at most its number of `max_tokens`.

    Those with like limits are asked for together: one call has one limit, and ends with its longest text.
    """
    texts = [""] * len(conversations)
    order = sorted(range(len(conversations)), key=lambda at: (max_tokens[at], at))
    start = time.monotonic()
    for first in range(0, len(order), BATCH):
        batch = order[first : first + BATCH]
        most = max(max_tokens[at] for at in batch)
        sampling = Sampling(most, temperature, seed, repetition_penalty=repetition_penalty)
        written = generator.generate([conversations[at] for at in batch], sampling)
        for at, generation in zip(batch, written, strict=True):
            texts[at] = generation.text
        on_progress(_progress(first + len(batch), len(order), time.monotonic() - start))
    return texts


def _progress(done: int, of: int, seconds: float) -> str:
    left = seconds / done * (of - done)
    return f"{done} of {of} texts in {seconds:.0f} s" + (f", about {left:.0f} s left" if done < of else "")
