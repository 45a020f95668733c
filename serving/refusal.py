"""The one shape of our errors, light enough for what must start without the platform: Dagster's front and the LLM service's."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse


def error_body(kind: str, problem: str, fix: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object (`message`, `type`, `param`, `code`), and `fix`: what to do about it."""
    return {"error": {"message": problem, "type": kind, "param": param, "code": None, "fix": fix}}


def refusal(
    status: int, kind: str, problem: str, fix: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An answer that says no, why, and what to do about it."""
    return JSONResponse(error_body(kind, problem, fix), status_code=status, headers=headers)


# What the API calls errors for which the code has the field's own word: callers match on these.
_TYPES = {
    "NotFoundError": "Unknown",
    "UnknownThread": "Unknown",
    "NoSuchDraft": "Unknown",
    "NoSuchPost": "Unknown",
    "ConflictError": "Overtaken",
    "StaleDraft": "Overtaken",
}


def error_type(error: Exception) -> str:
    """The `type` of an error as the API has it."""
    name = type(error).__name__
    return _TYPES.get(name, name)
