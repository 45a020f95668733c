"""What every step of a chain works with: the twin's passages, a writer for each text, and the count of what that took."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from twin_assets.core.embedding.thresholds import Thresholds
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.inference.generation.sampling import Sampling, following_seed
from twin_assets.inference.twin.answer import Linked, Plan, Twin, sampling_of
from twin_assets.inference.twin.brief import TOKENS_A_WORD, Brief
from twin_assets.inference.twin.candidates import CandidateScore
from twin_assets.inference.twin.writing import Writing

# A text without a wish for its length, by kind.
USUAL_WORDS = {"linkedin_post": 150, "x_post": 40, "article": 600}
# Of the words that an answer has room for, a section asks for so many: it must be able to end.
FILLED = 0.8
MOST_SECTION_WORDS = 250


class Judge(Protocol):
    """The instruments that look at a section."""

    def scores(self, texts: list[str], passages: list[str]) -> tuple[list[CandidateScore], dict[str, str]]:
        """Of each text, and which instruments could not be asked, and why."""
        ...

    def copied(self, text: str) -> list[str]:
        """Runs of words that stand in the persona's writing, the longest first."""
        ...

    def near(self, text: str, subject: str) -> float:
        """How near a text is to what it is to be about: the cosine of their embeddings."""
        ...

    def supported(self, claims: list[str], passages: list[str]) -> list[bool]:
        """Whether the passages support each sentence."""
        ...


@dataclass
class ChainDesk:
    """Of one chain. `begin` makes the text of a plan; its writings are counted when they end.

    Each text has a seed of its own, counted on from `seed`, so that the same request gives the same chain.
    """

    twin: Twin
    brief: Brief
    begin: Callable[[Plan, Sampling], Writing]
    temperature: float
    seed: int
    thresholds: Thresholds
    linked: Linked | None = None
    writings: list[Writing] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    steps_ms: Counter[str] = field(default_factory=Counter)

    @property
    def words(self) -> int:
        """About how long the whole text is to be."""
        return self.brief.words or USUAL_WORDS[self.brief.kind]

    @property
    def section_words(self) -> int:
        """About how long a section can be, by the model's room for an answer."""
        room = FILLED * self.twin.profile.answer_tokens / TOKENS_A_WORD
        return max(min(round(room), MOST_SECTION_WORDS), 20)

    @property
    def context_words(self) -> int:
        """How many words of what went before a section's prompt shows: a sixth of what the model reads."""
        return round(self.twin.profile.context_tokens / 6 / TOKENS_A_WORD)

    def write(
        self, plan: Plan, sampling: Sampling | None = None
    ) -> Generator[str, None, tuple[str, Writing]]:
        """The pieces of a plan's text, and at their end the whole text with its writing. Raises what `Writing.pieces` does."""
        sampling = sampling or sampling_of(plan, self.temperature, None)
        seed = following_seed(self.seed, len(self.writings))
        writing = self.begin(plan, replace(sampling, seed=seed))
        self.writings.append(writing)
        parts: list[str] = []
        try:
            for piece in writing.pieces():
                parts.append(piece)
                yield piece
        finally:
            self.steps_ms.update(writing.steps_ms)
            self.degraded += [
                part for part in plan.degraded + writing.writers.degraded if part not in self.degraded
            ]
        return "".join(parts).strip(), writing

    @property
    def tokens(self) -> tuple[int, int]:
        """Read and written so far, over all texts."""
        counts = [writing.writers.tokens for writing in self.writings]
        return sum(read for read, _ in counts), sum(written for _, written in counts)

    def fits(self, text: str) -> bool:
        """Whether the model can be shown a text and still answer."""
        profile = self.twin.profile
        return estimated_tokens(text) < (profile.context_tokens - profile.answer_tokens) / 2


def unheard(pieces: Generator[str, None, Any]) -> Generator[str, None, Any]:
    """The same with signs of life in the place of its words, which are nothing to read; returns what it returns."""
    with closing(pieces):
        while True:
            try:
                next(pieces)
            except StopIteration as end:
                return end.value
            yield ""
