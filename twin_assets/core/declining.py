"""Does a text decline to answer? The same rule for what a dataset holds and for what a model writes."""

import re

from twin_assets.core.persona import Persona
from twin_assets.core.prompts import refusals_of

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
    for way in refusals_of(persona):
        for part in way.split("$looked_for"):
            run = min(REFUSAL_RUN, len(_runs(part, 1)))
            if run >= SHORTEST_RUN and not set(_runs(part, run)).isdisjoint(_runs(text, run)):
                return True
    return bool(_DECLINES.search(text))


def _runs(text: str, n: int) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
