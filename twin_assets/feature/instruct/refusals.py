"""Questions that the corpus can't answer, declined in the persona's manner."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.embedding.embedder import MIN_SIMILARITY
from twin_assets.core.hashing import text_hash
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import refusal, system_message, user_message
from twin_assets.core.records import EmbeddedChunk, Message
from twin_assets.feature.instruct.tasks import make_row

QUESTIONS = Path(__file__).with_name("unanswerable.yaml")
HELDOUT_ONE_IN = 5


def unanswerable_questions(
    chunks: list[EmbeddedChunk], embed: Callable[[list[str]], np.ndarray]
) -> tuple[list[str], list[str]]:
    """Questions that this corpus can't answer, and those that it may: a chunk is as near to them as the service
    asks of a passage that it answers from."""
    questions: list[str] = yaml.safe_load(QUESTIONS.read_text())
    if not chunks:
        return questions, []
    corpus = np.array([c.vector for c in chunks], dtype=np.float32)
    # Rounded, since the last bits differ from one CPU to another.
    answerable = np.round((embed(questions) @ corpus.T).max(axis=1), 3) >= MIN_SIMILARITY
    sides = [
        [q for q, may in zip(questions, answerable, strict=True) if may == side] for side in (False, True)
    ]
    return sides[0], sides[1]


def refusal_row(persona: Persona, question: str) -> InstructRow:
    """A question declined with the served refusal; one in five is held out."""
    messages = [
        system_message(persona),
        user_message("answer", question=question),
        Message(role="assistant", content=refusal(persona, question)),
    ]
    heldout = int(text_hash(question, 4), 16) % HELDOUT_ONE_IN == 0
    return make_row("", "refuse", "heldout" if heldout else "train", messages)
