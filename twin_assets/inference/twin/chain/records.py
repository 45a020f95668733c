"""What a chain of steps makes, and what is told of it on the way. Every step's result can be edited and given back."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from twin_assets.core.records import Record
from twin_assets.inference.twin.answer import Citation

ChainStep = Literal["ideas", "outline", "draft", "check", "revise"]
STEPS: tuple[ChainStep, ...] = get_args(ChainStep)
FindingKind = Literal[
    "unsupported", "copied", "reads_badly", "other_voice", "off_topic", "length", "link", "repeated"
]

MAX_SECTIONS = 8
MAX_SECTION_CHARACTERS = 20_000
Title = Annotated[str, Field(min_length=3, max_length=500)]


class Idea(Record):
    """An angle on a topic: `title` says what would be written, `why` what it stands on; `passages` are what was found for it."""

    title: Title
    why: Annotated[str, Field(max_length=1000)] = ""
    passages: list[Citation] = []


class SectionPlan(Record):
    """A section that is to be written: its `heading`, and in a sentence what it is `about`; without one, the heading says it."""

    heading: Annotated[str, Field(min_length=1, max_length=200)]
    about: Annotated[str, Field(max_length=1000)] = ""

    @property
    def searched(self) -> str:
        """What passages are found for."""
        return f"{self.heading}. {self.about}" if self.about else self.heading


class Outline(Record):
    """A title and the sections in their order, at least one."""

    title: Title
    sections: Annotated[list[SectionPlan], Field(min_length=1, max_length=MAX_SECTIONS)]


class Section(Record):
    """A section that was written, and what it was written from."""

    heading: str
    text: str
    citations: list[Citation] = []


class Finding(Record):
    """What the check found in a section, by its place from 0: `text` is the part that it is about, empty for the whole;
    `detail` says it in words."""

    section: int
    kind: FindingKind
    text: str = ""
    detail: str


class Revision(Record):
    """What became of a section with findings: which of its versions was kept, how many findings it had and has, and its
    scores (`CandidateScore.total`) before and after."""

    section: int
    kept: Literal["as_it_was", "shortened", "rewritten"]
    findings_before: int
    findings_after: int
    score_before: float
    score_after: float
    text: str


class GivenSteps(Record):
    """What a person brings to a chain: results of steps, edited or not, which are then not made again, and the step to end with.

    Of `sections` those that are None are written, the others taken as they are, one an outline's section.
    """

    idea: Title | None = None
    outline: Outline | None = None
    sections: (
        Annotated[
            list[Annotated[str, Field(max_length=MAX_SECTION_CHARACTERS)] | None],
            Field(max_length=MAX_SECTIONS),
        ]
        | None
    ) = None
    until: ChainStep = "revise"

    def runs(self, step: ChainStep) -> bool:
        """Whether a step is still to be done."""
        return STEPS.index(step) <= STEPS.index(self.until)


class ChainEvent(Record):
    """Something that happened: a step `begun`, a piece of text (`delta`) in it, or its result (`done`).

    `by` says of ideas and outlines whether the model made them or rules did, and `why` why not the model. `ms` is the step's
    time in milliseconds, `cost` in US dollars what its texts cost, None where no price is known.
    """

    event: Literal["begun", "delta", "done"]
    step: ChainStep
    section: int | None = None
    delta: str | None = None
    by: Literal["model", "rules", "person"] | None = None
    why: str | None = None
    ideas: list[Idea] | None = None
    outline: Outline | None = None
    sections: list[Section] | None = None
    findings: list[Finding] | None = None
    revisions: list[Revision] | None = None
    left_out: dict[str, str] | None = None
    ms: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
