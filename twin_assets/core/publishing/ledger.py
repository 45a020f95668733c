"""What was published, append-only: `publishing/<persona>/<number>.json`, one object an event.

A post begins with an event before anything is sent, and another says how it ended. One that has begun and not ended may have
been made: whoever sent it was killed, or no answer came. Such a text is not sent to that place again until somebody has looked.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import ValidationError

from twin_assets.core.drafts import version_id
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.numbered import Numbered, NumberedLog, next_number

FOLDER = "publishing"

# `begun`: sent, and no answer known yet; `opened`: handed to the platform's own composer, where the person goes on.
Outcome = Literal["begun", "opened", "made", "refused", "unknown"]
MAY_BE_THERE: tuple[Outcome, ...] = ("begun", "made", "unknown")


class AlreadyPosted(TwinError):
    """This text was posted there, or it isn't known whether it was."""


class NoSuchPost(TwinError):
    """The ledger has no post of that number, or nothing is open about it."""


class PostEvent(Numbered):
    """One thing that happened to a post, which is named by the number of its first event. `mine` says that the text is the
    author's own, by the person who published it."""

    post: int
    at: datetime
    outcome: Outcome
    by: str
    place: str = ""
    draft_id: str = ""
    version: str = ""
    text: str = ""
    mine: bool = False
    post_id: str | None = None
    address: str | None = None
    reason: str | None = None


class Post(Record):
    """A post as its events leave it. `by` is who published it, `at` when."""

    number: int
    at: datetime
    outcome: Outcome
    by: str
    place: str
    draft_id: str
    version: str
    text: str
    mine: bool
    post_id: str | None
    address: str | None
    reason: str | None


class PostLedger:
    """The posts of one persona."""

    def __init__(self, lake: Lake, persona: str) -> None:
        self.persona, self._lake = persona, lake
        self._log = NumberedLog(lake, f"{FOLDER}/{persona}", PostEvent)

    def posts(self) -> list[Post]:
        """Every post, oldest first. Raises TwinError when the ledger is damaged: nobody knows then what was posted."""
        return _posts(self._events())

    def begin(
        self,
        place: str,
        text: str,
        *,
        draft_id: str,
        by: str,
        mine: bool,
        outcome: Literal["begun", "opened"] = "begun",
    ) -> Post:
        """Write down that a text is about to be sent. Raises AlreadyPosted, also for whoever comes second of two at once."""
        version = version_id(text)

        def begun(events: list[PostEvent]) -> PostEvent:
            for post in _posts(events):
                if (post.place, post.version) == (place, version) and post.outcome in MAY_BE_THERE:
                    raise _already(post)
            number = next_number(events)
            return PostEvent(
                number=number,
                post=number,
                at=datetime.now(UTC),
                outcome=outcome,
                by=by,
                place=place,
                draft_id=draft_id,
                version=version,
                text=text,
                mine=mine,
            )

        return self._append(begun)

    def end(
        self,
        number: int,
        outcome: Literal["made", "refused", "unknown"],
        by: str,
        *,
        post_id: str | None = None,
        address: str | None = None,
        reason: str | None = None,
    ) -> Post:
        """Write down what became of a post. Raises NoSuchPost when it is known already."""

        def ended(events: list[PostEvent]) -> PostEvent:
            found = [post for post in _posts(events) if post.number == number]
            if not found or found[0].outcome in ("made", "refused"):
                raise NoSuchPost(
                    f"{self.persona} has no post {number} of which it isn't known whether it was made.",
                    "see GET /v1/publishing for what there is.",
                )
            return PostEvent(
                number=next_number(events),
                post=number,
                at=datetime.now(UTC),
                outcome=outcome,
                by=by,
                post_id=post_id,
                address=address,
                reason=reason,
            )

        return self._append(ended)

    def _append(self, event_after: Callable[[list[PostEvent]], PostEvent]) -> Post:
        """The post of the event that follows what is there; decided again where another writer was first."""
        while True:
            events = self._events()
            event = event_after(events)
            if self._log.add(event):
                return next(post for post in _posts([*events, event]) if post.number == event.post)

    def _events(self) -> list[PostEvent]:
        """Read from the mirror, which fetches only what is new."""
        self._lake.local(self._log.folder)
        here, events = self._lake.here, list[PostEvent]()
        for key in here.keys(self._log.folder):
            try:
                events.append(PostEvent.model_validate_json(here.read(key)))
            except ValidationError:
                raise TwinError(
                    f"The ledger of posts is damaged: {key}.",
                    "bring that object back from a backup; nothing is posted until then.",
                ) from None
        return events


def _posts(events: list[PostEvent]) -> list[Post]:
    posts: dict[int, Post] = {}
    for event in events:
        before = posts.get(event.post)
        if before is None:
            posts[event.post] = Post(**event.model_dump(include=set(Post.model_fields)))
        else:
            after = {"outcome": event.outcome, "reason": event.reason}
            after |= {"post_id": event.post_id or before.post_id, "address": event.address or before.address}
            posts[event.post] = before.model_copy(update=after)
    return list(posts.values())


def _already(post: Post) -> AlreadyPosted:
    if post.outcome == "made":
        where = f": {post.address}" if post.address else "."
        return AlreadyPosted(
            f"This very text was posted to {post.place} on {post.at:%Y-%m-%d}{where}",
            "change it, or leave it at that.",
        )
    return AlreadyPosted(
        f"This very text was sent to {post.place} at {post.at:%Y-%m-%d %H:%M} UTC, and it isn't known whether it was posted.",
        "look there, then say under Posts whether it was.",
    )
