"""What an evaluation found, as it is stored, gated and shown."""

from typing import Any, Literal

from pydantic import model_validator

from twin_assets.core.records import Record, Visibility
from twin_assets.evaluation.blind_pairs import BlindPair
from twin_assets.evaluation.comparison import Advice
from twin_assets.evaluation.contest.ability import Ability
from twin_assets.evaluation.contest.effort import Effort
from twin_assets.evaluation.contest.judge import Verdicts
from twin_assets.evaluation.grounding.qa_eval import QaEval
from twin_assets.evaluation.grounding.questions import QuestionSet
from twin_assets.evaluation.grounding.safety import Safety
from twin_assets.evaluation.sense.meter import SenseScore
from twin_assets.evaluation.stages import StageGains
from twin_assets.evaluation.voice.copying import CopyReport
from twin_assets.evaluation.voice.meter import VoiceScore

CANDIDATE, BASELINE, PROMPTED, PRODUCTION = "candidate", "base+prompt+retrieval", "base+prompt", "production"
# The SFT model beside a candidate of the second stage; where that gained nothing, the two change places (evaluate.py).
SFT_ALONE = "SFT alone"
# Texts that a report shows under their systems' names, and words of the author's beside them.
SHOWN_SAMPLES, REAL_WORDS = 4, 150
# Reports that were stored under the names of before are still read.
BEFORE = {
    "contestants": "systems",
    "exam": "qa_eval",
    "ceiling": "upper_bound",
    "ceiling_copying": "upper_bound_copying",
    "ceiling_unseen_words": "upper_bound_unseen_words",
    "floor": "lower_bound",
    "floor_is": "lower_bound_is",
}


def _by_new_names(given: Any) -> Any:
    return (
        {BEFORE.get(name, name): value for name, value in given.items()} if isinstance(given, dict) else given
    )


class Sample(Record):
    """A text by a system; `passages` is what it was shown, `real` what the author wrote on the topic."""

    prompt: str
    text: str
    passages: list[str] = []
    real: str = ""


class SystemResult(Record):
    """How one system did. `own_voice` is the voice of what is left without copied runs, `unseen_words`
    the share of words that stand in no training text and no other author's, `sense` whether it reads as language."""

    model: str
    voice: VoiceScore
    copying: CopyReport
    samples: list[Sample]
    own_voice: VoiceScore | None = None
    seconds: float = 0.0
    words: int = 0
    unseen_words: float | None = None
    qa_eval: QaEval | None = None
    safety: Safety | None = None
    effort: Effort | None = None
    sense: SenseScore | None = None

    _before = model_validator(mode="before")(_by_new_names)


class EvaluationReport(Record):
    """Everything the gate and the report page show. Gain is candidate minus base+prompt+retrieval, of voice figures, or of
    margins (`gain_in`) where there are too few writers for a figure. `told_from` is how many other people the figure
    tells the author from, `voice_caution` what is weak about that.

    `refusal_rate` and `false_refusal_rate` are of the service's gate in front of the model, which declines what
    retrieval finds nothing for; what the models themselves decline is in their `qa_eval`.
    """

    persona: str
    candidate: str
    profile: str
    systems: dict[str, SystemResult]
    upper_bound: VoiceScore
    lower_bound: VoiceScore
    real_sample: str
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    hit_rate: float | None
    mrr: float | None
    refusal_rate: float | None
    false_refusal_rate: float | None
    prompts: int
    lower_bound_is: str = ""
    upper_bound_copying: CopyReport | None = None
    upper_bound_unseen_words: float | None = None
    upper_bound_sense: SenseScore | None = None
    gain_pairs: int = 0
    gain_in: Literal["margin", "figure"] = "margin"
    gain_note: str | None = None
    told_from: int = 0
    voice_caution: str | None = None
    questions: int = 0
    seed: int = 0
    visibility: Visibility = "public"
    learnt_from: dict[str, int] = {}
    heldout_questions: int = 0
    heldout_hit_rate: float | None = None
    heldout_mrr: float | None = None
    ability: Ability | None = None
    verdicts: list[Verdicts] = []
    blind_pairs: list[BlindPair] = []
    question_sets: list[QuestionSet] = []
    advice: Advice | None = None
    stages: StageGains | None = None

    _before = model_validator(mode="before")(_by_new_names)
