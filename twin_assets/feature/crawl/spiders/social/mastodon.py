"""Mastodon: the account's archive, whose outbox holds its posts as ActivityPub. Boosts are not ours.

Who a post was for stands in `to` and `cc`: everybody, the followers, or only those named in it. The last are
letters, and stay out.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from lxml import html

from twin_assets.core.records import Visibility
from twin_assets.core.text.storable import load_json
from twin_assets.feature.crawl.formats.archives import archive_members
from twin_assets.feature.crawl.formats.values import parse_time
from twin_assets.feature.crawl.spiders.base import Answers
from twin_assets.feature.crawl.spiders.social.posts import Post, SocialSpider

_WRITING = {"Note", "Question", "Article", "Page"}
_PUBLIC = {"https://www.w3.org/ns/activitystreams#Public", "as:Public", "Public"}
_BLOCKS = {"p", "div", "ul", "ol", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6"}
_UNREADABLE = "a record that can't be read"


class MastodonSpider(SocialSpider):
    name = "mastodon"
    unknown_fix = (
        "set mastodon.archive to the archive that the server prepares under Preferences, Import and export."
    )

    def begin(self) -> Answers:
        assert self.persona.mastodon
        path = self.persona.mastodon.archive
        try:
            files: dict[str, Any] = {}
            for name, data in archive_members(path, r"(^|/)(outbox|actor)\.json$"):
                files[name.rsplit("/", 1)[-1]] = _json(name, data)
            outbox = files.get("outbox.json")
            if not isinstance(outbox, dict) or not isinstance(outbox.get("orderedItems"), list):
                raise ValueError("no outbox.json with orderedItems in it")
            yield from self.documents(self._posts(outbox["orderedItems"], files.get("actor.json")))
        except ValueError as error:
            self.fail(path.name, f"unreadable archive: {error}", True, self.unknown_fix)

    def _posts(self, activities: list[Any], actor: Any) -> dict[str, Post]:
        account = str(actor.get("id") or "") if isinstance(actor, dict) else ""
        posts = {}
        for number, activity in enumerate(activities):
            try:
                post = self._post(activity, account or str(activity.get("actor") or ""), number)
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
                self.skip(_UNREADABLE, str(activity)[:60])
                continue
            if post:
                posts[post.id] = post
        return posts

    def _post(self, activity: dict[str, Any], account: str, number: int) -> Post | None:
        note, kind = activity.get("object"), activity["type"]
        if kind == "Announce":
            self.skip("a boost", str(note)[:200])
            return None
        if kind != "Create" or not isinstance(note, dict) or note.get("type") not in _WRITING:
            inner = note.get("type") if isinstance(note, dict) else None
            self.skip(
                f"no post: {str(inner if kind == 'Create' and inner else kind)[:40]}", _id_of(note)[:200]
            )
            return None
        url = str(note.get("url") or note["id"])
        if account and _id_of(note.get("attributedTo") or account) != account:
            self.skip("by another author", url)
            return None
        visibility = _audience(note, activity)
        if visibility is None:
            self.skip("a private message", url)
            return None
        at, reply_to = (
            parse_time(note.get("published") or activity.get("published")),
            _id_of(note.get("inReplyTo")),
        )
        text, names = _text(note)
        return Post(
            id=str(note["id"]),
            text=text,
            url=url,
            at=at,
            title=str(note.get("summary") or "").strip() or None,
            order=(int((at or datetime.fromtimestamp(0, UTC)).timestamp()), f"{number:09}"),
            reply_to=reply_to or None,
            to_other=bool(reply_to) and not _is_within(reply_to, account),
            addressed=bool(names),
            language=_language(note),
            visibility=visibility,
            payload={
                "tags": [
                    str(tag.get("name")) for tag in note.get("tag") or [] if tag.get("type") == "Hashtag"
                ]
            },
        )


def _json(name: str, data: bytes) -> Any:
    try:
        return load_json(data)
    except ValueError:
        raise ValueError(f"expected JSON in {name}") from None


def _id_of(value: Any) -> str:
    """Id of a thing that is named by it, held whole, or one of several."""
    if isinstance(value, list):
        return _id_of(value[0]) if value else ""
    return str(value.get("id") or "") if isinstance(value, dict) else str(value or "")


def _is_within(uri: str, account: str) -> bool:
    return bool(account) and uri.startswith(account.rstrip("/") + "/")


def _audience(note: dict[str, Any], activity: dict[str, Any]) -> Visibility | None:
    """Public (listed or not), the followers, or None for those who are named only."""
    audience = {str(one) for part in ("to", "cc") for one in _listed(note.get(part) or activity.get(part))}
    if audience & _PUBLIC:
        return "public"
    return "connections" if any(one.rstrip("/").endswith("/followers") for one in audience) else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _language(note: dict[str, Any]) -> str | None:
    codes = list(note.get("contentMap") or {})
    # Some servers write zhcn for zh-CN.
    match = re.fullmatch(r"(zh|[a-z]{2,3})([-_]?[a-z]+)*", str(codes[0]).lower()) if len(codes) == 1 else None
    return match.group(1) if match else None


def _text(note: dict[str, Any]) -> tuple[str, list[str]]:
    """Plain text of a post: a blank line between paragraphs, links in full; and the names that it begins with."""
    content = note.get("content") or next(iter((note.get("contentMap") or {}).values()), "")
    if not str(content).strip():
        return "", []
    tree = html.fragment_fromstring(str(content), create_parent="div")
    for quote in tree.xpath(
        "//*[contains(concat(' ', @class, ' '), ' quote-inline ')]"
    ):  # "RE: address", for old servers
        quote.drop_tree()
    text = re.sub(r"[ \t\xa0]*\n[ \t]*", "\n", "".join(_pieces(tree)))
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return text, re.findall(r"@\w[\w.@-]*", (re.match(r"(?:@\S+\s+)+", text + " ") or [""])[0])


def _pieces(element: Any, mark: str = "") -> Iterator[str]:
    for part in [element, *element]:
        if part is element:
            yield element.text or ""
            continue
        tag = part.tag if isinstance(part.tag, str) else ""
        if tag == "br":
            yield "\n"
        elif tag == "li":
            yield "\n- " + "".join(_pieces(part)).strip()
        elif tag == "blockquote":
            quoted = "".join(_pieces(part)).strip()
            yield "\n\n" + re.sub(r"^", "> ", quoted, flags=re.M) + "\n\n"
        elif tag in _BLOCKS:
            yield "\n\n" + "".join(_pieces(part)) + "\n\n"
        elif tag not in ("script", "style"):
            yield "".join(_pieces(part))
        yield part.tail or ""
