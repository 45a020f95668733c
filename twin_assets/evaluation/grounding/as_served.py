"""What a reader is told when a question is asked: the service's gate in front, then the model, then the answer held to its passages."""

from twin_assets.core.persona.answer_options import AnswerOptions
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.refusals import declines
from twin_assets.evaluation.grounding.qa_eval import Answered, QaItem, Refusals, refusals_by_set
from twin_assets.inference.grounding.facts import FactDesk


def refusals_as_served(
    items: list[QaItem], texts: list[str], persona: Persona, desk: FactDesk, options: AnswerOptions
) -> dict[str, Refusals]:
    """Both refusal errors of what the service would give for a model's texts, one an item, by who wrote the questions.

    A text that would be written a second time is taken as nothing, since a draft of which nothing stays is declined most often.
    """
    told = []
    for item, text in zip(items, texts, strict=True):
        plan = item.plan
        served = None if plan.refusal else desk.hold(item.question, plan.passages, text, options)
        told.append(
            Answered(
                kind=item.kind,
                question=item.question,
                text=served or plan.refusal or plan.declining or "",
                declined=served is None or declines(served, persona),
                passages=[],
            )
        )
    return refusals_by_set(told)
