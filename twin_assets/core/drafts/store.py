"""Drafts in the lake: one object each, changed only by who has seen the text that is there.

`drafts/<persona>/<hash of the owner>/<id>.json`. A save is a conditional write: of two that follow the same text, the
second is told so and has changed nothing. A draft that is full refuses a save too; no version is ever dropped to make room.
"""

import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from twin_assets.core.drafts.records import (
    MOST_CHARACTERS,
    MOST_DRAFTS,
    MOST_TEXT,
    MOST_VERSIONS,
    Draft,
    DraftCitation,
    DraftStatus,
    DraftVersion,
    WrittenBy,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Visibility, may_see
from twin_assets.core.storage.lake import Lake

FOLDER = "drafts"
MOST_TITLE = 200
UNTITLED = "Untitled"
# Who works at the page is one person, with its password or on this machine before there is one.
PAGE, THIS_MACHINE = "page", "this machine"
_ID = re.compile(r"[0-9a-f]{16}")


class NoSuchDraft(TwinError):
    """The owner has no draft of that id that they may see."""


class StaleDraft(TwinError):
    """The text to be followed is no longer the draft's last."""


class DraftFull(TwinError):
    """There are too many drafts, or too many versions or characters in one."""


def owner_of(caller: str) -> str:
    """Whose drafts a caller's are, by the caller's id: a key's own, or those of the page."""
    return PAGE if caller == THIS_MACHINE else caller


class Drafts:
    """The drafts of one owner for one persona. `audience` is what the owner may be shown: a draft that was begun with
    more is not there for them."""

    def __init__(self, lake: Lake, persona: str, owner: str, audience: Visibility) -> None:
        self._lake, self.persona, self.owner, self._audience = lake, persona, owner, audience
        self._folder = f"{FOLDER}/{persona}/{text_hash(owner)}"

    def all(self) -> tuple[list[Draft], list[str]]:
        """Those that can be read, the last changed first; and the ids of damaged ones."""
        self._lake.local(self._folder)
        kept, damaged = list[Draft](), list[str]()
        for key in self._lake.here.keys(self._folder):
            try:
                draft = Draft.model_validate_json(self._lake.here.read(key))
            except KeyError:
                continue  # deleted meanwhile
            except ValidationError:
                damaged.append(key.rpartition("/")[2].removesuffix(".json"))
                continue
            if may_see(self._audience, draft.audience):
                kept.append(draft)
        return sorted(kept, key=lambda draft: (draft.changed_at, draft.id), reverse=True), damaged

    def get(self, draft_id: str) -> Draft:
        """Raises NoSuchDraft; TwinError for one that is damaged."""
        try:
            draft = self._read(self._lake.read(self._key(draft_id)), draft_id)
        except KeyError:
            raise self._unknown(draft_id) from None
        return draft

    def begin(
        self,
        text: str,
        by: WrittenBy,
        *,
        title: str = "",
        kind: str = "article",
        status: DraftStatus = "draft",
        request_id: str | None = None,
        model: str | None = None,
        citations: Sequence[DraftCitation] = (),
    ) -> Draft:
        """A new draft. Raises DraftFull."""
        if sum(1 for _ in self._lake.keys(self._folder)) >= MOST_DRAFTS:
            raise DraftFull(
                f"There are {MOST_DRAFTS} drafts already, which is as many as are kept.",
                "export and delete some that are done with.",
            )
        now = datetime.now(UTC)
        first = DraftVersion(
            number=1, at=now, by=by, text=text, request_id=request_id, model=model, citations=list(citations)
        )
        draft = Draft(
            id=secrets.token_hex(8),
            persona=self.persona,
            owner=self.owner,
            audience=self._audience,
            title=_title(title) or _title(text) or UNTITLED,
            kind=kind,
            status=status,
            created_at=now,
            changed_at=now,
            versions=[first],
        )
        _refuse_too_long(draft)
        self._lake.create(self._key(draft.id), draft.model_dump_json().encode())
        return draft

    def save(
        self,
        draft_id: str,
        seen: str,
        *,
        text: str | None = None,
        by: WrittenBy = "person",
        title: str | None = None,
        status: DraftStatus | None = None,
        request_id: str | None = None,
        model: str | None = None,
        citations: Sequence[DraftCitation] = (),
    ) -> Draft:
        """The draft after a change by somebody who has `seen` the version of that id. Another text is a new version;
        the same one is none.

        Raises StaleDraft when the last version is another, DraftFull, NoSuchDraft: then nothing has changed.
        """

        def change(draft: Draft) -> Draft:
            if draft.last.id != seen:
                raise StaleDraft(
                    f"The draft was saved meanwhile: its version {draft.last.number} is of {draft.last.at:%Y-%m-%d %H:%M} UTC.",
                    "look at what it says now, and save what you want of both on top of it; nothing of either is lost.",
                )
            now = max(datetime.now(UTC), draft.changed_at)
            changed: dict[str, object] = {"changed_at": now}
            if title is not None:
                changed["title"] = _title(title) or UNTITLED
            if status is not None:
                changed["status"] = status
            if text is not None and text != draft.last.text:
                added = DraftVersion(
                    number=draft.last.number + 1,
                    at=now,
                    by=by,
                    text=text,
                    request_id=request_id,
                    model=model,
                    citations=list(citations),
                )
                changed["versions"] = [*draft.versions, added]
            return draft.model_copy(update=changed)

        return self._change(draft_id, change)

    def delete(self, draft_id: str) -> None:
        """With all its versions, for good. Raises NoSuchDraft."""
        try:
            self.get(draft_id)
        except NoSuchDraft:
            raise
        except TwinError:
            pass  # a damaged one can be deleted too
        self._lake.delete(self._key(draft_id))

    def _change(self, draft_id: str, change: Callable[[Draft], Draft]) -> Draft:
        made = list[Draft]()

        def changed(data: bytes) -> bytes:
            after = change(self._read(data, draft_id))
            _refuse_too_long(after)
            made.append(after)  # the last attempt is the one that counts
            return after.model_dump_json().encode()

        if not self._lake.update(self._key(draft_id), changed):
            raise self._unknown(draft_id)
        return made[-1]

    def _read(self, data: bytes, draft_id: str) -> Draft:
        try:
            draft = Draft.model_validate_json(data)
        except ValidationError:
            raise TwinError(
                f"The draft {draft_id} is damaged.", "bring it back from a backup, or delete it."
            ) from None
        if not may_see(self._audience, draft.audience):
            raise self._unknown(draft_id)
        return draft

    def _key(self, draft_id: str) -> str:
        if not _ID.fullmatch(draft_id):
            raise self._unknown(draft_id)
        return f"{self._folder}/{draft_id}.json"

    def _unknown(self, draft_id: str) -> NoSuchDraft:
        return NoSuchDraft(
            f"You have no draft {draft_id[:80]!r} of {self.persona!r}.",
            "take an id that GET /v1/drafts names.",
        )


def draft_keys(lake: Lake, persona: str) -> list[str]:
    """Objects of all drafts of a persona, whoever's they are."""
    return list(lake.keys(f"{FOLDER}/{persona}"))


def take_out(lake: Lake, persona: str, requests: Collection[str], owner: str | None = None) -> int:
    """Take out what the twin wrote in these requests, and with `owner` all of theirs; of how many drafts. One that has
    no other version is gone."""

    def without(data: bytes) -> bytes | None:
        draft = _known(data)
        if draft is None:
            return None
        left = [version for version in draft.versions if version.request_id not in requests]
        if not left or draft.owner == owner:
            gone.append(draft.id)
            return None
        return (
            draft.model_copy(update={"versions": left}).model_dump_json().encode()
            if left != draft.versions
            else None
        )

    changed = 0
    for key in draft_keys(lake, persona):
        gone = list[str]()
        changed += lake.update(key, without)
        if gone:
            lake.delete(key)
            changed += 1
    return changed


def remove_old(lake: Lake, persona: str, days: int, now: datetime) -> int:
    """Delete the drafts that nobody has changed for so many days, none with 0; how many."""
    if not days:
        return 0
    old = [
        key
        for key, draft in _stored(lake, persona)
        if draft and draft.changed_at < now - timedelta(days=days)
    ]
    for key in old:
        lake.delete(key)
    return len(old)


def _stored(lake: Lake, persona: str) -> Iterator[tuple[str, Draft | None]]:
    for key in draft_keys(lake, persona):
        try:
            yield key, _known(lake.read(key))
        except KeyError:
            continue


def _known(data: bytes) -> Draft | None:
    try:
        return Draft.model_validate_json(data)
    except ValidationError:
        return None


def _title(text: str) -> str:
    """The first line, without the marks of a heading."""
    line = next((line for line in text.splitlines() if line.strip("# \t")), "")
    return " ".join(line.strip("# \t").split())[:MOST_TITLE]


def _refuse_too_long(draft: Draft) -> None:
    """Raises DraftFull."""
    if len(draft.last.text) > MOST_TEXT:
        problem = f"The text has {len(draft.last.text):,} characters; a draft's may have {MOST_TEXT:,}."
    elif len(draft.versions) > MOST_VERSIONS:
        problem = f"The draft has {MOST_VERSIONS} versions, which is as many as are kept."
    elif draft.characters > MOST_CHARACTERS:
        problem = f"The versions of the draft would have more than {MOST_CHARACTERS:,} characters together."
    else:
        return
    raise DraftFull(problem, "go on in a new draft; what is kept stays as it is.")
