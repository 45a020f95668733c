"""Errors as JSON with the right status: what is wrong, and what to do about it."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from twin_assets.core.errors import TwinError
from twin_assets.inference.generation import EngineUnavailable

RETRY_AFTER_SECONDS = "5"


class NothingReleased(TwinError):
    """The ledger has nothing in production for the persona."""


class Unknown(TwinError):
    """A persona or model of that name does not exist."""


def install_error_handlers(app: FastAPI) -> None:
    """Answer every TwinError in the shape of OpenAI's errors, with the fix beside it."""

    @app.exception_handler(TwinError)
    def answer(request: Request, error: TwinError) -> JSONResponse:
        status = 404 if isinstance(error, Unknown) else 400
        headers = {}
        if isinstance(error, NothingReleased | EngineUnavailable):
            status, headers = 503, {"Retry-After": RETRY_AFTER_SECONDS}
        body = {"message": error.problem, "type": type(error).__name__, "fix": error.fix}
        return JSONResponse({"error": body}, status_code=status, headers=headers)
