"""DELETE /v1/requests and /v1/documents: take requests, or a document, out of all that was kept of them. They need the
scope `admin`."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from serving.access.caller import caller_of
from serving.access.needs import needs
from serving.protocol import PersonaId
from serving.twin.answering import answer_service
from twin_assets.core.errors import TwinError
from twin_assets.inference.twin.request_log import user_hash
from twin_assets.monitoring.erasure import (
    Erased,
    ErasedDocument,
    NoSuchDocument,
    erase,
    erase_found,
    find_document,
)

router = APIRouter(tags=["twin"])


@router.delete("/v1/requests")
@needs("admin")
def erase_requests(
    request: Request,
    persona: PersonaId,
    request_id: Annotated[str | None, Query(max_length=80)] = None,
    key: Annotated[str | None, Query(max_length=80, description="Id of the API key that asked.")] = None,
    user: Annotated[
        str | None, Query(max_length=200, description="The `user` that requests of that key named.")
    ] = None,
) -> Erased:
    """Rows of the log, their scores, reactions to them, and rows of the warehouse: those that fit all that is
    given, which is a `request_id` or a `key` at least. Rows that are just on their way into the log are taken out once they arrive."""
    caller_of(request).require("admin", persona)
    answers = answer_service(request)
    name = answers.persona(persona).name
    if user and not key:
        raise TwinError("A user is known within a key.", "give `key` too.")
    user_id = user_hash(key, user) if key and user else None
    return erase(answers.settings, answers.lake, name, request_id, user_id, key)


@router.delete("/v1/documents")
@needs("admin")
def erase_a_document(
    request: Request,
    persona: PersonaId,
    doc_id: Annotated[str, Query(max_length=80, description="As citations and the page's Library have it.")],
) -> ErasedDocument:
    """One document, from raw to index, for good: no later crawl brings it back. Names the dataset versions that lost
    rows, the models that had learnt from those, and other documents with the same text. A place that was in use is null:
    the hourly run finishes it."""
    caller = caller_of(request)
    caller.require("admin", persona)
    answers = answer_service(request)
    name = answers.persona(persona).name
    document = find_document(answers.settings, answers.lake, name, doc_id)
    if not all(caller.may_see(visibility) for visibility in document.visibilities):
        raise NoSuchDocument(
            f"{name} has no document {doc_id!r}.", "take a doc_id that the page's Library names."
        )
    told = erase_found(document)
    answers.store(name).forget()  # what it has open is of before
    return told
