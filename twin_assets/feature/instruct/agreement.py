"""Whether what a teacher says of a passage is about that passage."""

from collections.abc import Callable, Mapping

import numpy as np

from twin_assets.feature.instruct.teacher import SyntheticExample, TeacherRequest

# Cosines with the passage, measured with offline-minilm on two authors. Half of a passage says what a draft might:
# 99% are nearer to the whole than MIN_DRAFT, and 92 to 98% of the author's other passages are not. A title of key
# phrases with a question made of them: 94% are nearer than MIN_REQUEST, and 78 to 89% of other passages are not.
MIN_DRAFT, MIN_REQUEST = 0.4, 0.2


def agreeing_lessons(
    lessons: Mapping[str, SyntheticExample],
    passages: list[TeacherRequest],
    embed: Callable[[list[str]], np.ndarray],
) -> dict[str, SyntheticExample]:
    """The lessons whose draft, and topic with question, are near to their passage; by passage key."""
    taught = {p.key: p.text for p in passages if p.key in lessons}
    if not taught:
        return {}
    about = [lessons[key] for key in taught]
    told = embed(list(taught.values()))
    drafts = (told * embed([lesson.draft for lesson in about])).sum(axis=1)
    requests = (told * embed([f"{lesson.topic}\n{lesson.question}" for lesson in about])).sum(axis=1)
    # Rounded, since the last bits differ from one CPU to another.
    agrees = (np.round(drafts, 3) >= MIN_DRAFT) & (np.round(requests, 3) >= MIN_REQUEST)
    return {key: lessons[key] for key, good in zip(taught, agrees, strict=True) if good}
