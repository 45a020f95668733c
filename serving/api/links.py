"""POST /v1/links and the library: pages and papers as further knowledge."""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel

from serving.access.caller import caller_of
from serving.access.needs import needs
from serving.errors import NotFoundError
from serving.protocol import LinkRequest, Name, PersonaId
from serving.twin.answering import answer_service
from twin_assets.core.storage.library import add_to_library, library_of, remove_from_library
from twin_assets.core.storage.raw import RawItem
from twin_assets.core.text.words import count_words
from twin_assets.inference.links.read import read_link

BEGINNING = 1_000

router = APIRouter(tags=["twin"])


class LinkAnswer(BaseModel):
    """A page or paper as it was read. `in_library` says that the persona's library has it from the next collecting on."""

    url: str
    title: str | None
    author: str | None
    published_at: datetime | None
    mime: str
    words: int
    beginning: str
    in_library: bool


@router.post("/v1/links")
@needs("links", queued=True)
def links(given: LinkRequest, request: Request) -> LinkAnswer:
    """Fetch a page or paper (HTML, PDF, Markdown, text), clean it, and say what it holds.

    With `add_to_library` it is kept as a raw document of the persona's library: found and cited from the next
    run of the pipeline on, and never learnt from as the persona's own writing.
    """
    answers, caller = answer_service(request), caller_of(request)
    caller.require("library" if given.add_to_library else "links", given.persona)
    persona = answers.persona(given.persona)
    page = read_link(given.url, answers.settings.link_private_hosts)
    if given.add_to_library:
        add_to_library(answers.lake, persona, page.url, page.text, page.title, page.author, page.published_at)
    return LinkAnswer(
        url=page.url,
        title=page.title,
        author=page.author,
        published_at=page.published_at,
        mime=page.fetched_mime,
        words=count_words(page.text),
        beginning=page.text[:BEGINNING],
        in_library=given.add_to_library,
    )


class LibraryEntry(BaseModel):
    """A page or paper of the library; `doc_id` is what citations of it carry."""

    doc_id: str
    url: str
    title: str | None
    author: str | None
    published_at: datetime | None
    added_at: datetime
    words: int


@router.get("/v1/library")
@needs("library")
def library(persona: PersonaId, request: Request) -> list[LibraryEntry]:
    """Pages and papers in the persona's library, as far as the caller may see them, newest first."""
    caller, answers = caller_of(request), answer_service(request)
    caller.require("library", persona)
    held = library_of(answers.lake, answers.persona(persona).name)
    return [_entry(doc_id, item) for doc_id, item in held.items() if caller.may_see(item.visibility)]


@router.delete("/v1/library")
@needs("library")
def remove(persona: PersonaId, doc_id: Name, request: Request) -> LibraryEntry:
    """Take a page or paper out of the library: from the next run of the pipeline on it is not found any more."""
    caller, answers = caller_of(request), answer_service(request)
    caller.require("library", persona)
    item = library_of(answers.lake, answers.persona(persona).name).get(doc_id)
    if item is None or not caller.may_see(item.visibility):
        raise NotFoundError(
            f"The library of {persona!r} has no document {doc_id[:80]!r}.",
            "take a doc_id that GET /v1/library names.",
        )
    remove_from_library(answers.lake, item)
    return _entry(doc_id, item)


def _entry(doc_id: str, item: RawItem) -> LibraryEntry:
    return LibraryEntry(
        doc_id=doc_id,
        url=item.url,
        title=item.title,
        author=item.author,
        published_at=item.published_at,
        added_at=item.fetched_at,
        words=count_words(item.body),
    )
