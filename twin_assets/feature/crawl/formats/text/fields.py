"""What the fields of a text mean, whatever program wrote them: title, authors, date, and whether it was published."""

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any

from twin_assets.core.records import Visibility, most_closed
from twin_assets.core.text.front_matter import Fields
from twin_assets.feature.crawl.formats.values import as_time

# Names of fields in lower case, without spaces, _ and -: publishedAt, published_at and published-at are one.
_DATES = [
    "date", "published", "publishdate", "pubdate", "pubdatetime", "publishedat", "publishedon", "publisheddate",
    "datepublished", "publicationdate", "posted", "postedat", "postedon", "postdate", "jbakedate", "pagedate", "revdate",
    "datetime", "created", "createdat", "createdon", "createddate", "datecreated", "creationdate",
]  # fmt: skip
_AUTHORS = [
    "author", "authors", "by", "byline", "writer", "writers", "writtenby", "creator", "guest", "guestauthor", "postauthor",
    "pageauthor", "jbakeauthor",
]  # fmt: skip
# Where Zola, Hugo and others put fields of a site's own.
_INSIDE = ["extra", "params", "taxonomies"]
_STATUS = ["status", "state", "stage", "poststatus", "jbakestatus", "pagestatus", "hugostatus"]
_UNPUBLISHED = {"draft": "draft", "drafts": "draft", "wip": "draft", "unpublished": "not published", "pending": "draft", "hidden": "hidden", "private": "private", "trash": "trash", "skip": "draft"}  # fmt: skip
_DRAFT = ["draft", "hugodraft", "isdraft", "unfinished", "wip"]
_PUBLISHED = ["published", "publish", "public", "dgpublish", "ispublished", "ispublic"]
_NOT_PUBLISHED = ["nopublish", "unpublished", "unpublish", "headless"]
_PRIVATE = ["private", "isprivate", "confidential", "secret"]
_BEHIND_PASSWORD = ["password", "protected", "passwordprotected", "encrypted", "encrypt"]
_EXPIRES = ["expirydate", "unpublishdate"]
_VISIBILITY = ["visibility", "access", "audience", "privacy"]
_SEEN_BY: dict[str, Visibility] = dict.fromkeys(
    ["public", "everyone", "everybody", "world", "all", "anyone", "open"], "public"
)
_SEEN_BY |= dict.fromkeys(
    ["connections", "friends", "followers", "contacts", "subscribers", "members", "paid", "unlisted"],
    "connections",
)


@dataclass(frozen=True)
class Described:
    """`left_out` says why a text was never published; `authors` are its bylines as written."""

    title: str | None = None
    authors: list[str] = field(default_factory=list)
    url: str | None = None
    published_at: dt.datetime | None = None
    language: str | None = None
    visibility: Visibility | None = None
    left_out: str | None = None


def describe(fields: Fields, now: dt.datetime | None = None) -> Described:
    """Read front matter, a document's metadata or an outliner's properties; case, _, - and spaces make no difference."""
    plain = _plain(fields)
    inside = [_plain(plain[name]) for name in _INSIDE if isinstance(plain.get(name), dict)]
    title = plain.get("title")
    url = next(
        (plain[k] for k in ("canonicalurl", "canonical", "url", "permalink") if k in plain),
        None,
    )
    language = next((str(plain[k]) for k in ("lang", "language", "locale") if plain.get(k)), "")
    return Described(
        title=str(title).strip() or None if isinstance(title, str | int | float | dt.date) else None,
        authors=[name for part in (plain, *inside) for key in _AUTHORS for name in _names(part.get(key))],
        url=url if isinstance(url, str) and re.match(r"https?://[^\s/]", url) else None,
        published_at=next((time for key in _DATES if (time := as_time(plain.get(key)))), None),
        language=language[:2].lower() if re.match(r"[A-Za-z]{2}(?:[-_]|$)", language) else None,
        visibility=_visibility(plain),
        left_out=_left_out(plain, now or dt.datetime.now(dt.UTC)),
    )


def _plain(fields: Fields) -> Fields:
    return {re.sub(r"[\s_-]+", "", str(key).lower()): value for key, value in fields.items()}


def more_closed(one: Visibility, other: Visibility | None) -> Visibility:
    """The one of two audiences that is smaller: a file may close itself, never open what its owner closed."""
    return most_closed([one, other or one])


def _names(value: Any) -> list[str]:
    if isinstance(value, dict):
        name = value.get("name") or value.get("literal") or value.get("display_name")
        two = [value.get("given"), value.get("family")]
        return _names(name or " ".join(part for part in two if isinstance(part, str)))
    if isinstance(value, list):
        return [name for part in value for name in _names(part)]
    if not isinstance(value, str) or not value.strip():
        return []
    # A note's link [[Ada]] and an address in brackets aren't part of the name.
    whole = re.sub(r"\s*\([^()]*\)$|\[\[(?:[^\]|]*\|)?|\]\]", "", value.strip()).strip()
    parts = [part.strip() for part in re.split(r"\s*(?:;|&|\band\b|\n)\s*", whole) if part.strip()]
    listed = [p.strip() for part in parts for p in part.split(",") if p.strip()] if "," in whole else []
    return list(dict.fromkeys([whole, *parts, *(name for name in listed if " " in name)]))


def _yes(value: Any) -> bool:
    return (
        value is True
        or (isinstance(value, str) and value.strip().lower() in ("true", "yes", "t", "1", "on"))
        or value == 1
    )


def _no(value: Any) -> bool:
    return value is False or (
        isinstance(value, str) and value.strip().lower() in ("false", "no", "nil", "0", "off", "never")
    )


def _left_out(fields: Fields, now: dt.datetime) -> str | None:
    if any(_yes(fields.get(key)) for key in _PRIVATE):
        return "private"
    if any(_yes(fields.get(key)) for key in _DRAFT):
        return "draft"
    for key in _STATUS:
        states = fields.get(key)
        for state in states if isinstance(states, list) else [states]:
            if isinstance(state, str) and (reason := _UNPUBLISHED.get(state.strip().lower())):
                return reason
    if _yes(fields.get("hidden")):
        return "hidden"
    if any(_no(fields.get(key)) for key in _PUBLISHED) or any(
        _yes(fields.get(key)) for key in _NOT_PUBLISHED
    ):
        return "not published"
    # Hugo renders nothing with `build: {render: never}`, Eleventy with `permalink: false`.
    build = fields.get("build")
    unbuilt = isinstance(build, dict) and (_no(build.get("render")) or build.get("render") == "link")
    if fields.get("permalink") is False or unbuilt:
        return "not published"
    if any(fields.get(key) and not _no(fields.get(key)) for key in _BEHIND_PASSWORD):
        return "behind a password"
    if any(time and time < now for time in (as_time(fields.get(key)) for key in _EXPIRES)):
        return "no longer published"
    if "excalidrawplugin" in fields:
        return "a drawing"
    # Hugo and Jekyll build nothing from the future either.
    dates = [as_time(fields.get(key)) for key in ("date", "publishdate", "published")]
    if any(time and time > now + dt.timedelta(days=1) for time in dates):
        return "dated in the future"
    return None


def _visibility(fields: Fields) -> Visibility | None:
    """The audience a text names for itself; one by a word that isn't known counts as private."""
    said = next(
        (str(fields[key]).strip().lower() for key in _VISIBILITY if isinstance(fields.get(key), str)), ""
    )
    return _SEEN_BY.get(said, "private") if said else None
