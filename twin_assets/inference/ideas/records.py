"""What an idea is: something that one could write, with the passages it stands on and why."""

from typing import Literal, get_args

from twin_assets.core.records import Record
from twin_assets.inference.twin.answer import Citation

IdeaKind = Literal["topic", "question", "follow_up", "link"]
KINDS: tuple[IdeaKind, ...] = get_args(IdeaKind)


class WritingIdea(Record):
    """`title` is what a text would be about, as `/v1/write` takes a `topic`; `why` says in a sentence what it stands on.

    `kind`: a `topic` that the persona touched and never wrote about, a `question` of readers', a `follow_up` to something that
    was liked, a `link` that was given (`url`). `score` ranks ideas of one kind.
    """

    kind: IdeaKind
    title: str
    why: str
    passages: list[Citation]
    score: float
    url: str | None = None


class Ideas(Record):
    """Ideas, of each kind the best first. `left_out` says by kind why there are none, or what was not looked at; by its address
    why a link gave none."""

    ideas: list[WritingIdea]
    left_out: dict[str, str] = {}
