"""Questions that the corpus can't answer, declined in the persona's manner."""

import re
from collections.abc import Callable

import numpy as np
import yaml

from twin_assets.core.datasets import InstructRow
from twin_assets.core.embedder import MIN_SIMILARITY
from twin_assets.core.hashing import text_hash
from twin_assets.core.persona import Persona
from twin_assets.core.prompts import refusal, refusals_of, system_message, user_message
from twin_assets.core.records import EmbeddedChunk, Message
from twin_assets.feature.instruct_builder import make_row
from twin_assets.feature.split import word_ngrams
from twin_assets.settings import ROOT

QUESTIONS = ROOT / "twin_assets" / "feature" / "unanswerable.yaml"
HELDOUT_ONE_IN = 5
# So many words in a row of one of the persona's refusals, and a text is one; a shorter part of a refusal
# must be there as a whole.
REFUSAL_RUN, SHORTEST_RUN = 5, 3
_DECLINES = re.compile(
    r"\b(?:(?:i|we) (?:do not|don['’]t|did not|didn['’]t) (?:really )?know"
    r"|(?:i|we) (?:can(?:no|['’])t|won['’]t) (?:answer|say|tell|help|guess)"
    r"|\bunable to (?:answer|say|tell|help)"
    r"|(?:i|we)(?:['’]ve| have) (?:no idea|nothing (?:on|about|to)|not written|never written|written nothing)"
    r"|i haven['’]t (?:written|said)|i never wrote|no idea\b|as an ai\b|found nothing)",
    re.IGNORECASE,
)


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


def declines(text: str, persona: Persona) -> bool:
    """Whether a text declines a question: in the usual words, or in those of one of the persona's refusals."""
    for way in refusals_of(persona):
        for part in way.split("$looked_for"):
            run = min(REFUSAL_RUN, len(word_ngrams(part, 1)))
            if run >= SHORTEST_RUN and not set(word_ngrams(part, run)).isdisjoint(word_ngrams(text, run)):
                return True
    return bool(_DECLINES.search(text))
