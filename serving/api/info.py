"""Personas, models, health and readiness."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from serving.access.caller import caller_of
from serving.access.needs import ANYONE, needs
from serving.completions import ModelList
from serving.errors import RETRY_AFTER_SECONDS
from serving.readiness import State
from serving.twin.answering import answer_service
from twin_assets.core.persona.definition import load_persona

router = APIRouter()


@router.get("/health", tags=["state"])
@needs(ANYONE)
async def health() -> dict[str, str]:
    """200 as long as this process lives. Anybody may ask, so it names nobody."""
    return {"status": "ok"}


@router.get(
    "/ready",
    tags=["state"],
    response_model=None,
    responses={
        200: {"model": State},
        503: {"model": State, "description": "What needs it is away; Retry-After says when to come back."},
    },
)
@needs(ANYONE)
async def ready(request: Request) -> JSONResponse:
    """Whether everything that an answer needs works, as seen in the background a few seconds ago: 200, or 503 with
    what doesn't. `ledger_seconds_old` is how long ago the releases were known to be those that are served."""
    answers = answer_service(request)
    old = answers.ledgers.seconds_old
    state = answers.readiness.state().model_copy(
        update={"ledger_seconds_old": None if old is None else round(old, 1)}
    )
    if state.status == "ok":
        return JSONResponse(state.model_dump())
    return JSONResponse(state.model_dump(), 503, {"Retry-After": RETRY_AFTER_SECONDS})


@router.get("/v1/personas", tags=["twin"])
@needs("read")
def personas(request: Request) -> dict[str, Any]:
    """Every persona that the caller may see, with the version in production, None where there is none."""
    answers, caller = answer_service(request), caller_of(request)
    production = answers.production()
    people = [
        load_persona(answers.settings.personas_dir, name) for name in production if caller.may("read", name)
    ]
    return {
        "personas": [{"name": p.name, "full_name": p.full_name, "model": production[p.name]} for p in people]
    }


@router.get("/v1/models", tags=["twin"], response_model=ModelList)
@needs("read")
def models(request: Request) -> dict[str, Any]:
    """Personas that can be asked, as OpenAI models; `owned_by` is the version that answers."""
    answers, caller = answer_service(request), caller_of(request)
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": model}
        for name, model in answers.askable().items()
        if caller.may("read", name)
    ]
    return {"object": "list", "data": data}
