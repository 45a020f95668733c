"""/v1/drafts: texts that a person writes with the twin, with their versions.

Each key has its own drafts, and so has the page. Whoever sends a change says which version they have seen: one that was
followed by another meanwhile is answered 409, and nothing is changed.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from serving.access.caller import caller_of
from serving.access.keys import Action
from serving.access.needs import needs
from serving.errors import Forbidden
from serving.protocol import Name, PersonaId, RequestBody, has_text
from serving.twin.answering import answer_service
from twin_assets.core.drafts import (
    MOST_CITATIONS,
    MOST_DRAFTS,
    MOST_TEXT,
    MOST_VERSIONS,
    DifferencePiece,
    Draft,
    DraftCitation,
    Drafts,
    DraftStatus,
    DraftVersion,
    WrittenBy,
    difference,
    owner_of,
)
from twin_assets.core.drafts.store import MOST_TITLE
from twin_assets.core.feedback.store import edited_share
from twin_assets.inference.twin.brief import WriteKind

router = APIRouter(tags=["drafts"])

Title = Annotated[str, Field(max_length=MOST_TITLE)]
Text = Annotated[str, Field(max_length=MOST_TEXT)]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,80}$", max_length=80)]


LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}
}


class WrittenText(RequestBody):
    """What is said of a text beside its words: `by` whom it is; of the twin's own, the request that it answered, the
    version that wrote it, and the passages that it leans on."""

    persona: PersonaId
    by: WrittenBy = "person"
    request_id: RequestId | None = None
    model: Name | None = None
    citations: list[DraftCitation] = Field([], max_length=MOST_CITATIONS)


class NewDraft(WrittenText):
    """A draft to be kept. Without a title it is called by the first line of its text."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [has_text("text"), has_text("title")]})

    text: Text = ""
    title: Title = ""
    kind: WriteKind = "article"
    status: DraftStatus = "draft"

    @model_validator(mode="after")
    def _says_something(self) -> "NewDraft":
        if not self.text.strip() and not self.title.strip():
            raise ValueError("give a title or a text")
        return self


class DraftChange(WrittenText):
    """A change by who has seen `version`. What is not given stays as it is."""

    version: Annotated[str, Field(max_length=64)] = Field(description="The version that was seen last.")
    text: Text | None = None
    title: Title | None = None
    status: DraftStatus | None = None


class Comparison(RequestBody):
    """Two texts: versions of a draft, or one and what was not saved yet."""

    old: Text
    new: Text


class DraftListed(BaseModel):
    """A draft in the list. `version` names its last text, which is by `by`."""

    id: str
    title: str
    kind: str
    status: DraftStatus
    created_at: datetime
    changed_at: datetime
    version: str
    by: WrittenBy
    versions: int
    characters: int


class VersionShown(BaseModel):
    """One text that the draft has had; the same `version` is the same text."""

    number: int
    version: str
    at: datetime
    by: WrittenBy
    text: str
    request_id: str | None
    model: str | None
    citations: list[DraftCitation]


class DraftShown(BaseModel):
    """A draft with all its versions, oldest first; `version` names the last."""

    id: str
    persona: str
    title: str
    kind: str
    status: DraftStatus
    created_at: datetime
    changed_at: datetime
    version: str
    versions: list[VersionShown]


class DraftList(BaseModel):
    """Drafts, the last changed first. `damaged` are ids of those that can't be read; the rest is as many of each as are kept."""

    drafts: list[DraftListed]
    damaged: list[str]
    most_drafts: int = MOST_DRAFTS
    most_versions: int = MOST_VERSIONS
    most_characters: int = MOST_TEXT


class Compared(BaseModel):
    """Runs of both texts in order, and the share of their words that stand in one of them only."""

    pieces: list[DifferencePiece]
    changed_share: float


class Deleted(BaseModel):
    """The draft is gone, with all its versions."""

    deleted: str


