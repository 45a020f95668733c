"""A text in steps: ideas, an outline, a draft section by section, a check, and a revision of what the check found.

After Yang et al., "Re3: Generating Longer Stories With Recursive Reprompting and Revision" (2022), which plans, drafts, chooses and
edits likewise; the check here is the platform's own judge. Whoever brings a step's result, edited or not, goes on from there.
"""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.tracing.spans import spanned
from twin_assets.inference.twin.answer import Citation, Plan
from twin_assets.inference.twin.chain.checking import SectionCheck, SectionLook, check_section
from twin_assets.inference.twin.chain.desk import ChainDesk, Judge
from twin_assets.inference.twin.chain.drafting import (
    assembled,
    plan_section,
    section_brief,
    subject_of,
    write_section,
)
from twin_assets.inference.twin.chain.planning import make_ideas, make_outline
from twin_assets.inference.twin.chain.records import (
    ChainEvent,
    ChainStep,
    Finding,
    GivenSteps,
    Idea,
    Outline,
    Revision,
    Section,
)
from twin_assets.inference.twin.chain.revising import revise_section

# None says that it lives, while nothing can be said.
Events = Generator[ChainEvent | None, None, None]


class Chain:
    """One chain. What was made so far stands in `outline`, `sections` and `findings`, however it ends."""

    def __init__(
        self,
        desk: ChainDesk,
        given: GivenSteps,
        judge: Judge,
        price: Callable[[int, int, float], float | None] = lambda *_: None,
    ) -> None:
        """Raises TwinError when what was given doesn't fit together."""
        self.desk, self._given, self._judge, self._price = desk, given, judge, price
        self.outline = given.outline
        self.sections: list[Section] = []
        self.findings: list[Finding] = []
        self._plans: list[Plan] = []
        self._checks: list[SectionCheck] = []
        if given.sections is not None and (
            given.outline is None or len(given.sections) != len(given.outline.sections)
        ):
            raise TwinError(
                "The sections that were given are not those of an outline.",
                "send the outline too, and one section, or null, for each of its sections.",
            )

    @property
    def text(self) -> str:
        """The whole text, as far as it is written."""
        return assembled(self.outline, self.sections) if self.outline and self.sections else ""

    @property
    def citations(self) -> list[Citation]:
        """Every passage that the text was written from, numbered from 1."""
        distinct = {
            citation.chunk_id: citation for section in self.sections for citation in section.citations
        }
        return [c.model_copy(update={"number": n}) for n, c in enumerate(distinct.values(), start=1)]

    def events(self) -> Events:
        """Everything that happens, in its order. Raises what `Writing.pieces` does; what was made before stays."""
        idea: str | None = self._given.idea
        if self.outline is None:
            if idea is None:
                ideas = yield from spanned("ideas", self._ideas())
                idea = ideas[0].title
            if self._given.runs("outline"):
                yield from spanned("outline", self._outline(idea))
        if self.outline is None or not self._given.runs("draft"):
            return
        yield from spanned("draft", self._draft(self.outline))
        if self._given.runs("check"):
            yield from spanned("check", self._check(self.outline))
        if self._given.runs("revise") and self.findings:
            yield from spanned("revise", self._revise(self.outline))

    def _ideas(self) -> Generator[ChainEvent | None, None, list[Idea]]:
        step = _Step(self, "ideas")
        yield step.begun()
        made = yield from _signs(make_ideas(self.desk))
        yield step.done(ideas=made.value, by=made.by, why=made.why)
        ideas: list[Idea] = made.value
        return ideas

    def _outline(self, idea: str) -> Events:
        step = _Step(self, "outline")
        yield step.begun()
        made = yield from _signs(make_outline(self.desk, idea))
        self.outline = made.value
        yield step.done(outline=made.value, by=made.by, why=made.why)

    def _draft(self, outline: Outline) -> Events:
        step = _Step(self, "draft")
        yield step.begun()
        for at, plan in enumerate(outline.sections):
            given = self._given_section(at)
            if given is not None:
                shown = plan_section(self.desk, outline, at, self.sections)
                section = Section(heading=plan.heading, text=given.strip(), citations=shown.citations)
            else:
                yield step.begun(at)
                pieces = write_section(self.desk, outline, at, self.sections)
                section, shown = yield from _told(pieces, partial(step.delta, at))
            self.sections.append(section)
            self._plans.append(shown)
        yield step.done(sections=list(self.sections), by="person" if self._all_given else "model")

    def _check(self, outline: Outline) -> Events:
        step = _Step(self, "check")
        yield step.begun()
        left_out: dict[str, str] = {}
        for at, section in enumerate(self.sections):
            yield None
            check = check_section(
                section, self._look(outline, at), self._judge, self.desk.thresholds.agreeing_request
            )
            self._checks.append(check)
            left_out |= check.left_out
        self._note()
        yield step.done(findings=self.findings, left_out=left_out)

    def _revise(self, outline: Outline) -> Events:
        step = _Step(self, "revise")
        yield step.begun()
        revisions: list[Revision] = []
        for at, check in enumerate(self._checks):
            if check.findings:
                yield step.begun(at)
                self.sections[at], self._checks[at], revision = yield from _signs(
                    revise_section(
                        self.desk, self._judge, outline, self.sections[at], self._look(outline, at), check
                    )
                )
                revisions.append(revision)
        self._note()
        yield step.done(revisions=revisions, sections=list(self.sections), findings=self.findings)

    @property
    def _all_given(self) -> bool:
        return bool(self._given.sections) and None not in (self._given.sections or [None])

    def _look(self, outline: Outline, at: int) -> SectionLook:
        """What a section is looked at beside; an X post's length is seen to as it is written."""
        words = section_brief(self.desk, outline).words if self.desk.brief.words else None
        given = self._given_section(at) is not None
        return SectionLook(at, subject_of(outline, at), self._plans[at], self.sections[:at], words, given)

    def _given_section(self, at: int) -> str | None:
        return self._given.sections[at] if self._given.sections else None

    def _note(self) -> None:
        self.findings = [finding for check in self._checks for finding in check.findings]

    def spent(self) -> tuple[int, int, float]:
        """Tokens read and written, and milliseconds of generating, so far."""
        return *self.desk.tokens, self.desk.steps_ms["generate"]

    def cost_of(self, tokens_in: int, tokens_out: int, generate_ms: float) -> float | None:
        """In US dollars; None where no price is known."""
        return self._price(tokens_in, tokens_out, generate_ms)


