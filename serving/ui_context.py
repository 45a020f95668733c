"""What every data endpoint of the page needs: the settings, and a persona that exists."""

from typing import Annotated

from fastapi import Depends, Request

from serving.errors import Unknown
from twin_assets.core.persona import persona_names
from twin_assets.settings import Settings


async def settings_of(request: Request) -> Settings:
    """The settings of the installation; async, since FastAPI runs what is not in a thread of the pool."""
    return request.app.state.settings


Config = Annotated[Settings, Depends(settings_of)]


def known_persona(persona: str, settings: Config) -> str:
    """The persona of the path. Raises Unknown when there is no file for it."""
    names = persona_names(settings.personas_dir)
    if persona not in names:
        known = ", ".join(names) or "none"
        raise Unknown(f"There is no persona {persona!r} (known: {known}).", "add it under Sources.")
    return persona


PersonaName = Annotated[str, Depends(known_persona)]
