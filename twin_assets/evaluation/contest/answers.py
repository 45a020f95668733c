"""The questions: everybody answers the same ones, and what they said is measured."""

from collections.abc import Callable

from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import SplitDocument
from twin_assets.evaluation.contest.instruments import Instruments
from twin_assets.evaluation.contest.write import ContestWriter, System, Written
from twin_assets.evaluation.grounding.as_served import refusals_as_served
from twin_assets.evaluation.grounding.qa_eval import (
    MADE,
    PUBLIC,
    SETS,
    WRITTEN,
    Kind,
    QaEval,
    QaItem,
    qa_items,
    score_qa,
)
from twin_assets.evaluation.grounding.questions import (
    Question,
    QuestionSet,
    measure_set,
)
from twin_assets.inference.grounding.claims import Measure


def question_items(
    questions: list[Question],
    made: dict[Kind, list[Question]],
    instruments: Instruments,
    documents: list[SplitDocument],
    most: int,
) -> list[QaItem]:
    return qa_items(
        {
            "own": [q for q in questions if not q.unanswerable][:most],
            "unanswerable": [q for q in questions if q.unanswerable][:most],
            **made,
        },
        instruments.plan,
        {d.doc_id: d.voice_text for d in documents},
    )


def answer_all(
    systems: dict[str, System],
    items: list[QaItem],
    writer: ContestWriter,
    profile: Profile,
    on_progress: Callable[[str], None],
) -> dict[str, Written]:
    """Everybody answers every question; the first few again one by one, for the time of a single call."""
    sizes = profile.evaluation
    written = {role: Written() for role in systems}
    for role, system in systems.items():
        asked = [writer.question(item, system.prompting, n) for n, item in enumerate(items)]
        if not asked:
            continue
        on_progress(f"{role} ({system.model}) answers {len(asked)} questions")
        written[role].add(system.answers, asked, sizes.answer_tokens)
        for one in asked[: sizes.calls_alone]:
            written[role].alone += system.answers([one], sizes.answer_tokens)
    return written


def measure_answers(
    items: list[QaItem],
    texts: list[str],
    system: System,
    persona: Persona,
    profile: Profile,
    instruments: Instruments,
    measure: Measure,
    seed: int,
) -> QaEval | None:
    """A system's answers by themselves, and with a desk as the service would give them; None where nothing was asked."""
    if not items:
        return None
    found = score_qa(items, texts, persona, measure, system.sees_passages, seed, instruments.supported)
    if not instruments.desk:
        return found
    served = found.refusals_by_set  # what is shown no passages is served as it answers
    if system.sees_passages:
        options = persona.answers.over(profile.answers)
        served = refusals_as_served(items, texts, persona, instruments.desk, options)
    return found.model_copy(update={"served_by_set": served})


def question_sets(
    questions: list[Question], made: dict[Kind, list[Question]], instruments: Instruments
) -> list[QuestionSet]:
    """Retrieval and the gate in front, by who wrote the questions; sets without questions are left out."""
    by_set = {
        WRITTEN: questions,
        **{name: [q for kind in SETS[name] for q in made.get(kind, [])] for name in (MADE, PUBLIC)},
    }
    return [
        measure_set(name, some, instruments.retrieve, instruments.would_refuse)
        for name, some in by_set.items()
        if some
    ]
