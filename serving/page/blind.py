"""Blind reading, in the view Review: two texts whose sides are drawn by chance, and what a reader says of them.

Which text stands left follows from a secret of the installation, the reader and the pair, so that nothing is kept between
showing and answering, a restart changes nothing, and no answer of the service tells it before the reader has chosen.
"""

import hmac
import json
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from serving.access.caller import Caller
from serving.access.dependencies import Asker, Config, PersonaName
from serving.access.kept_secret import kept_secret
from serving.access.needs import needs
from serving.errors import Forbidden, NotFoundError
from serving.page.models import CLOSED_FIX, known_model, states_of, stored_report
from serving.protocol import Name, RequestBody
from twin_assets.core.blind_readings import (
    Choice,
    Finding,
    Kind,
    Reading,
    Verdict,
    add_reading,
    findings,
    gate_problem,
    readings,
    sentence,
)
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.release.ledger import ConflictError, Ledger
from twin_assets.core.storage.lake import open_lake
from twin_assets.evaluation.blind_pairs import BlindPair, readable
from twin_assets.settings import Settings

Side = Literal["left", "right"]
# The question on the base comes first: the other one shows the reader which text is whose.
ORDER: tuple[Kind, ...] = ("base", "author")

router = APIRouter(tags=["review"])


class ShownPair(BaseModel):
    """A pair as a reader sees it; nothing in it says whose text is on which side. `token` goes back with the choice."""

    pair_id: str
    token: str
    kind: Kind
    question: str
    topic: str
    left: str
    right: str


class Told(BaseModel):
    """What was found out so far on one of the two questions; `more` answers would settle it at this rate."""

    kind: Kind
    answers: int
    verdict: Verdict
    more: int | None
    says: str


class BlindView(BaseModel):
    """The pair to read next, with how many are left for this reader, or why there is none; what this reader's answers
    say, and those of all `readers` together; and what approval asks for, if it does."""

    model: str
    pair: ShownPair | None
    left: int
    none: str | None
    you: list[Told]
    readers: int
    all: list[Told]
    gate: str | None


class BlindChoice(RequestBody):
    """`skip` is for a pair of which the reader knows a text."""

    model: Name
    pair_id: str = Field(pattern="^[0-9a-f]{16}$", max_length=16)
    token: str = Field(pattern="^[0-9a-f]{32}$", max_length=32)
    choice: Choice


class BlindAnswer(BaseModel):
    """`author` is the side of the author's text, for that question only; `next` what to read now."""

    right: bool | None
    author: Side | None
    says: str
    next: BlindView


@router.get("/ui/api/{persona}/blind")
@needs("admin")
def blind(persona: PersonaName, model: Name, settings: Config, asker: Asker) -> BlindView:
    """The next pair for whoever asks, and what blind readings of the version say. Forbidden for who may not see what the
    texts were written from."""
    return _view(settings, persona, model, asker.authenticated, _pairs(settings, persona, model, asker))


@router.post("/ui/api/{persona}/blind")
@needs("admin")
def choose(persona: PersonaName, given: BlindChoice, settings: Config, asker: Asker) -> BlindAnswer:
    """Store what a reader says of a pair that they were shown; 409 where they have said so before, or where its sides
    are no longer those that they saw."""
    pairs = _pairs(settings, persona, given.model, asker)
    reader = asker.authenticated
    pair = next((p for p in pairs if p.pair_id == given.pair_id), None)
    if pair is None:
        raise NotFoundError(f"There is no pair {given.pair_id!r} of {given.model}.", "look at the next one.")
    if not hmac.compare_digest(
        given.token, _drawn(settings, "token", persona, given.model, reader, pair.pair_id)
    ):
        raise ConflictError("These are not the sides that you were shown.", "look at the pair again.")
    ours = _candidate_side(settings, persona, given.model, reader, pair)
    wanted = ours if pair.kind == "base" else _other(ours)
    right = None if given.choice == "skip" else given.choice == wanted
    add_reading(
        open_lake(settings), persona, given.model, reader,
        pair_id=pair.pair_id, kind=pair.kind, texts=pair.text_hashes, choice=given.choice, right=right,
    )  # fmt: skip
    author: Side | None = wanted if pair.kind == "author" and right is not None else None
    if right is None:
        says = "Skipped."
    elif author is None:
        says = "Noted."
    else:
        says = f"{'Yes' if right else 'No'}: the {'first' if author == 'left' else 'second'} one is theirs."
    return BlindAnswer(
        right=right if author else None,
        author=author,
        says=says,
        next=_view(settings, persona, given.model, reader, pairs),
    )


