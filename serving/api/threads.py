"""/v1/threads: the talks that a signed-in caller keeps with a persona. A chat completion that names one adds its turn to it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, Field

from serving.access.caller import caller_of
from serving.access.needs import needs
from serving.errors import Forbidden
from serving.protocol import Name, PersonaId, RequestBody
from serving.twin.answering import answer_service
from twin_assets.inference.twin.request_log import user_hash
from twin_assets.inference.twin.threads import Thread, ThreadPage, Threads, ThreadSummary, ThreadTurn

MOST_LISTED = 100


def _said(title: str) -> str:
    if not (words := " ".join(title.split())):
        raise ValueError("a title says something")
    return words


Title = Annotated[
    str, Field(min_length=1, max_length=200, json_schema_extra={"pattern": r"\S"}), AfterValidator(_said)
]
User = Annotated[
    str | None,
    Query(max_length=200, description="The `user` of the key whose threads these are, if one is named."),
]
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Thread,
        "content": {"text/markdown": {"schema": {"type": "string"}}},
        "description": "A file: the thread as JSON, or Markdown to read.",
    }
}

router = APIRouter(tags=["threads"])


class NewThread(RequestBody):
    """POST /v1/threads. Without a title the first question stands for one."""

    persona: PersonaId
    title: Title | None = None
    user: Name | None = None


class NewTitle(RequestBody):
    title: Title


def threads_of(request: Request, persona: str, user: str | None) -> Threads:
    """The caller's own, of one `user` of their key where one is named. Raises Forbidden for a caller who is not known again, NotFoundError and ThreadsNotKept."""
    caller, answers = caller_of(request), answer_service(request)
    caller.require("chat", persona)
    if not caller.signed_in:
        raise Forbidden(
            "Threads are kept only for callers who sign in.",
            "send an API key, or log in on the page (TWIN_UI_PASSWORD); or send whole threads with each request.",
        )
    return Threads(
        answers.lake, answers.persona(persona), caller.id, user_hash(caller.id, user) if user else None
    )


@router.get("/v1/threads")
@needs("chat")
def list_threads(
    request: Request,
    persona: PersonaId,
    user: User = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 20,
    before: Annotated[str | None, Query(max_length=80, description="`next` of the page before.")] = None,
) -> ThreadPage:
    """The caller's threads with a persona, those used last first."""
    return threads_of(request, persona, user).page(limit, before)


@router.post("/v1/threads")
@needs("chat")
def begin(given: NewThread, request: Request) -> ThreadSummary:
    """A new thread, empty until a chat completion names it as its `thread`."""
    return threads_of(request, given.persona, given.user).begin(given.title)


@router.get("/v1/threads/{thread_id}")
@needs("chat")
def open_thread(thread_id: str, request: Request, persona: PersonaId, user: User = None) -> Thread:
    """All turns of one, with their citations; 404 for one that isn't the caller's."""
    return threads_of(request, persona, user).open(thread_id)


@router.patch("/v1/threads/{thread_id}")
@needs("chat")
def rename(
    thread_id: str, given: NewTitle, request: Request, persona: PersonaId, user: User = None
) -> ThreadSummary:
    """Another title."""
    return threads_of(request, persona, user).rename(thread_id, given.title)


@router.delete("/v1/threads/{thread_id}")
@needs("chat")
def delete(thread_id: str, request: Request, persona: PersonaId, user: User = None) -> dict[str, str]:
    """For good. The request log keeps its own rows for as long as the persona says."""
    threads_of(request, persona, user).delete(thread_id)
    return {"status": "deleted", "id": thread_id}


@router.get("/v1/threads/{thread_id}/export", response_model=None, responses=FILES)
@needs("chat")
def export(
    thread_id: str,
    request: Request,
    persona: PersonaId,
    user: User = None,
    format: Literal["json", "markdown"] = "json",
) -> Response:
    """One thread as a file."""
    answers = answer_service(request)
    thread = threads_of(request, persona, user).open(thread_id)
    text, kind, ending = (
        (thread.model_dump_json(indent=2), "application/json", "json")
        if format == "json"
        else (markdown(thread, answers.persona(persona).full_name), "text/markdown; charset=utf-8", "md")
    )
    named = {"Content-Disposition": f'attachment; filename="thread-{thread.id}.{ending}"'}
    return Response(text, media_type=kind, headers=named)


def markdown(thread: Thread, full_name: str) -> str:
    """A thread to read: questions as quotations, answers as they were given, with what they cite."""
    parts = [
        f"# {thread.title}",
        f"With the twin of {full_name}, {_day(thread.created_at)} to {_day(thread.updated_at)}.",
    ]
    for turn in thread.exchanges:
        asked = (turn.prompt or "[erased]").splitlines()
        parts.append("\n".join(f"> {line}".rstrip() for line in asked))
        parts.append(_answered(turn))
        parts.append(
            "\n".join(f"- [{one.number}] {one.title or 'Post'}: {one.url}" for one in turn.citations or ())
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _answered(turn: ThreadTurn) -> str:
    if turn.answer is None:
        return "[erased]"
    return f"{turn.answer}\n\n*It broke off here.*".strip() if turn.outcome == "failed" else turn.answer


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d}"
