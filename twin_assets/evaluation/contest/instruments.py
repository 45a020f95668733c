"""What an evaluation measures with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from twin_assets.core.embedding.embedder import Embed
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.evaluation.contest.judge import Judge
from twin_assets.evaluation.grounding.questions import (
    Question,
    Retrieve,
)
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.inference.grounding.claims import Measure
from twin_assets.inference.grounding.facts import FactDesk
from twin_assets.inference.twin.answer import Plan


@dataclass(frozen=True)
class Instruments:
    """What an evaluation measures with. `plan` is the service's `Twin.plan_answer`; `right_answers` gives each item
    of the ability test 1 or 0 for a model version; without it, a judge or `sense`, that part is left out, of the last
    with `no_sense` for the reason. A claim counts from `supported` on with this `measure`, by
    default the mix with `embed`, two passages are about one thing from `same_subject` on. `public_questions` are of nobody's corpus. At the `desk` answers are held to
    their passages, as the service does."""

    retrieve: Retrieve
    plan: Callable[[str], Plan]
    embed: Embed
    right_answers: Callable[[str], np.ndarray] | None = None
    judge: Judge | None = None
    supported: float = OFFLINE_MINILM.supported
    measure: Measure | None = None
    sense: SenseMeter | None = None
    no_sense: str = "this profile leaves it out"
    same_subject: float = OFFLINE_MINILM.same_subject
    public_questions: tuple[Question, ...] = ()
    desk: FactDesk | None = None

    def would_refuse(self, question: str) -> bool:
        """Whether the service's own gate declines, before any model is asked."""
        return self.plan(question).refusal is not None
