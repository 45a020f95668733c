"""Does a text decline to answer? The same rule for what a dataset holds and for what a model writes."""

import re
from functools import lru_cache

from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import refusals_of
from twin_assets.core.text.words import ngrams, terms

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


def declines(text: str, persona: Persona) -> bool:
    """Whether a text declines a question: in the usual words, or in those of one of the persona's refusals."""
    if _DECLINES.search(text):
        return True
    words = terms(text)
    runs = _known_runs(tuple(refusals_of(persona)))
    return any(not parts.isdisjoint(_runs(words, run)) for run, parts in runs.items())


@lru_cache
def _known_runs(refusals: tuple[str, ...]) -> dict[int, set[str]]:
    """By their length, the runs of words that give a refusal away."""
    runs: dict[int, set[str]] = {}
    for part in (part for way in refusals for part in way.split("$looked_for")):
        words = terms(part)
        run = min(REFUSAL_RUN, len(words))
        if run >= SHORTEST_RUN:
            runs.setdefault(run, set()).update(_runs(words, run))
    return runs


def _runs(words: list[str], n: int) -> list[str]:
    return ngrams(words, n)
