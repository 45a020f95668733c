"""What is done to make answers and texts better while they are asked for; a profile has the defaults, a persona its own."""

from pydantic import Field

from twin_assets.core.persona.sources import Part

MOST_CANDIDATES = 8


class AnswerOptions(Part):
    """What is None is as the profile has it, and off where that has nothing. docs/serving.md says what each is worth."""

    best_of: int | None = Field(
        default=None,
        ge=1,
        le=MOST_CANDIDATES,
        description="Texts that are written for each request; the best is given.",
    )
    quote: bool | None = Field(
        default=None,
        description="Begin the answer to a short question with the sentence of its passages that answers it, as a quotation.",
    )
    check: bool | None = Field(
        default=None,
        description="Take out of an answer what its passages don't support, write once more where that is most of it, and "
        "decline where nothing stays.",
    )
    cite: bool | None = Field(
        default=None, description="Put the number of a passage behind the sentence that it supports."
    )

    strict: bool | None = Field(
        default=None,
        description="Decline a short question that no sentence of its passages answers, before anything is written.",
    )

    def over(self, others: "AnswerOptions") -> "AnswerOptions":
        """These, and those of others where these say nothing."""
        return others.model_copy(update=self.model_dump(exclude_none=True))

    @property
    def tends_facts(self) -> bool:
        """Whether an answer is looked at before it goes out."""
        return bool(self.quote or self.check or self.cite or self.strict)