def _pairs(settings: Settings, persona: str, model: str, asker: Caller) -> list[BlindPair]:
    known_model(model, states_of(Ledger(open_lake(settings), persona).events()))
    report = stored_report(settings, persona, model)
    if report is None:
        raise NotFoundError(
            f"There is no evaluation report of {model!r}.", "materialise evaluation_report in Dagster."
        )
    if not asker.may_see(report.visibility):
        raise Forbidden(
            f"These pairs quote writing that is not for the audience {asker.audience!r}.", CLOSED_FIX
        )
    return readable(report.blind_pairs)


def _view(settings: Settings, persona: str, model: str, reader: str, pairs: list[BlindPair]) -> BlindView:
    lake = open_lake(settings)
    everyone = readings(lake, persona)
    mine = [r for r in everyone if r.reader == reader]
    yours, together = findings(mine, model), findings(everyone, model)
    readers = len({r.reader for r in everyone if r.model == model and r.right is not None})
    open_pairs = [
        p for kind in ORDER if yours[kind].verdict == "open" for p in _unread(settings, persona, reader, pairs, mine)
        if p.kind == kind
    ]  # fmt: skip
    least = load_profile(settings.profile).gate.blind_reader
    return BlindView(
        model=model,
        pair=_shown(settings, persona, model, reader, open_pairs[0]) if open_pairs else None,
        left=len(open_pairs),
        none=None if open_pairs else _nothing_to_read(pairs, yours),
        you=[_told(yours[kind], "you") for kind in ORDER],
        readers=readers,
        all=[_told(together[kind], f"{readers} readers") for kind in ORDER] if readers > 1 else [],
        gate=None
        if least is None
        else gate_problem(everyone, model, least)
        or "Blind readers find the twin closer: it may be approved.",
    )


def _nothing_to_read(pairs: list[BlindPair], yours: dict[Kind, Finding]) -> str:
    if not pairs:
        return (
            "This evaluation kept too few texts to read blind: it was made before pairs were kept, or too little was "
            "written. Materialise evaluation_report again."
        )
    if all(one.verdict != "open" for one in yours.values()):
        return "You have read enough: more would change nothing."
    return (
        "You have seen all texts of this version. Other readers may go on, and the next version has others."
    )


def _unread(
    settings: Settings, persona: str, reader: str, pairs: list[BlindPair], mine: list[Reading]
) -> list[BlindPair]:
    """Pairs of which this reader has seen no text, with whatever version, in an order of their own."""
    seen = {text for r in mine for text in r.texts}
    unread = [p for p in pairs if seen.isdisjoint(p.text_hashes)]
    return sorted(unread, key=lambda p: _drawn(settings, "order", persona, reader, p.pair_id))


def _shown(settings: Settings, persona: str, model: str, reader: str, pair: BlindPair) -> ShownPair:
    ours = _candidate_side(settings, persona, model, reader, pair)
    texts = (pair.candidate, pair.other) if ours == "left" else (pair.other, pair.candidate)
    who = load_persona(settings.personas_dir, persona).full_name
    return ShownPair(
        pair_id=pair.pair_id,
        token=_drawn(settings, "token", persona, model, reader, pair.pair_id),
        kind=pair.kind,
        question=f"Which one did {who} write?"
        if pair.kind == "author"
        else f"Which one is closer to how {who} writes?",
        topic=pair.topic,
        left=texts[0],
        right=texts[1],
    )


def _told(found: Finding, who: str) -> Told:
    return Told(
        kind=found.kind,
        answers=found.answers,
        verdict=found.verdict,
        more=found.more,
        says=sentence(found, who),
    )


def _candidate_side(settings: Settings, persona: str, model: str, reader: str, pair: BlindPair) -> Side:
    return "left" if int(_drawn(settings, "side", persona, model, reader, pair.pair_id), 16) % 2 else "right"


def _other(side: Side) -> Side:
    return "right" if side == "left" else "left"


def _drawn(settings: Settings, *what: str) -> str:
    """32 hexadecimal digits that nobody can guess who doesn't know the installation's secret; always the same."""
    secret = kept_secret(settings.home / "ui_secret")
    return hmac.new(secret, json.dumps(["blind", *what]).encode(), "sha256").hexdigest()[:32]
