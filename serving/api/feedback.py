"""POST /v1/feedback: what a person says of an answer."""

from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field, model_validator

from serving.access.caller import caller_of
from serving.access.dependencies import Config, known_persona
from serving.access.needs import needs
from serving.protocol import MAX_CHARACTERS, Name, PersonaId, RequestBody, is_given
from serving.twin.answering import answer_service
from twin_assets.core.feedback.store import Feedback, add_feedback, edited_share
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.text.privacy import mask

router = APIRouter(tags=["twin"])
TEXTS = {"prompt", "answer", "edited"}


class FeedbackRequest(RequestBody):
    """At least one of thumb, comment and edited. Texts are kept only with `consent`; `model`, and where it is logged what
    was asked and answered, are taken from the request itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["thumb"], "properties": {"thumb": {"type": "string"}}},
                is_given("comment"),
                is_given("edited"),
            ]
        }
    )

    request_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,80}$", max_length=80)
    persona: PersonaId
    model: Name | None = None
    thumb: Literal["up", "down"] | None = None
    comment: str | None = Field(None, max_length=2000)
    consent: bool = False
    prompt: str | None = Field(None, max_length=MAX_CHARACTERS)
    answer: str | None = Field(None, max_length=MAX_CHARACTERS)
    edited: str | None = Field(None, max_length=MAX_CHARACTERS)

    @model_validator(mode="after")
    def _says_something(self) -> "FeedbackRequest":
        if self.thumb is None and not self.comment and not self.edited:
            raise ValueError("give a thumb, a comment or an edited text")
        return self


@router.post("/v1/feedback")
@needs("feedback")
def feedback(given: FeedbackRequest, request: Request, settings: Config) -> dict[str, Any]:
    """Store it, append-only, for a request that the caller asked: 404 for any other. `texts_kept` is false without consent, or where the persona logs no text."""
    caller = caller_of(request)
    caller.require("feedback", given.persona)
    name = known_persona(given.persona, settings)
    logged = answer_service(request).request_of(name, given.request_id, caller.id)
    policy = load_persona(settings.personas_dir, name).log_text
    keep = given.consent and policy != "off"
    said = given.model_dump(exclude={"model"} if keep else {"model", *TEXTS})
    if policy == "masked":
        said |= {name: mask(said[name])[0] for name in (*TEXTS, "comment") if said.get(name)}
    if keep:  # what was asked and answered is what the log says, where it still does
        said |= {"prompt": logged.question or said["prompt"], "answer": logged.answer or said["answer"]}
        said["brief"] = logged.brief and logged.brief.model_dump(exclude_none=True)
        if said["answer"] and said["edited"]:
            said["edited_share"] = edited_share(said["answer"], said["edited"])
    add_feedback(
        open_lake(settings),
        Feedback(time=datetime.now(UTC), model=logged.model, key=caller.id, audience=caller.audience, **said),
    )
    return {"status": "stored", "texts_kept": keep}
