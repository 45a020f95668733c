"""X (Twitter): the account's archive zip. Threads of one's own become one post; retweets are not ours.

The archive's `data/tweets.js` (in parts when long) holds JSON after an assignment; long posts stand
whole in `data/note-tweet.js`, and cut short in the former.
"""

import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from twin_assets.feature.crawl.formats.archives import zip_members
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider, Unreadable

_FILES = r"(^|/)data/(tweets?|note-tweet|account)(-part\d+)?\.js$"
_CUT = re.compile(r"(…|\.\.\.)?\s*(https://t\.co/\w+)?\s*$")


class XSpider(SourceSpider):
    name = "x"
    title = "X"
    unknown_fix = (
        "set x.archive to the zip that X prepares under Settings, Your account, Download an archive."
    )

    def begin(self) -> Answers:
        assert self.persona.x
        path = self.persona.x.archive
        try:
            files: dict[str, list[dict[str, Any]]] = {}
            for name, data in zip_members(path, _FILES):
                kind = name.rsplit("/", 1)[-1].split("-part")[0].removesuffix(".js")
                files.setdefault("tweets" if kind == "tweet" else kind, []).extend(_records(data, name))
            yield from self._posts(files)
        except (ValueError, Unreadable) as error:
            self.fail(path.name, f"unreadable archive: {error}", True, self.unknown_fix)

    def _posts(self, files: dict[str, list[dict[str, Any]]]) -> Answers:
        account = (files.get("account") or [{}])[0].get("account", {})
        user = account.get("username", "i")
        notes = [n["noteTweet"]["core"]["text"] for n in files.get("note-tweet", []) if "noteTweet" in n]
        tweets = {t["id_str"]: t for t in (row.get("tweet", row) for row in files.get("tweets", []))}
        own: dict[str, dict[str, Any]] = {}
        for key, tweet in tweets.items():
            if tweet.get("full_text", "").startswith("RT @") or tweet.get("retweeted"):
                self.skip("retweet")
            elif (parent := tweet.get("in_reply_to_status_id_str")) and parent not in tweets:
                self.skip("reply to someone else")
            else:
                own[key] = tweet
        for thread in _threads(own):
            first = thread[0]
            text = "\n\n".join(_text(t, notes) for t in thread).strip()
            if not text:
                self.skip("a post without words")
                continue
            yield self.item(
                first["id_str"], category="post", url=f"https://x.com/{user}/status/{first['id_str']}",
                published_at=_time(first.get("created_at")), mime="text/plain", body=text,
                language=first.get("lang") if first.get("lang") not in ("und", "zxx", "qme") else None,
                payload={"ids": [t["id_str"] for t in thread], "likes": first.get("favorite_count")},
            )  # fmt: skip


def _records(data: bytes, name: str) -> list[dict[str, Any]]:
    text = data.decode("utf-8", errors="replace")
    try:
        rows = json.loads(text[text.index("=") + 1 :])
    except ValueError:
        raise Unreadable(f"expected JSON in {name}") from None
    if not isinstance(rows, list):
        raise Unreadable(f"expected a list in {name}")
    return rows


def _threads(tweets: dict[str, dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Posts with the author's own replies to them, oldest first; a branch follows its parent."""
    replies: dict[str, list[str]] = {}
    for key, tweet in tweets.items():
        parent = tweet.get("in_reply_to_status_id_str")
        if parent in tweets:
            replies.setdefault(str(parent), []).append(key)
    inner = {key for keys in replies.values() for key in keys}
    for key in sorted(tweets.keys() - inner, key=int):
        thread, waiting = [], [key]
        while waiting:
            at = waiting.pop(0)
            thread.append(tweets[at])
            waiting = sorted(replies.get(at, []), key=int) + waiting
        yield thread


def _text(tweet: dict[str, Any], notes: list[str]) -> str:
    """The post's words, whole, with real addresses in place of t.co and without its pictures' ones."""
    raw = tweet.get("full_text") or tweet.get("text") or ""
    if "…" in raw[-40:]:
        start = _CUT.sub("", raw)
        raw = next((note for note in notes if start and note.startswith(start)), raw)
    entities = tweet.get("entities", {})
    for link in entities.get("urls", []):
        raw = raw.replace(link["url"], link.get("expanded_url") or link["url"])
    for medium in entities.get("media", []):
        raw = raw.replace(medium["url"], "")
    return html.unescape(raw).strip()


def _time(text: str | None) -> datetime | None:
    """UTC time of `Wed Oct 10 20:19:24 +0000 2018`."""
    try:
        return datetime.strptime(text or "", "%a %b %d %H:%M:%S %z %Y").astimezone(UTC)
    except ValueError:
        return None
