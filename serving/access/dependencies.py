"""Every data endpoint of the page needs these: the settings, and a persona that exists."""

from typing import Annotated

from fastapi import Depends, Request

from serving.access.caller import Caller, caller_of
from serving.errors import NotFoundError
from twin_assets.core.persona.definition import persona_names
from twin_assets.settings import Settings


async def settings_of(request: Request) -> Settings:
    """The settings of the installation; async, since FastAPI runs what is not in a thread of the pool."""
    return request.app.state.settings


Config = Annotated[Settings, Depends(settings_of)]


def own_persona(persona: str, request: Request) -> str:
    """The persona of the path, whether or not there is one. Raises Forbidden for a key that is good only for others."""
    caller_of(request).require("admin", persona)
    return persona


def known_persona(persona: Annotated[str, Depends(own_persona)], settings: Config) -> str:
    """The persona of the path, which exists. Raises NotFoundError when there is no file for it."""
    names = persona_names(settings.personas_dir)
    if persona not in names:
        declared = ", ".join(names) or "none"
        raise NotFoundError(f"There is no persona {persona!r} (known: {declared}).", "add it under Sources.")
    return persona


Asker = Annotated[Caller, Depends(caller_of)]
AnyPersonaName = Annotated[str, Depends(own_persona)]
PersonaName = Annotated[str, Depends(known_persona)]
