"""Whose a place is that others reach too: a lake or a registry on S3, a tenant of a vector store. The one home of that decision.

A place says the name of the platform that writes it. What another one writes is refused with both names, before anything of it
is changed.
"""

import uuid
from contextlib import suppress
from pathlib import Path

from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake.base import Lake
from twin_assets.core.storage.private import private_file

KEY = "platform"
"""The object in a lake or a registry that says its name."""


class NotOurs(TwinError):
    """The place was made by somebody else, or another platform writes it."""


def refuse_other(place: str, theirs: str, ours: str, fix: str) -> None:
    """Raises NotOurs when another platform than `ours` writes the place. `fix` names a setting."""
    if theirs and theirs != ours:
        raise NotOurs(
            f"{place} belongs to the platform {theirs}, this is {ours}.",
            f"set {fix} to a place of your own; or TWIN_PLATFORM={theirs}, if that is you.",
        )


def claim(place: Lake, name: str, ours: str | None, fix: str) -> str:
    """Whose the place is, in which nothing is written but who it belongs to, where nobody has said so before: `ours`, or a
    name that is drawn now. Raises NotOurs for another platform's, where `ours` is known."""
    try:
        theirs = place.read(KEY).decode()
    except KeyError:
        with suppress(FileExistsError):  # another process was quicker
            place.create(KEY, (ours or uuid.uuid4().hex[:12]).encode())
        try:
            theirs = place.read(KEY).decode()
        except KeyError:
            raise TwinError(
                f"{name} has no object {KEY!r}, and lets none be made: something has taken the name.",
                f"remove the folder {KEY!r} there.",
            ) from None
    refuse_other(name, theirs, ours or theirs, fix)
    return theirs


class Owner:
    """Who writes here: TWIN_PLATFORM, or the name that this home has learnt from its first lake, in `note`."""

    def __init__(self, platform: str | None, note: Path) -> None:
        self._platform, self._note = platform, note

    @property
    def name(self) -> str | None:
        """None for a home that has had no lake yet: it becomes part of the first one's platform."""
        if self._platform:
            return self._platform
        try:
            return self._note.read_text().strip() or None
        except FileNotFoundError:
            return None

    def claim(self, place: Lake, name: str, fix: str) -> None:
        """As `claim`, and remembers it. Raises NotOurs."""
        learnt = claim(place, name, self.name, fix)
        if not self._platform and self.name is None:
            with suppress(FileExistsError), private_file(self._note) as file:
                file.write(learnt.encode())
