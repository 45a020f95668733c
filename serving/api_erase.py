"""DELETE /v1/requests: take requests out of all that was kept of them. Needs the scope `admin`."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from serving.caller import caller_of
from serving.desk import desk_of
from serving.protocol import PersonaId
from twin_assets.core.errors import TwinError
from twin_assets.inference.erasure import Erased, erase
from twin_assets.inference.request_log import user_hash

router = APIRouter(tags=["twin"])


@router.delete("/v1/requests")
def erase_requests(
    request: Request,
    persona: PersonaId,
    request_id: Annotated[str | None, Query(max_length=80)] = None,
    key: Annotated[str | None, Query(max_length=80, description="Id of the API key that asked.")] = None,
    user: Annotated[
        str | None, Query(max_length=200, description="The `user` that requests of that key named.")
    ] = None,
) -> Erased:
    """Rows of the log, their scores, reactions to them, and rows of the warehouse: those that fit all that is
    given. Rows that are logged right now come within a second or two; ask again for those."""
    caller_of(request).require("admin", persona)
    desk = desk_of(request)
    name = desk.persona(persona).name
    if user and not key:
        raise TwinError("A user is known within a key.", "give `key` too.")
    user_id = user_hash(key, user) if key and user else None
    return erase(desk.settings, desk.lake, name, request_id, user_id, key)
