"""What people say of answers: thumbs, comments and corrected texts, append-only, for a later dataset."""

import secrets
from datetime import date
from typing import Any, Literal

from rapidfuzz.distance import Indel

from twin_assets.core.records import Visibility
from twin_assets.core.storage.erased import Asked, ErasedList, erased_list
from twin_assets.core.storage.lake import Lake, keys_since
from twin_assets.core.text.words import spaced

FOLDER = "feedback"


class Feedback(Asked):
    """One reaction to one answer. Texts are None unless the person allowed them to be kept.

    `edited` is the answer as the person would have had it: a better target for the same `prompt`, and for a piece of
    writing the same `brief` (`inference.writing`); `edited_share` how much of the answer that changes. `key` says who the
    person is, as the request log does, and `audience` what they were shown.
    """

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
    """Store one reaction as an object of its own; its URI. A later one to the same answer stands beside it.

    One to a request that is erased, also meanwhile, does not stay.
    """
    at = feedback.time
    name = f"{at:%H%M%S%f}-{secrets.token_hex(3)}.json"
    data = feedback.model_dump_json().encode()
    key = f"{FOLDER}/{feedback.persona}/{at:%Y-%m-%d}/{name}"
    uri = lake.create(key, data)
    if erased_list(lake, feedback.persona).has(feedback):
        lake.delete(key)
    return uri


def edited_share(answer: str, edited: str) -> float:
    """The share of the words of both texts that stand in one of them only: 0 the same, 1 nothing in common."""
    return Indel.normalized_distance(spaced(answer).split(), spaced(edited).split())


def read_feedback(lake: Lake, persona: str, since: date | None = None) -> list[Feedback]:
    """Reactions, oldest first: all, or those from the day `since` (UTC) on."""
    keys = keys_since(lake, f"{FOLDER}/{persona}", since)
    return erased_list(lake, persona).without(one for key in keys if (one := read_reaction(lake, key)))


def take_out_texts(lake: Lake, persona: str, listed: ErasedList) -> int:
    """Take the texts of reactions out whose request is on the list for that; how many had some."""

    def bare(data: bytes) -> bytes | None:
        one = Feedback.model_validate_json(data)
        left = listed.without([one])
        return left[0].model_dump_json().encode() if left and left[0] != one else None

    return sum(lake.update(key, bare) for key in list(lake.keys(f"{FOLDER}/{persona}")))


def read_reaction(lake: Lake, key: str) -> Feedback | None:
    """One stored reaction, erased or not; None when it is gone meanwhile."""
    try:
        return Feedback.model_validate_json(lake.read(key))
    except KeyError:
        return None