@router.get("/v1/drafts")
@needs("write")
def list_drafts(
    request: Request,
    persona: PersonaId,
    status: Annotated[DraftStatus | None, Query(description="Only those with that status.")] = None,
) -> DraftList:
    """The caller's drafts for a persona, without their texts."""
    kept, damaged = drafts_of(request, persona).all()
    return DraftList(drafts=[_listed(d) for d in kept if status in (None, d.status)], damaged=damaged)


@router.post("/v1/drafts", status_code=201)
@needs("write")
def begin_draft(given: NewDraft, request: Request) -> DraftShown:
    """Keep a text as a new draft. 507 when the caller has as many as are kept."""
    drafts = drafts_of(request, given.persona)
    return _shown(drafts.begin(**_fields(given)))


@router.post("/v1/drafts/difference")
@needs("write")
def compare(given: Comparison) -> Compared:
    """What is different in two texts, by sentences and by words within them. Nothing is kept."""
    return Compared(
        pieces=difference(given.old, given.new),
        changed_share=edited_share(given.old, given.new),
    )


@router.get("/v1/drafts/export", response_class=StreamingResponse, responses=LINES)
@needs("write")
def export_drafts(request: Request, persona: PersonaId) -> StreamingResponse:
    """All drafts of the caller for a persona with all their versions: a JSON object a line."""
    kept, _ = drafts_of(request, persona).all()

    def lines() -> Iterator[str]:
        for draft in kept:
            yield _shown(draft).model_dump_json() + "\n"

    headers = {"Content-Disposition": 'attachment; filename="drafts.jsonl"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)


@router.get("/v1/drafts/{draft_id}")
@needs("write")
def open_draft(draft_id: str, request: Request, persona: PersonaId) -> DraftShown:
    """A draft with all its versions. 404 for one of another caller, as for none."""
    return _shown(drafts_of(request, persona).get(draft_id))


@router.put("/v1/drafts/{draft_id}")
@needs("write")
def save_draft(draft_id: str, given: DraftChange, request: Request) -> DraftShown:
    """Another text, title or status. 409 when `version` is not its last text: nothing was changed, read it again. 507 when
    it has as many versions as are kept: go on in a new one."""
    fields = _fields(given)
    return _shown(drafts_of(request, given.persona).save(draft_id, fields.pop("version"), **fields))


@router.delete("/v1/drafts/{draft_id}")
@needs("write")
def delete_draft(draft_id: str, request: Request, persona: PersonaId) -> Deleted:
    """Delete a draft with all its versions."""
    drafts_of(request, persona).delete(draft_id)
    return Deleted(deleted=draft_id)


def drafts_of(request: Request, persona: str, action: Action = "write") -> Drafts:
    """Those of the caller. Raises Forbidden for a caller who could be anybody, or whose key isn't good for the action."""
    caller = caller_of(request)
    caller.require(action, persona)
    if caller.anybody:
        raise Forbidden(
            "Drafts are kept for people who are known.", "send an API key, or log in on the page."
        )
    answers = answer_service(request)
    return Drafts(answers.lake, answers.persona(persona).name, owner_of(caller.id), caller.audience)


def _fields(given: WrittenText) -> dict[str, Any]:
    fields = {name: getattr(given, name) for name in type(given).model_fields}
    del fields["persona"]
    return fields


def _listed(draft: Draft) -> DraftListed:
    last = draft.last
    return DraftListed(
        **draft.model_dump(
            include=set(DraftListed.model_fields) - {"version", "by", "versions", "characters"}
        ),
        version=last.id,
        by=last.by,
        versions=len(draft.versions),
        characters=len(last.text),
    )


def _shown(draft: Draft) -> DraftShown:
    return DraftShown(
        **draft.model_dump(include=set(DraftShown.model_fields) - {"version", "versions"}),
        version=draft.last.id,
        versions=[_version(version) for version in draft.versions],
    )


def _version(version: DraftVersion) -> VersionShown:
    return VersionShown(
        **version.model_dump(exclude={"citations"}), version=version.id, citations=version.citations
    )
