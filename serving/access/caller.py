"""The caller, and what they may ask for."""

from dataclasses import dataclass

from fastapi import Request

from serving.access.keys import Action, ApiKey
from serving.errors import Forbidden
from twin_assets.core.records import Visibility, may_see
from twin_assets.core.release.callers import NOBODY, PAGE_LOGIN

# Without keys and password, where the service is open to whoever reaches it.
ANYBODY = "anyone"


@dataclass(frozen=True)
class Caller:
    """The caller: by a key, by the page's session or password, or nobody in particular on this machine.

    `audience` is the most closed writing that may be shown to them, by whatever endpoint.
    """

    name: str
    key: ApiKey | None = None
    audience: Visibility = "public"

    @property
    def id(self) -> str:
        """The name of the caller in records: the id of the key, never the key."""
        return self.key.id if self.key else self.name

    @property
    def anybody(self) -> bool:
        """Whether nothing is known of them: what is kept for them, others could read."""
        return self.name == ANYBODY

    @property
    def authenticated(self) -> str:
        """The proof that they gave, for records of decisions: a key, the page's password, or nothing."""
        if self.key:
            return f"key {self.key.id} ({self.key.name})"
        return PAGE_LOGIN if self.name == "page" else NOBODY

    @property
    def signed_in(self) -> bool:
        """Whether they are known again: by a key, or as those who know the page's password."""
        return self.authenticated != NOBODY

    def may(self, action: Action, persona: str) -> bool:
        """Whether it is good for an action on a persona; only a key narrows that."""
        return self.key is None or self.key.may(action, persona)

    def may_see(self, visibility: Visibility) -> bool:
        """Whether they may be shown writing that is that closed."""
        return may_see(self.audience, visibility)

    def require(self, action: Action, persona: str | None = None) -> None:
        """Raise Forbidden when the caller's key isn't good for it."""
        if self.key and not self.key.may(action, persona):
            scope = f"{action!r} for {persona!r}" if persona else repr(action)
            raise Forbidden(f"This key is not good for {scope}.", "ask for a key with that scope.")


def caller_of(request: Request) -> Caller:
    """The caller that the middleware found."""
    return request.state.caller
