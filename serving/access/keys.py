"""API keys, which `twin keys` makes, lists and revokes. Only a hash of each is kept, one object a key in the lake.

A key is 256 random bits, so that a plain SHA-256 of it can't be searched; a slow hash is for what people choose.
"""

import hashlib
import hmac
import logging
import re
import secrets
from datetime import UTC, datetime
from typing import Literal, get_args

from pydantic import Field, ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record, Visibility
from twin_assets.core.renewed import Renewed
from twin_assets.core.storage.lake import Lake

Action = Literal["read", "chat", "write", "links", "library", "feedback", "publish", "admin"]
ACTIONS: tuple[Action, ...] = get_args(Action)
DEFAULT_ACTIONS: tuple[Action, ...] = ("read", "chat", "write", "links", "feedback")
EVERYONE = "*"
FOLDER = "access/keys"
PREFIX = "twk"
FRESH_SECONDS, WAIT_SECONDS = 2.0, 2.0
KEY_SHAPE = re.compile(rf"{PREFIX}_[0-9a-f]+_[0-9a-f]+")

logger = logging.getLogger("serving")


class ApiKey(Record):
    """A key as the service knows it. `personas` are names, or `*` for all; `hash` is the SHA-256 of the whole key.

    `audience` is whom its holder belongs to: it is shown what is public, what is for connections too, or all.
    """

    id: str
    hash: str
    name: str
    personas: list[str]
    actions: list[Action]
    audience: Visibility = "public"
    per_minute: float | None = Field(None, ge=0)
    created_at: datetime
    revoked_at: datetime | None = None

    def may(self, action: str, persona: str | None = None) -> bool:
        """Whether it is good for an action, and for a persona where one is named; for nothing that is no Action."""
        for_persona = persona is None or EVERYONE in self.personas or persona in self.personas
        return self.revoked_at is None and action in self.actions and for_persona


class Keys:
    """The keys of an installation, read again when older than two seconds: a revoked key ends everywhere.

    While the lake can't be read, what was known last holds. An object that is damaged lets nobody in, and stands in
    the way of no other.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._known: dict[str, ApiKey] = {}
        self._damaged = False
        self._said = ""
        self._loaded = False
        self._news = Renewed(self._read, FRESH_SECONDS, WAIT_SECONDS, self._load)

    @property
    def stale(self) -> bool:
        """Whether the next look reads the lake."""
        return self._news.due

    @property
    def any(self) -> bool:
        """Whether there was ever a key: a revoked one closes the service too, or revoking would open it."""
        self._refresh()
        return bool(self._known) or self._damaged

    def find(self, token: str) -> ApiKey | None:
        """The key that a caller sent; None when it is unknown or revoked."""
        self._refresh()
        key = self._known.get(token.split("_")[1]) if KEY_SHAPE.fullmatch(token) else None
        if key is None or not hmac.compare_digest(key.hash, _hash(token)) or key.revoked_at:
            return None
        return key

    def all(self) -> list[ApiKey]:
        """Every key that can be read, oldest first."""
        keys = [key for key in self._stored().values() if key]
        return sorted(keys, key=lambda key: key.created_at)

    def damaged(self) -> list[str]:
        """Ids of the keys whose objects can't be read."""
        return [key_id for key_id, key in self._stored().items() if key is None]

    def _stored(self, lake: Lake | None = None) -> dict[str, ApiKey | None]:
        """By id; None for a damaged object."""
        keys: dict[str, ApiKey | None] = {}
        lake = lake or self._lake
        for name in lake.keys(FOLDER):
            key_id = name.rpartition("/")[2].removesuffix(".json")
            try:
                keys[key_id] = ApiKey.model_validate_json(lake.read(name))
            except ValidationError:
                keys[key_id] = None
        return keys

    def create(
        self,
        name: str,
        personas: list[str],
        actions: list[Action],
        per_minute: float | None = None,
        audience: Visibility = "public",
    ) -> tuple[str, ApiKey]:
        """A new key; the text of it is given here and never again."""
        key_id = secrets.token_hex(6)
        token = f"{PREFIX}_{key_id}_{secrets.token_hex(32)}"
        key = ApiKey(
            id=key_id,
            hash=_hash(token),
            name=name,
            personas=personas,
            actions=actions,
            per_minute=per_minute,
            audience=audience,
            created_at=datetime.now(UTC),
        )
        self._lake.create(f"{FOLDER}/{key_id}.json", key.model_dump_json().encode())
        self._news.forget()
        return token, key

    def revoke(self, key_id: str) -> ApiKey:
        """End a key for good, be its object damaged or whole. Raises TwinError when there is none of that id."""
        stored, now = self._stored(), datetime.now(UTC)
        if key_id not in stored:
            raise TwinError(f"There is no key {key_id!r}.", "see `twin keys list`.")
        key = stored[key_id] or ApiKey(
            id=key_id, hash="", name="damaged", personas=[], actions=[], per_minute=None, created_at=now
        )
        revoked = key.model_copy(update={"revoked_at": key.revoked_at or now})
        self._lake.write(f"{FOLDER}/{key_id}.json", revoked.model_dump_json().encode())
        self._news.forget()
        return revoked

    def _refresh(self) -> None:
        """Before the first look that succeeds nobody may be let in: raises what it failed with."""
        self._news.renew()
        if (error := self._news.error) and str(error) != self._said:
            logger.error("the API keys could not be read; those known before still hold: %s", error)
        self._said = str(error or "")

    def _read(self) -> float:
        if self._lake.here is not self._lake:
            self._lake.local(FOLDER)
        self._take(self._stored(self._lake.here))
        return 0.0

    def _load(self) -> bool:
        """Whether there are keys that hold while the lake can't be read: those that this machine knew last, for a process
        that starts meanwhile."""
        here = self._lake.here
        if not self._loaded and here is not self._lake and (here.root / FOLDER).is_dir():
            self._take(self._stored(here))
        return self._loaded

    def _take(self, stored: dict[str, ApiKey | None]) -> None:
        if broken := [key_id for key_id, key in stored.items() if key is None]:
            logger.error("damaged API keys, good for nothing until revoked: %s", ", ".join(broken))
        self._known = {key_id: key for key_id, key in stored.items() if key}
        self._damaged, self._loaded = bool(broken), True


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
