"""Papers and notes that the page's Library is given as files: read at once, each by itself, and kept as a linked page is."""

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from serving.access.dependencies import Config, PersonaName
from serving.access.needs import needs
from serving.refusal import refusal
from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import Visibility
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.storage.library import add_to_library, library_of
from twin_assets.core.text.words import count_words
from twin_assets.inference.links.fetch import MAX_BYTES
from twin_assets.inference.links.files import read_file
from twin_assets.settings import Settings

router = APIRouter()


class KeptFile(BaseModel):
    """A file as the library has it. `replaced` says that it is a newer version of one of that name."""

    doc_id: str
    title: str | None
    words: int
    visibility: Visibility
    replaced: bool


@router.post("/ui/api/{persona}/library", response_model=None)
@needs("admin", upload=True)
async def keep_file(
    persona: PersonaName,
    request: Request,
    settings: Config,
    name: Annotated[str, Query(min_length=1, max_length=1000)],
    visibility: Visibility = "public",
) -> Any:
    """Read the body of the request, which is the file itself, and keep its text. It is seen by no more people than the persona's
    writing, and than `visibility` says; found and cited from the next run of the pipeline on, never learnt from."""
    data = bytearray()
    try:
        async for piece in request.stream():
            data += piece
            if len(data) > MAX_BYTES:
                problem = f"{name[:200]} has more than {MAX_BYTES // 1_000_000} MB."
                fix = "take its text out of it, or split it."
                return refusal(413, "TooLarge", problem, fix, {"Connection": "close"})
    except ClientDisconnect:
        return refusal(400, "BrokenOff", "The upload broke off.", "upload it again.")
    return await anyio.to_thread.run_sync(_keep, settings, persona, name, bytes(data), visibility)


def _keep(settings: Settings, name: str, file: str, data: bytes, visibility: Visibility) -> KeptFile:
    if not data:
        raise TwinError(f"{file[:200]} is empty.", "choose another file.")
    lake, persona, text = (
        open_lake(settings),
        load_persona(settings.personas_dir, name),
        read_file(file, data),
    )
    held = library_of(lake, name)
    item = add_to_library(
        lake, persona, text.url, text.text, text.title, text.author, text.published_at, visibility
    )
    return KeptFile(
        doc_id=item.doc_id,
        title=item.title,
        words=count_words(item.body),
        visibility=item.visibility,
        replaced=item.doc_id in held,
    )
