"""What a model says of one of the author's passages, for requests that the passage answers."""

from collections.abc import Mapping

from pydantic import BaseModel

from twin_assets.core.records import Record


class Lesson(BaseModel):
    """What is empty was not said, or was not good enough; rules make the request in its place.

    `outline` and `draft` are a teacher's: a small model's outlines and drafts are worth little.
    """

    topic: str = ""
    question: str = ""
    outline: list[str] = []
    draft: str = ""


class Teaching(Record):
    """Lessons by passage key, of `model`. `dropped` counts by reason what was not taught; of the passages, or requests about
    them, so many were `asked` now and `cached` before."""

    model: str
    lessons: Mapping[str, Lesson]
    dropped: dict[str, int]
    asked: int
    cached: int
