"""Whether what a teacher says of a passage is about that passage."""

from collections.abc import Callable, Mapping

import numpy as np

from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.feature.instruct.teaching.lessons import Lesson
from twin_assets.feature.instruct.teaching.teacher import TeacherRequest


def agreeing_lessons(
    lessons: Mapping[str, Lesson],
    passages: list[TeacherRequest],
    embed: Callable[[list[str]], np.ndarray],
    thresholds: Thresholds = OFFLINE_MINILM,
) -> dict[str, Lesson]:
    """The lessons whose draft, and topic with question, are near to their passage; by passage key. Without a draft, whose
    topic with question is."""
    taught = {p.key: p.text for p in passages if p.key in lessons}
    if not taught:
        return {}
    about = [lessons[key] for key in taught]
    told = embed(list(taught.values()))
    drafts = (
        told * embed([lesson.draft or text for lesson, text in zip(about, taught.values(), strict=True)])
    ).sum(axis=1)
    requests = (told * embed([f"{lesson.topic}\n{lesson.question}" for lesson in about])).sum(axis=1)
    # Rounded, since the last bits differ from one CPU to another.
    agrees = np.round(drafts, 3) >= thresholds.agreeing_draft
    agrees &= np.round(requests, 3) >= thresholds.agreeing_request
    return {key: lessons[key] for key, good in zip(taught, agrees, strict=True) if good}
