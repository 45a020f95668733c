"""What people say of answers: thumbs, comments and corrected texts, append-only, for a later dataset."""

import secrets
from datetime import date, datetime
from typing import Any, Literal

from rapidfuzz.distance import Indel

from twin_assets.core.lake import Lake
from twin_assets.core.records import Record, Visibility
from twin_assets.core.text.words import spaced

FOLDER = "feedback"


class Feedback(Record):
    """One reaction to one answer. Texts are None unless the person allowed them to be kept.

    `edited` is the answer as the person would have had it: a better target for the same `prompt`, and for a piece of
    writing the same `brief` (`inference.writing`); `edited_share` how much of the answer that changes. `key` says who the
    person is, as the request log does, and `audience` what they were shown.
    """

    request_id: str
    time: datetime
    persona: str
    model: str
    thumb: Literal["up", "down"] | None = None
    comment: str | None = None
    consent: bool = False
    prompt: str | None = None
    answer: str | None = None
    edited: str | None = None
    edited_share: float | None = None
    brief: dict[str, Any] | None = None
    key: str | None = None
    audience: Visibility = "public"


def add_feedback(lake: Lake, feedback: Feedback) -> str:
    """Store one reaction as an object of its own; its URI. A later one to the same answer stands beside it."""
    at = feedback.time
    name = f"{at:%H%M%S%f}-{secrets.token_hex(3)}.json"
    data = feedback.model_dump_json().encode()
    return lake.create(f"{FOLDER}/{feedback.persona}/{at:%Y-%m-%d}/{name}", data)


def edited_share(answer: str, edited: str) -> float:
    """The share of the words of both texts that stand in one of them only: 0 the same, 1 nothing in common."""
    return Indel.normalized_distance(spaced(answer).split(), spaced(edited).split())


def read_feedback(lake: Lake, persona: str, since: date | None = None) -> list[Feedback]:
    """Reactions, oldest first: all, or those from the day `since` (UTC) on."""
    first = f"{FOLDER}/{persona}/{since or ''}"
    keys = (key for key in lake.keys(f"{FOLDER}/{persona}") if key >= first)
    return [Feedback.model_validate_json(lake.read(key)) for key in keys]
