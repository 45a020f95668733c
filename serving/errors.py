"""Errors as JSON in the shape of OpenAI's, with the fix beside it and the right status."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from serving.refusal import error_body, error_type
from twin_assets.core.blind_readings import AlreadyRead
from twin_assets.core.drafts import DraftFull, NoSuchDraft, StaleDraft
from twin_assets.core.errors import TwinError
from twin_assets.core.publishing import AlreadyPosted, NoSuchPost
from twin_assets.core.release.approval import Expired, NotReadBlind
from twin_assets.core.release.known import LedgerTooOld
from twin_assets.core.release.ledger import ConflictError
from twin_assets.core.renewed import NotYetRead
from twin_assets.core.storage.lake import NotOurs
from twin_assets.core.storage.s3 import StorageError
from twin_assets.core.uploads.staging import NoRoom
from twin_assets.inference.generation.engine import EngineBusy
from twin_assets.inference.generation.remote import EngineUnavailable
from twin_assets.inference.generation.structured.schema import UnsupportedSchema
from twin_assets.inference.ideas.corpus import NothingWritten
from twin_assets.inference.links.fetch import LinkUnreachable
from twin_assets.inference.publishing.send import (
    DuplicateRefused,
    OutcomeUnknown,
    PlaceBusy,
    PostRefused,
    TooLongToPost,
)
from twin_assets.inference.retrieval.resilient_store import RetrievalUnavailable
from twin_assets.inference.twin.threads import UnknownThread
from twin_assets.monitoring.erasure import NoSuchDocument

RETRY_AFTER_SECONDS = "5"


class ErrorFacts(BaseModel):
    """What went wrong; `fix` says what to do about it."""

    message: str
    type: str
    param: str | None
    code: str | None
    fix: str


class ErrorBody(BaseModel):
    """OpenAI's error object, in which every error comes."""

    error: ErrorFacts


# Of every operation, for the OpenAPI document. The front answers some of them before a route is found.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": description}
    for status, description in {
        400: "It can't be done as asked.",
        401: "A key or a login is needed.",
        403: "The caller may not.",
        404: "There is no such persona, model, request, thread, draft, post or document, or no writing to be seen.",
        405: "Not by this method.",
        408: "The body did not come in time.",
        409: "Something else was first.",
        413: "The body is too large.",
        415: "The body must be JSON, and be sent as such.",
        422: "A field does not fit.",
        429: "Too many requests.",
        500: "A fault of the service's own.",
        502: "Another service was asked, and did not say what it did.",
        503: "Something that it needs is away or busy; Retry-After says when to come back.",
        507: "There is no room.",
    }.items()
}


class NothingReleased(TwinError):
    """The ledger has nothing in production for the persona."""


class NotFoundError(TwinError):
    """A persona or model of that name does not exist."""


class Forbidden(TwinError):
    """The caller is known, and may not do this."""


STATUS: dict[type[TwinError], int] = {
    NotFoundError: 404, NothingWritten: 404, UnknownThread: 404, NoSuchDocument: 404, NoSuchDraft: 404, StaleDraft: 409, DraftFull: 507, AlreadyPosted: 409, NoSuchPost: 404, DuplicateRefused: 409, TooLongToPost: 422, PostRefused: 422,
    OutcomeUnknown: 502, PlaceBusy: 503, Forbidden: 403, ConflictError: 409, Expired: 409, AlreadyRead: 409, NotReadBlind: 409, LinkUnreachable: 422, UnsupportedSchema: 422, NothingReleased: 503,
    EngineBusy: 503, EngineUnavailable: 503, RetrievalUnavailable: 503, StorageError: 503, NotOurs: 503, LedgerTooOld: 503, NotYetRead: 503, NoRoom: 507,
}  # fmt: skip


def error_response(error: TwinError) -> JSONResponse:
    """400 unless the error is one of STATUS; a 503 says when to come back."""
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 400)
    wait = (error.wait if isinstance(error, PlaceBusy) else None) or RETRY_AFTER_SECONDS
    headers = {"Retry-After": str(wait)} if status == 503 else {}
    param = "response_format" if isinstance(error, UnsupportedSchema) else None
    body = error_body(error_type(error), error.problem, error.fix, param)
    if isinstance(error, RetrievalUnavailable):  # an answer says `without_passages` here
        body["outcome"] = "refused"
    return JSONResponse(body, status_code=status, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Answer TwinErrors, requests that don't fit, and HTTP errors in one shape."""

    @app.exception_handler(TwinError)
    def twin_error(request: Request, error: TwinError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    def misfit(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            (".".join(map(str, fault["loc"][1:])) or "request", fault["msg"]) for fault in error.errors()
        ]
        told = "; ".join(f"{where}: {what}" for where, what in faults)
        body = error_body("invalid_request_error", told, "change those fields.", faults[0][0])
        return JSONResponse(body, status_code=422)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> JSONResponse:
        body = error_body("invalid_request_error", str(error.detail), "see /docs.json for what there is.")
        return JSONResponse(body, status_code=error.status_code, headers=error.headers)
