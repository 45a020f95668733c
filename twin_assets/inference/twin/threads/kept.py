"""The threads of one caller with one persona, for as many days as the persona keeps them without a new turn."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import Record
from twin_assets.core.storage.erased import ErasedList, erased_list
from twin_assets.core.storage.lake import Lake
from twin_assets.core.text.privacy import mask
from twin_assets.inference.twin.threads.stored import (
    FOLDER,
    HEAD,
    StoredThread,
    ThreadFull,
    ThreadHead,
    ThreadsNotKept,
    ThreadTurn,
    UnknownThread,
    is_id,
    read_head,
    read_turn,
    stamp,
    stored_threads,
)

MOST_THREADS = 500  # of one caller with one persona
MOST_TURNS = 200
MOST_CHARACTERS = 500_000
TITLE_CHARACTERS = 80  # of a question that stands for a title
READERS = 8  # objects of a lake on S3 that are read at a time


class ThreadSummary(Record):
    """A thread in a list. `turns` and `characters` are how many it has; it goes at `kept_until` unless it has a new turn by
    then."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime
    kept_until: datetime
    turns: int
    characters: int


class ThreadPage(Record):
    """Threads, those used last first; `next` asks for the page after, None on the last."""

    threads: list[ThreadSummary]
    next: str | None


class Thread(ThreadSummary):
    """A whole thread, `exchanges` oldest first."""

    persona: str
    exchanges: list[ThreadTurn]


