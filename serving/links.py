"""POST /v1/links, and links that come with another request: pages and papers as further knowledge."""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel

from serving.access import caller_of
from serving.desk import Desk, TheDesk
from serving.protocol import LinkRequest
from twin_assets.core.embedder import load_embedder
from twin_assets.core.library import add_to_library
from twin_assets.inference.answer import Linked
from twin_assets.inference.links.read import linked_passages, read_link

BEGINNING = 1_000

router = APIRouter(tags=["twin"])


class LinkAnswer(BaseModel):
    """What was read. `in_library` says that the persona's library has it from the next collecting on."""

    url: str
    title: str | None
    author: str | None
    published_at: datetime | None
    mime: str
    words: int
    beginning: str
    in_library: bool


@router.post("/v1/links")
def links(given: LinkRequest, request: Request, desk: TheDesk) -> LinkAnswer:
    """Fetch a page or paper (HTML, PDF, Markdown, text), clean it, and say what it holds.

    With `add_to_library` it is kept as a raw document of the persona's library: found and cited from the next
    run of the pipeline on, and never learnt from as the persona's own writing.
    """
    caller = caller_of(request)
    caller.require("library" if given.add_to_library else "links", given.persona)
    persona = desk.persona(given.persona)
    found = read_link(given.url, desk.settings.link_private_hosts)
    if given.add_to_library:
        add_to_library(
            desk.lake, persona, found.url, found.text, found.title, found.author, found.published_at
        )
    return LinkAnswer(
        url=found.url, title=found.title, author=found.author, published_at=found.published_at,
        mime=found.fetched_mime, words=len(found.text.split()), beginning=found.text[:BEGINNING],
        in_library=given.add_to_library,
    )  # fmt: skip


def linked_from(desk: Desk, request: Request, persona: str, urls: list[str]) -> Linked | None:
    """Finds passages in the links of a request, which are fetched now; None without links."""
    if not urls:
        return None
    caller_of(request).require("links", persona)
    read = [read_link(url, desk.settings.link_private_hosts) for url in urls]
    embedder = load_embedder(desk.settings.embedder)
    return lambda about, k, tokens: linked_passages(about, read, k, tokens, embedder)
