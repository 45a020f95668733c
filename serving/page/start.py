"""The page asks for this before it shows anything: the personas, and the forms of what can be written."""

from typing import Any

from fastapi import APIRouter, Request

from serving.access.caller import caller_of
from serving.access.dependencies import Config
from serving.access.needs import needs
from serving.page.dagster import dagster_url
from serving.protocol import WriteRequest
from serving.twin.answering import answer_service
from twin_assets.core.persona.definition import SOURCES, Persona, load_persona, persona_names, source_title
from twin_assets.core.release.marks import PAUSED
from twin_assets.core.storage.lake import open_lake

router = APIRouter()


@router.get("/ui/api/start")
@needs("admin")
def start(request: Request, settings: Config) -> dict[str, Any]:
    """Personas with the version in production and whether they are paused, the schema of /v1/write, from which the page builds its form,
    and of a persona, for how many days the caller may keep threads, and the sources that a persona may have, with their titles."""
    marks = PAUSED.lately(open_lake(settings))
    caller, ledgers = caller_of(request), answer_service(request).ledgers
    names = [n for n in persona_names(settings.personas_dir) if caller.may("admin", n)]
    people = [load_persona(settings.personas_dir, name) for name in names]
    return {
        "personas": [
            {
                "name": p.name,
                "full_name": p.full_name,
                "model": ledgers.history(p.name).production(),
                "paused": marks[p.name].sentence if p.name in marks else None,
                "thread_days": p.threads_kept_days if caller.signed_in else 0,
            }
            for p in people
        ],
        "write": WriteRequest.model_json_schema(),
        "persona": Persona.model_json_schema(),
        "sources": {source: source_title(source) for source in SOURCES},
        "dagster": dagster_url(settings),
    }
