"""The places, how long a text may be there, and the address of each one's composer with the text filled in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from twin_assets.inference.twin.shaping import x_weight

Place = Literal["linkedin", "x", "webhook", "bluesky", "mastodon", "mail"]
# What browsers and sites take of an address without cutting it off.
MOST_ADDRESS = 8_000


def utf16(text: str) -> int:
    """The length of a text in UTF-16 units: no platform counts more for one."""
    return len(text.encode("utf-16-le")) // 2


@dataclass(frozen=True)
class PlaceFacts:
    """`limit` is in what `length` counts, None where there is none."""

    title: str
    limit: int | None
    length: Callable[[str], int]
    composer: str | None


PLACES: dict[Place, PlaceFacts] = {
    "linkedin": PlaceFacts("LinkedIn", 3_000, utf16, "https://www.linkedin.com/feed/?shareActive=true&text={text}"),
    "x": PlaceFacts("X", 280, x_weight, "https://x.com/intent/post?text={text}"),
    "bluesky": PlaceFacts("Bluesky", 300, utf16, "https://bsky.app/intent/compose?text={text}"),
    "mastodon": PlaceFacts("Mastodon", 500, utf16, "https://share.joinmastodon.org/#text={text}"),
    "mail": PlaceFacts("Mail", None, utf16, "mailto:?subject={title}&body={text}"),
    "webhook": PlaceFacts("Webhook", None, utf16, None),
}  # fmt: skip


def composer(place: Place, title: str, text: str) -> str | None:
    """The address of the composer with the text in it; None where there is none, or the text is too long for an address."""
    pattern = PLACES[place].composer
    if pattern is None:
        return None
    address = pattern.format(title=quote(title, safe=""), text=quote(text, safe=""))
    return address if len(address) <= MOST_ADDRESS else None
