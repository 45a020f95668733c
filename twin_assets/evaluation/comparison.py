"""Which is the cheapest way to the voice: prompting alone, retrieval beside it, or fine-tuning?

The systems are in the order of what they cost to set up and keep. One clears the bar when nothing on it falls short of
what the gate asks of any text, and it has come far enough from other authors towards the author.
"""

from twin_assets.core.records import Record


class ComparedSystem(Record):
    """`voice_share` is where the voice stands between other authors (0) and the author's own unseen text (1), None
    where it can't be said; `short` names what falls short, in words."""

    role: str
    voice_share: float | None
    short: list[str]
    tokens_in: float | None = None
    latency: float | None = None
    usd_per_call: float | None = None

    @property
    def clears(self) -> bool:
        return not self.short


class Comparison(Record):
    """`cheapest` is the first system that clears the bar; `propose` whether the fine-tune may be put to a person."""

    systems: list[ComparedSystem]
    cheapest: str | None
    propose: bool
    verdict: str


class Advice(Record):
    """Whether the fine-tune was `worth` its training, None where that can't be said; `helps` is what would bring what falls
    short further."""

    worth: bool | None
    verdict: str
    helps: list[str] = []


def compare(systems: list[ComparedSystem], candidate: str, beats_baseline: bool | None) -> Comparison:
    """`systems` cheapest first. A fine-tune is proposed only if it beats the same base with prompt and retrieval,
    whatever else it clears; that a cheaper system is enough is said, and left to the person. None: it does not, or that was
    not measured, and the gate does not ask for it."""
    cheapest = next((r.role for r in systems if r.clears), None)
    if cheapest is None:
        first = "No system clears the bar."
    elif cheapest == candidate:
        first = "Fine-tuning is the cheapest system that clears the bar."
    else:
        first = f"{cheapest} is the cheapest system that clears the bar: fine-tuning is not needed for that."
    second = {
        True: "The fine-tune beats its own baseline: if it passes its gate, it is proposed.",
        False: "The fine-tune does not beat its own baseline, base+prompt+retrieval, and is not proposed.",
        None: "That the fine-tune beats its own baseline, base+prompt+retrieval, is not known, and not asked for at this size.",
    }[beats_baseline]
    return Comparison(
        systems=systems, cheapest=cheapest, propose=beats_baseline is not False, verdict=f"{first} {second}"
    )


def voice_share(margin: float | None, lower_bound: float | None, upper_bound: float | None) -> float | None:
    """Where a margin stands from `lower_bound` (0) to `upper_bound` (1); None when one is missing, or they aren't in that order."""
    if margin is None or lower_bound is None or upper_bound is None or upper_bound <= lower_bound:
        return None
    return (margin - lower_bound) / (upper_bound - lower_bound)
