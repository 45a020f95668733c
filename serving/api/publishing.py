"""/v1/publishing: a draft's text is posted by a person's click, and the ledger says what went where.

Whoever posts names the version that they have seen: a text that was changed since is not sent.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from serving.access.caller import caller_of
from serving.access.needs import needs
from serving.api.drafts import drafts_of
from serving.protocol import LinkUrl, PersonaId, RequestBody
from serving.twin.answering import answer_service
from twin_assets.core.drafts import Draft, Drafts, NoSuchDraft, StaleDraft
from twin_assets.core.errors import TwinError
from twin_assets.core.publishing import NoSuchPost, Outcome, Post, PostLedger
from twin_assets.core.records import Visibility, most_closed
from twin_assets.inference.publishing.accounts import accounts_of
from twin_assets.inference.publishing.places import PLACES, Place, composer
from twin_assets.inference.publishing.send import (
    NotReady,
    OutcomeUnknown,
    Text,
    TooLongToPost,
    ready,
    refuse_too_long,
    require_account,
    send,
)

# For so long a post may be on its way: nobody can say yet that it was not made.
ON_ITS_WAY = timedelta(minutes=2)

router = APIRouter(tags=["publishing"])


class Seen(RequestBody):
    """A draft, and the version of it that a person has before them."""

    persona: PersonaId
    draft_id: Annotated[str, Field(max_length=64)]
    version: Annotated[str, Field(max_length=64)]


class PublishRequest(Seen):
    """Where the text goes, and how: by the place's API, or handed to its own composer. `mine` says that the final text is
    the author's: only then may the twin learn from the post when it is collected."""

    place: Place
    how: Literal["api", "composer"] = "api"
    mine: bool = False


class WhatBecame(RequestBody):
    """What a person saw of a post of which it wasn't known."""

    persona: PersonaId
    made: bool
    address: LinkUrl | None = None


class PlaceShown(BaseModel):
    """A place as it stands for one text. `length` is as the place counts; `problem` says why it can't go there by the API."""

    place: Place
    title: str
    length: int
    limit: int | None
    api: bool
    problem: str | None
    composer: str | None


class Preview(BaseModel):
    """The very text that would be posted. `visibility` is that of the most closed writing that it leans on."""

    text: str
    version: str
    visibility: Visibility
    places: list[PlaceShown]


class PostShown(BaseModel):
    """A post without its text."""

    number: int
    at: datetime
    place: str
    outcome: Outcome
    draft_id: str
    version: str
    mine: bool
    by: str
    post_id: str | None
    address: str | None
    reason: str | None


class PostList(BaseModel):
    """The ledger of a persona, the newest first."""

    posts: list[PostShown]


@router.get("/v1/publishing")
@needs("publish")
def posts(request: Request, persona: PersonaId) -> PostList:
    """What of the persona's went where, when, by whom, and what became of it."""
    ledger = _ledger(drafts_of(request, persona, "publish"), request)
    return PostList(posts=[_shown(post) for post in reversed(ledger.posts())])


@router.post("/v1/publishing/preview")
@needs("publish")
def preview(given: Seen, request: Request) -> Preview:
    """The text as it would go out, and its length against each place's limit. Nothing is sent."""
    draft = _seen(drafts_of(request, given.persona, "publish"), given)
    accounts = accounts_of(answer_service(request).settings, draft.persona)
    cited = [one.visibility for version in draft.versions for one in version.citations]
    text = draft.last.text
    return Preview(
        text=text,
        version=draft.last.id,
        visibility=most_closed(cited),
        places=[
            PlaceShown(
                place=place,
                title=facts.title,
                length=facts.length(text),
                limit=facts.limit,
                api=ready(accounts, place),
                problem=_problem(place, text),
                composer=composer(place, draft.title, text),
            )
            for place, facts in PLACES.items()
            if facts.composer or ready(accounts, place)
        ],
    )


@router.post("/v1/publishing", status_code=201)
@needs("publish", queued=True)
def publish(given: PublishRequest, request: Request) -> PostShown:
    """Post the text once. 409 when the draft was changed since, or the very text is there or may be; 502 when the place did
    not say whether it posted it: then it is not sent again until somebody has said whether it is there."""
    drafts = drafts_of(request, given.persona, "publish")
    draft, settings = _seen(drafts, given), answer_service(request).settings
    ledger, text, by = _ledger(drafts, request), draft.last.text, caller_of(request).id
    refuse_too_long(given.place, text)
    if given.how == "composer":
        if composer(given.place, draft.title, text) is None:
            raise NotReady(
                f"{PLACES[given.place].title} has no composer for this text.", "copy it, and paste it there."
            )
        return _shown(
            ledger.begin(given.place, text, draft_id=draft.id, by=by, mine=given.mine, outcome="opened")
        )
    accounts = accounts_of(settings, draft.persona)
    require_account(accounts, given.place, draft.persona)
    post = ledger.begin(given.place, text, draft_id=draft.id, by=by, mine=given.mine)
    try:
        key = f"{draft.persona}-{post.number}"
        sent = send(settings, accounts, given.place, Text(draft.persona, draft.title, text, draft.id, key))
    except OutcomeUnknown as error:
        ledger.end(post.number, "unknown", by, reason=error.problem)
        raise
    except TwinError as error:
        ledger.end(post.number, "refused", by, reason=error.problem)
        raise
    post = ledger.end(post.number, "made", by, post_id=sent.post_id, address=sent.address)
    _mark(drafts, post)
    return _shown(post)


@router.post("/v1/publishing/{number}")
@needs("publish")
def what_became(
    number: Annotated[int, Path(ge=1, le=99_999_999)], given: WhatBecame, request: Request
) -> PostShown:
    """Say of a post that was handed to a composer, or of which no answer came, whether it was made."""
    drafts = drafts_of(request, given.persona, "publish")
    ledger = _ledger(drafts, request)
    post = next((post for post in ledger.posts() if post.number == number), None)
    if post and post.outcome == "begun" and datetime.now(UTC) - post.at < ON_ITS_WAY:
        raise NoSuchPost(f"Post {number} is on its way.", "wait two minutes for what the place says.")
    by = caller_of(request).id
    outcome: Literal["made", "refused"] = "made" if given.made else "refused"
    post = ledger.end(number, outcome, by, address=given.address, reason=f"said by {by}")
    if given.made:
        _mark(drafts, post)
    return _shown(post)


def _ledger(drafts: Drafts, request: Request) -> PostLedger:
    return PostLedger(answer_service(request).lake, drafts.persona)


def _seen(drafts: Drafts, given: Seen) -> Draft:
    """Raises StaleDraft when the last text is not the one that was seen."""
    draft = drafts.get(given.draft_id)
    if draft.last.id != given.version:
        raise StaleDraft(
            "The text was changed since you saw it; nothing was posted.", "read it again, then publish that."
        )
    return draft


def _mark(drafts: Drafts, post: Post) -> None:
    """The draft is published, unless its text is another by now; the ledger has the post in any case."""
    try:
        drafts.save(post.draft_id, post.version, status="published")
    except (StaleDraft, NoSuchDraft):
        return


def _problem(place: Place, text: str) -> str | None:
    try:
        refuse_too_long(place, text)
    except TwinError as error:
        return error.problem if isinstance(error, TooLongToPost) else f"{error.problem} {error.fix}"
    return None


def _shown(post: Post) -> PostShown:
    return PostShown(**post.model_dump(include=set(PostShown.model_fields)))
