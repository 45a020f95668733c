"""POST /v1/chat/completions and POST /v1/write: what the twin is for."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from serving.access.caller import caller_of
from serving.api.links import linked_from
from serving.protocol import Events, TwinChatRequest, WriteRequest, completion, event_stream, usage
from serving.twin.answering import AnswerService, answer_service, some_seed
from serving.twin.job import Job
from twin_assets.core.errors import TwinError
from twin_assets.inference.twin.answer import Answer
from twin_assets.inference.twin.request_log import user_hash

DEGRADED_HEADER = "X-Twin-Degraded"
STREAMS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "One JSON object, or events with `stream`."}
}

router = APIRouter(tags=["twin"])


@router.post("/v1/chat/completions", response_model=None, responses=STREAMS)
def chat(given: TwinChatRequest, request: Request) -> Response:
    """OpenAI's chat completion; `model` is the persona. The last user turn is answered from the corpus."""
    questions = [t.content for t in given.messages if t.role == "user"]
    if not questions:
        raise TwinError("The conversation has no user turn.", "send a message with the role user.")
    caller_of(request).require("chat", given.model)
    answers = answer_service(request)
    persona, twin = answers.twin(given.model, given.user, caller_of(request).audience, caller_of(request).id)
    plan = twin.plan_answer(questions[-1], linked=linked_from(answers, request, persona.name, given.links))
    job = Job(
        persona, twin, plan, questions[-1], request.state.request_id,
        twin.sampling(plan, given.temperature, some_seed(given.seed), given.max_tokens), **asked_by(request, given.user),
    )  # fmt: skip
    if given.stream:
        return _streamed(answers, job, request, given.wants_usage)
    answer = _whole(answers, job, request)
    return _json(answer, completion(
        answer.model, answer.text, answer.tokens_in, answer.tokens_out, answer.finish_reason,
        **answer.model_dump(include={"citations", "outcome", "seed", "degraded", "unsupported_links", "request_id"}),
    ))  # fmt: skip


@router.post("/v1/write", response_model=Answer, responses=STREAMS)
def write(given: WriteRequest, request: Request) -> Response:
    """A post, an article, a reply or a rewritten draft in the persona's voice, with the passages it leans on.

    With `stream` the events of a chat completion, whose last one has what is not text.
    """
    caller_of(request).require("write", given.persona)
    answers = answer_service(request)
    persona, twin = answers.twin(
        given.persona, given.user, caller_of(request).audience, caller_of(request).id
    )
    brief = given.brief()
    plan = twin.plan_brief(brief, linked_from(answers, request, persona.name, given.links))
    asked = next(text for text in (given.topic, given.draft, given.reply_to) if text)
    job = Job(
        persona, twin, plan, asked, request.state.request_id,
        twin.sampling(plan, given.temperature, some_seed(given.seed)), brief=brief, **asked_by(request, given.user),
    )  # fmt: skip
    if given.stream:
        return _streamed(answers, job, request)
    answer = _whole(answers, job, request)
    return _json(answer, answer.model_dump())


def asked_by(request: Request, user: str | None = None) -> dict[str, Any]:
    """Who a request is counted for: the id of the key, never the key, and a hash of the user that it names."""
    caller = caller_of(request)
    return {"key": caller.id, "user": user_hash(caller.id, user) if user else None}


def _whole(answers: AnswerService, job: Job, request: Request) -> Answer:
    answer = answers.run(job)
    request.state.facts |= _facts(job) | {
        "outcome": answer.outcome, "tokens_in": answer.tokens_in, "tokens_out": answer.tokens_out,
    }  # fmt: skip
    return answer


def _json(answer: Answer, body: dict[str, Any]) -> JSONResponse:
    """Written here, in the request's thread: FastAPI would walk the body once more, on the event loop."""
    headers = {DEGRADED_HEADER: ",".join(answer.degraded)} if answer.degraded else {}
    return JSONResponse(body, headers=headers)


def _streamed(
    answers: AnswerService, job: Job, request: Request, with_usage: bool = False
) -> StreamingResponse:
    pieces, plan = answers.stream(job), job.plan
    outcome = "answered" if plan.refusal is None else "refused"
    request.state.facts |= _facts(job) | {"outcome": outcome, "stream": True}
    citations = [] if plan.refusal else [c.model_dump() for c in plan.citations]
    events = Events(
        job.twin.generator.model, lambda: job.told("finish_reason", "stop"), (lambda: usage(*job.told("tokens", (0, 0)))) if with_usage else None,
        citations=citations, outcome=outcome, seed=job.sampling.seed, degraded=plan.degraded, request_id=job.request_id, prompt_kind=plan.prompt_kind,
        unsupported_links=lambda: job.facts.get("unsupported_links", []),
    )  # fmt: skip
    # A proxy that gathers the whole answer first would take the point out of it.
    headers = {"X-Accel-Buffering": "no"}
    if plan.degraded:
        headers[DEGRADED_HEADER] = ",".join(plan.degraded)
    return StreamingResponse(event_stream(events, pieces), media_type="text/event-stream", headers=headers)


def _facts(job: Job) -> dict[str, Any]:
    """What the access log says of a job: nothing of its texts."""
    return {
        "persona": job.persona.name, "model": job.twin.generator.model, "kind": job.plan.prompt_kind,
        "passages": len(job.plan.citations), "degraded": job.plan.degraded,
    }  # fmt: skip
