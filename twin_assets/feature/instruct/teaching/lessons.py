"""What a model says of one of the author's passages, for requests that the passage answers."""

from pydantic import BaseModel


class Lesson(BaseModel):
    """What is empty was not said, or was not good enough; rules make the request in its place.

    `outline` and `draft` are a teacher's: a small model's outlines and drafts are worth little.
    """

    topic: str = ""
    question: str = ""
    outline: list[str] = []
    draft: str = ""
