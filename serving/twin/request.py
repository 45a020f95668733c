"""One request of the twin, made whole: all that its answer depends on and nothing that changes on the way to it."""

from dataclasses import dataclass

from twin_assets.core.records import Message, Visibility
from twin_assets.inference.generation.structured.schema import ResponseFormat
from twin_assets.inference.twin.brief import Brief
from twin_assets.inference.twin.request_log import user_hash


@dataclass(frozen=True)
class TwinRequest:
    """A question, or with a `brief` a piece of writing, and who asks for it.

    `text` is what was asked for, as the request log has it. `caller` is the id of the key, never the key; no passage
    that is closed to `audience` is found. `links` are addresses whose pages are read too, `max_tokens` is the request's own
    limit; `before` are the turns of the talk before a question, oldest first; `thread` is the kept one that
    the turn is added to; `traceparent` is the span of whoever asks, as W3C writes it; `best_of`, `temperature` and
    `repetition_penalty` are as persona, kind of text and engine have them where they are None.
    """

    request_id: str
    persona: str
    text: str
    caller: str
    audience: Visibility
    user: str | None
    links: tuple[str, ...]
    temperature: float | None
    seed: int
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    top_p: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float | None = None
    best_of: int | None = None
    brief: Brief | None = None
    before: tuple[Message, ...] = ()
    response_format: ResponseFormat | None = None
    thread: str | None = None
    traceparent: str | None = None

    @property
    def user_id(self) -> str | None:
        """A hash of the user that the caller named, known within the caller's key."""
        return user_hash(self.caller, self.user) if self.user else None
