"""Many texts from one model: in order, in batches of like length, with word of the progress."""

from collections.abc import Iterator

from twin_assets.core.records import Message
from twin_assets.inference.generation.batches import BATCH, generate_all
from twin_assets.inference.generation.local import Generation
from twin_assets.inference.generation.sampling import Sampling


class Echo:
    """A generator that repeats the request; `limits` holds the max_tokens of every text."""

    model = "echo"

    def __init__(self) -> None:
        self.limits: list[int] = []

    def generate(self, conversations: list[list[Message]], sampling: Sampling) -> list[Generation]:
        self.limits += [sampling.max_tokens] * len(conversations)
        texts = [f"you said {c[-1].content}" for c in conversations]
        return [
            Generation(text=t, tokens_in=1, tokens_out=1, finish_reason="stop", seconds=0.0) for t in texts
        ]

    def stream(self, conversation: list[Message], sampling: Sampling) -> Iterator[str]:
        yield from ()


def test_texts_come_back_in_order_and_short_ones_are_not_written_as_long_as_the_longest() -> None:
    count = 2 * BATCH + 3
    said: list[str] = []
    echo = Echo()
    texts = generate_all(
        echo, [[Message(role="user", content=str(n))] for n in range(count)],
        [10 if n % 2 else 300 for n in range(count)], temperature=0.5, seed=3, on_progress=said.append,
    )  # fmt: skip
    assert texts == [f"you said {n}" for n in range(count)]
    assert echo.limits == [10] * BATCH + [300] * (count - BATCH)
    assert len(said) == 3
    assert "left" in said[0]
    assert said[-1].startswith(f"{count} of {count} texts")
    assert "left" not in said[-1]
    assert generate_all(echo, [], [], temperature=0.5, seed=3, on_progress=print) == []
