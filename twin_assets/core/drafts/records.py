"""What a draft is: a title, a status, and every text that it has had."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Record, StrictTypes, Visibility

# Per person and persona; a list of drafts reads them all.
MOST_DRAFTS = 200
MOST_VERSIONS = 100
# Characters of one text, and of all that a draft holds: it is one object, which is read and written whole.
MOST_TEXT = 60_000
MOST_CHARACTERS = 1_000_000
MOST_CITATIONS = 40

DraftStatus = Literal["idea", "draft", "ready", "published"]
WrittenBy = Literal["twin", "person"]


class DraftCitation(StrictTypes, Record):
    """A passage that the twin's text leans on, as its answer cited it."""

    number: Annotated[int, Field(ge=0, le=1000)]
    chunk_id: Annotated[str, Field(max_length=200)]
    doc_id: Annotated[str, Field(max_length=200)]
    url: Annotated[str, Field(max_length=2000)]
    title: Annotated[str, Field(max_length=500)] | None = None
    start: Annotated[int, Field(ge=0, le=10**9)] = 0
    end: Annotated[int, Field(ge=0, le=10**9)] = 0
    quote: Annotated[str, Field(max_length=2000)] = ""
    linked: bool = False
    visibility: Visibility = "public"


class DraftVersion(Record):
    """One text of a draft. `by` is what its writer said: the twin, in the answer to `request_id`, or a person."""

    number: int
    at: datetime
    by: WrittenBy
    text: str
    request_id: str | None = None
    model: str | None = None
    citations: list[DraftCitation] = []

    @property
    def id(self) -> str:
        """The name of its text: who has seen a version has seen these very words."""
        return version_id(self.text)

    @property
    def characters(self) -> int:
        """All that it takes up."""
        return len(self.text) + sum(len(s.quote) + len(s.url) + len(s.title or "") for s in self.citations)


class Draft(Record):
    """A draft with its versions, oldest first. `audience` is what its owner could be shown when it was begun: it may
    quote that."""

    id: str
    persona: str
    owner: str
    audience: Visibility
    title: str
    kind: str
    status: DraftStatus
    created_at: datetime
    changed_at: datetime
    versions: Annotated[list[DraftVersion], Field(min_length=1)]

    @property
    def last(self) -> DraftVersion:
        return self.versions[-1]

    @property
    def characters(self) -> int:
        return sum(version.characters for version in self.versions)


def version_id(text: str) -> str:
    """32 hex digits of the SHA-256 of a text."""
    return text_hash(text, 32)