class Threads:
    """Those of a key, and of one `user` of that key (a hash) where one is named; nobody else's are seen through it."""

    def __init__(
        self, lake: Lake, persona: Persona, key: str, user: str | None = None, now: datetime | None = None
    ) -> None:
        """Raises ThreadsNotKept where the persona keeps none; what it kept before is not shown any more either."""
        if not persona.threads_kept_days:
            why = "log_text is off" if persona.log_text == "off" else "thread_days is 0"
            raise ThreadsNotKept(
                f"{persona.name!r} keeps no threads: {why}.",
                "send whole threads with each request, or change that in the persona's file.",
            )
        self.lake, self.persona, self._key, self._user = lake, persona, key, user
        self._now = now or datetime.now(UTC)
        self._folder = f"{FOLDER}/{persona.name}/{key}/{user or '-'}"
        self._days = timedelta(days=persona.threads_kept_days)

    def page(self, limit: int, before: str | None = None) -> ThreadPage:
        """At most `limit` threads, from the start of the list or from the place that `next` of another page named."""
        stored = sorted(self._stored(self._folder), key=lambda one: one.place, reverse=True)
        left = [one for one in stored if before is None or one.place < before]
        shown, listed = left[:limit], self._erased()
        with ThreadPoolExecutor(READERS) as pool:
            told = pool.map(lambda one: self._in_list(one, listed), shown)
        return ThreadPage(
            threads=[one for one in told if one], next=shown[-1].place if len(left) > limit else None
        )

    def begin(self, title: str | None = None) -> ThreadSummary:
        """A new, empty thread. Raises ThreadFull when the caller has MOST_THREADS."""
        if len(self._stored(self._folder)) >= MOST_THREADS:
            raise ThreadFull(
                f"You keep {MOST_THREADS} threads with {self.persona.name!r}, and there may be no more.",
                "delete some of them, or send whole threads with each request.",
            )
        thread_id = f"{stamp(self._now)}-{secrets.token_hex(8)}"
        head = ThreadHead(
            request_id=thread_id,
            time=self._now,
            persona=self.persona.name,
            key=self._key,
            user=self._user,
            title=self._storable(title),
        )
        stored = StoredThread(f"{self._folder}/{thread_id}", [], whole=True)
        self.lake.create(f"{stored.folder}/{HEAD}", head.model_dump_json().encode())
        if self._erased().has(head):
            stored.delete(self.lake)
        return self._summary(stored, head, None)

    def open(self, thread_id: str) -> Thread:
        """All of it. Raises UnknownThread."""
        stored, listed = self._find(thread_id), self._erased()
        head = self._head(stored, listed)
        with ThreadPoolExecutor(READERS) as pool:
            turns = list(pool.map(lambda name: self._turn(stored, name, listed), stored.turns))
        exchanges = [turn for turn in turns if turn]
        summary = self._summary(stored, head, exchanges[0] if exchanges else None)
        return Thread(**summary.model_dump(), persona=self.persona.name, exchanges=exchanges)

    def rename(self, thread_id: str, title: str) -> ThreadSummary:
        """Give it a title. Raises UnknownThread."""
        stored = self._find(thread_id)

        def renamed(data: bytes) -> bytes:
            head = ThreadHead.model_validate_json(data)
            return head.model_copy(update={"title": self._storable(title)}).model_dump_json().encode()

        self.lake.update(f"{stored.folder}/{HEAD}", renamed)
        return self._summary(stored, self._head(stored, self._erased()), None)

    def delete(self, thread_id: str) -> None:
        """For good; a turn that is just being written does not outlive it. Raises UnknownThread."""
        self._find(thread_id).delete(self.lake)

    def require_room(self, thread_id: str, characters: int) -> None:
        """Raises UnknownThread, and ThreadFull where a question of so many characters would be too much."""
        stored = self._find(thread_id)
        if len(stored.turns) >= MOST_TURNS or stored.characters + characters > MOST_CHARACTERS:
            raise ThreadFull(
                f"This thread is full: it has {len(stored.turns)} of {MOST_TURNS} turns, and {stored.characters:,} of "
                f"{MOST_CHARACTERS:,} characters. All of it stays as it is.",
                "begin a new thread, and ask there.",
            )

    def add(self, thread_id: str, turn: ThreadTurn) -> bool:
        """Keep a turn; False when the thread was deleted, or the request erased, meanwhile."""
        turn = self._storable_turn(turn)
        folder = f"{self._folder}/{thread_id}"
        key = f"{folder}/{turn.file}"
        self.lake.create(key, turn.model_dump_json().encode())
        # Whoever deletes takes the head first, and whoever erases goes on the list first: this looks afterwards.
        left = turn.without_erased(self._erased())
        if left is None or not self.lake.exists(f"{folder}/{HEAD}"):
            self.lake.delete(key)
            return False
        if left != turn:
            self.lake.write(key, left.model_dump_json().encode())
        return True

    def _stored(self, folder: str) -> list[StoredThread]:
        return [
            one
            for one in stored_threads(self.lake, folder)
            if one.whole and one.updated + self._days > self._now
        ]

    def _find(self, thread_id: str) -> StoredThread:
        if is_id(thread_id) and (stored := self._stored(f"{self._folder}/{thread_id}")):
            return stored[0]
        raise _unknown(thread_id)

    def _head(self, stored: StoredThread, listed: ErasedList) -> ThreadHead:
        head = read_head(self.lake, f"{stored.folder}/{HEAD}")
        if head is None or listed.has(head):
            raise _unknown(stored.id)
        return head

    def _turn(self, stored: StoredThread, name: str, listed: ErasedList) -> ThreadTurn | None:
        turn = read_turn(self.lake, f"{stored.folder}/{name}")
        return turn and turn.without_erased(listed)

    def _in_list(self, stored: StoredThread, listed: ErasedList) -> ThreadSummary | None:
        """None for one that was deleted meanwhile."""
        try:
            head = self._head(stored, listed)
        except UnknownThread:
            return None
        untitled = head.title is None and stored.turns
        return self._summary(stored, head, self._turn(stored, stored.turns[0], listed) if untitled else None)

    def _summary(self, stored: StoredThread, head: ThreadHead, first: ThreadTurn | None) -> ThreadSummary:
        question = " ".join(((first and first.prompt) or "").split())
        short = question if len(question) <= TITLE_CHARACTERS else f"{question[: TITLE_CHARACTERS - 1]}…"
        return ThreadSummary(
            id=stored.id,
            title=head.title or short or "Untitled",
            created_at=stored.created,
            updated_at=stored.updated,
            kept_until=stored.updated + self._days,
            turns=len(stored.turns),
            characters=stored.characters,
        )

    def _erased(self) -> ErasedList:
        return erased_list(self.lake, self.persona.name)

    def _storable_turn(self, turn: ThreadTurn) -> ThreadTurn:
        texts = {name: self._storable(getattr(turn, name)) for name in ("prompt", "answer", "understood_as")}
        cited = [one.model_copy(update={"quote": self._storable(one.quote)}) for one in turn.citations or ()]
        return turn.model_copy(update=texts | {"citations": cited})

    def _storable(self, text: str | None) -> str | None:
        return mask(text)[0] if text and self.persona.log_text == "masked" else text


def _unknown(thread_id: str) -> UnknownThread:
    return UnknownThread(
        f"You have no thread {thread_id[:80]!r} with this persona.", "take an id that GET /v1/threads names."
    )
