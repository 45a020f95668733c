"""GET and POST /v1/ideas: what a persona could write about, each with the passages it stands on and why."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field

from serving.access.caller import caller_of
from serving.access.needs import needs
from serving.protocol import Links, PersonaId, RequestBody
from serving.twin.answering import answer_service
from serving.twin.tracing import tool_span
from twin_assets.core.errors import TwinError
from twin_assets.core.tracing.spans import whole
from twin_assets.inference.ideas.records import KINDS, IdeaKind, Ideas
from twin_assets.inference.links.read import LinkedText

MOST_IDEAS = 50
NOT_FOR_ALL = "what readers asked and liked is shown to keys that are good for 'admin'"

Limit = Annotated[int, Field(ge=1, le=MOST_IDEAS, description="At most so many of each kind.")]
Kinds = Annotated[list[IdeaKind], Field(min_length=1, max_length=len(KINDS))]

router = APIRouter(tags=["twin"])


class IdeasRequest(RequestBody):
    """POST /v1/ideas. Of `links` each that can be read is an idea too, where nothing was written about it."""

    persona: PersonaId
    kinds: Kinds = list(KINDS)
    limit: Limit = 10
    links: Links = []


@router.get("/v1/ideas")
@needs("write", queued=True)
def list_ideas(
    request: Request, persona: PersonaId, limit: Annotated[int, Query(ge=1, le=MOST_IDEAS)] = 10
) -> Ideas:
    """Topics that the persona touched and never wrote about, what readers asked, and follow-ups to what they liked."""
    return ideas_for(IdeasRequest(persona=persona, limit=limit), request)


@router.post("/v1/ideas")
@needs("write", queued=True)
def ideas_of(given: IdeasRequest, request: Request) -> Ideas:
    """The same, of the kinds that are named, and of links."""
    return ideas_for(given, request)


def ideas_for(given: IdeasRequest, request: Request) -> Ideas:
    """The answer to whoever asks, by HTTP or by a tool. A link that can't be read stands in `left_out` with why."""
    caller, answers = caller_of(request), answer_service(request)
    caller.require("write", given.persona)
    if given.links:
        caller.require("links", given.persona)
    persona = answers.persona(given.persona)
    traceparent = request.headers.get("traceparent")
    with whole(tool_span(answers.tracer, "ideas", persona, request.state.request_id, traceparent)):
        left_out: dict[str, str] = {}
        read: list[LinkedText] = []
        for url in dict.fromkeys(given.links):
            try:
                read.append(answers.read_link(url))
            except TwinError as error:
                left_out[url] = f"{error.problem} Fix: {error.fix}"
        kinds = list(dict.fromkeys(given.kinds))
        if not caller.may("admin", given.persona):  # others' words
            left_out |= {kind: NOT_FOR_ALL for kind in kinds if kind in ("question", "follow_up")}
            kinds = [kind for kind in kinds if kind not in left_out]
        found = answers.ideas.ideas(persona, caller.audience, kinds, given.limit, read)
    request.state.facts |= {"persona": persona.name, "ideas": len(found.ideas)}
    return found.model_copy(update={"left_out": left_out | found.left_out})