class _Step:
    """Makes the events of one step, with what it took."""

    def __init__(self, chain: Chain, name: ChainStep) -> None:
        self._chain, self._name = chain, name
        self._start, self._before = time.monotonic(), chain.spent()

    def begun(self, section: int | None = None) -> ChainEvent:
        return ChainEvent(event="begun", step=self._name, section=section)

    def delta(self, section: int, text: str) -> ChainEvent:
        return ChainEvent(event="delta", step=self._name, section=section, delta=text)

    def done(self, **result: Any) -> ChainEvent:
        tokens_in, tokens_out, generate_ms = (
            now - then for now, then in zip(self._chain.spent(), self._before, strict=True)
        )
        return ChainEvent(
            event="done",
            step=self._name,
            ms=(time.monotonic() - self._start) * 1000,
            tokens_in=int(tokens_in),
            tokens_out=int(tokens_out),
            cost=self._chain.cost_of(int(tokens_in), int(tokens_out), generate_ms),
            **result,
        )


def _told(
    pieces: Generator[str, None, Any], tell: Callable[[str], ChainEvent | None]
) -> Generator[ChainEvent | None, None, Any]:
    """Pieces as events, None for empty ones; returns what they return."""
    with closing(pieces):
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                return end.value
            yield tell(piece) if piece else None


def _signs(pieces: Generator[str, None, Any]) -> Generator[ChainEvent | None, None, Any]:
    """Signs of life in place of pieces; returns what they return."""
    return _told(pieces, lambda piece: None)
