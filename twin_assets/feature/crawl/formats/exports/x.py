"""What X's archives hold: posts and the whole texts of long ones, in every layout since 2012.

Since 2018 `data/tweets.js` (earlier `tweet.js`, in parts when long) holds JSON after an assignment, and long
posts stand whole in `data/note-tweet.js`, cut short in the former. Before, `data/js/tweets/` had a file a month, and
`tweets.csv` all of them.
"""

import html
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from twin_assets.core.text.storable import clean_value
from twin_assets.feature.crawl.formats.exports.tables import read_table

_ASSIGNED = re.compile(r"(?:YTD\W+(\w+)|(Grailbird)|var\s+(\w+))[^=]*=\s*(?=[\[{])")
LINK = re.compile(r"https?://t\.co/\w+")
CUT = re.compile(r"…\s*((?:https?://t\.co/\w+\s*)*)$")
NAMES = re.compile(r"(?<!\s)\s*+(?:[.\"“]?@\w{1,20}[:,]?\s++)++")
_OLD_CODES = {"in": "id", "iw": "he"}
_FIRST_MS = 1288834974657  # what the ids of X count their milliseconds from
_KEY = 20  # letters by which the beginning of a note is looked up


@dataclass(frozen=True)
class Tweet:
    """What is used of a record. `links` maps t.co addresses to what they stand for, "" for one's own media.

    `answered` is the account that it answers, as id or name, `versions` the ids of all versions of an edited post.
    """

    id: str
    text: str
    at: datetime | None
    reply_to: str | None
    answered: str | None
    answered_name: str | None
    language: str | None
    links: dict[str, str]
    retweet: bool
    truncated: bool
    for_followers: bool
    versions: list[str]
    likes: Any
    author: dict[str, Any]

    @classmethod
    def of(cls, row: Any) -> "Tweet":
        """From a record of any layout. Raises KeyError, TypeError or ValueError for what is no post."""
        tweet = row.get("tweet", row)
        whole = tweet.get("extended_tweet") or {}
        number = int(tweet.get("id_str") or tweet["id"])
        text = tweet.get("full_text") or whole.get("full_text") or tweet["text"]
        if number < 0 or not isinstance(text, str):
            raise ValueError("no post")
        edit = tweet.get("edit_info") or {}
        versions = ((edit.get("edit") or {}).get("editControlInitial") or {}).get("editTweetIds") or []
        lang = str(tweet.get("lang") or "")
        reply_to = tweet.get("in_reply_to_status_id_str") or tweet.get("in_reply_to_status_id")
        user = tweet.get("in_reply_to_user_id_str") or tweet.get("in_reply_to_user_id")
        shown = tweet.get("in_reply_to_screen_name")
        author = tweet.get("user")
        return cls(
            id=str(number),
            text=_plain(text),
            at=_time(tweet.get("created_at"), number),
            reply_to=str(reply_to) if reply_to else None,
            answered=str(user or shown or "") or None,
            answered_name=shown if isinstance(shown, str) else None,
            language=_OLD_CODES.get(lang, lang)
            if re.fullmatch(r"(?!und|zxx|art|q)[a-z]{2,3}", lang)
            else None,
            links=_links(tweet, whole),
            retweet=bool(tweet.get("retweeted_status")),
            truncated=tweet.get("truncated") in (True, "true") and not whole,
            for_followers=bool((tweet.get("scopes") or {}).get("followers")),
            versions=[str(version) for version in versions],
            likes=tweet.get("favorite_count"),
            author=author if isinstance(author, dict) else {},
        )

    def url(self, user: str) -> str:
        """Address of the post."""
        return f"https://x.com/{user}/status/{self.id}"


@dataclass(frozen=True)
class Account:
    name: str
    id: str | None
    protected: bool

    @classmethod
    def of(cls, files: dict[str, list[Any]], tweets: dict[str, Tweet]) -> "Account":
        """Who the archive is of; older ones say it in a file of another name, or in each post.

        Where nothing does, it is who is answered in answers to posts of the archive.
        """
        account = next(iter(inner(files, "account", "account")), {})
        last: dict[str, Any] = {}
        answered: Counter[str] = Counter()
        for tweet in tweets.values():
            last = tweet.author or last
            if tweet.answered and tweet.reply_to in tweets:
                answered[tweet.answered] += 1
        history = inner(files, "protected_history", "protectedHistory")
        newest: dict[str, Any] = max(history, key=lambda row: str(row.get("protectedAt")), default={})
        name = account.get("username") or account.get("screen_name") or last.get("screen_name") or "i"
        number = account.get("accountId") or account.get("id") or last.get("id_str")
        number = number or next((user for user, _ in answered.most_common(1)), None)
        protected = (
            str(newest.get("action", "")).lower().startswith("protect") or last.get("protected") is True
        )
        return cls(str(name), str(number) if number else None, protected)

    def is_own(self, tweet: Tweet) -> bool:
        named = (tweet.answered_name or "").casefold() == self.name.casefold()
        return named or (self.id is not None and tweet.answered == self.id)


@dataclass(frozen=True)
class Note:
    text: str
    at: datetime | None
    links: dict[str, str] = field(compare=False)


class Notes:
    """The whole texts of long posts. They bear no post's id: beginning and time tell which is whose."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.notes: dict[str, list[Note]] = {}
        self.used: set[Note] = set()
        for note in rows:
            core = next(
                (v for v in note.values() if isinstance(v, dict) and isinstance(v.get("text"), str)), None
            )
            if core:
                text = _plain(core["text"])
                entities = core.get("entitySet")
                urls = _url_map(
                    core.get("urls") or (entities.get("urls") if isinstance(entities, dict) else None)
                )
                made = Note(text, _time(note.get("createdAt"), 0), urls)
                self.notes.setdefault(_compared(text)[:_KEY], []).append(made)

    def whole(self, tweet: Tweet) -> Note | None:
        """The note of a post that is cut short, or None."""
        start = _compared(CUT.sub("", tweet.text))
        fits = [n for n in self.notes.get(start[:_KEY], []) if _compared(n.text).startswith(start)]
        fits = [note for note in fits if len(start) >= _KEY or _apart(note, tweet) < 60]
        if not fits or not start:
            return None
        best = min(fits, key=lambda note: _apart(note, tweet))
        self.used.add(best)
        return best if CUT.search(tweet.text) else None

    def left(self) -> list[Note]:
        return [note for notes in self.notes.values() for note in notes if note not in self.used]


def inner(files: dict[str, list[Any]], kind: str, name: str) -> list[dict[str, Any]]:
    """The records of a file, out of the object that holds each."""
    records = [row.get(name, row) for row in files.get(kind, []) if isinstance(row, dict)]
    return [row for row in records if isinstance(row, dict)]


def _compared(text: str) -> str:
    """A text without what a post and its note have differently: white space, links, the names that it answers."""
    return re.sub(
        r"\s+", " ", LINK.sub("", NAMES.sub("", text, count=1) if text.startswith("@") else text)
    ).strip()


def _apart(note: Note, tweet: Tweet) -> float:
    if note.at is None or tweet.at is None:
        return float("inf")
    return abs((note.at - tweet.at).total_seconds())


def read_records(name: str, data: bytes) -> tuple[str, list[Any], int]:
    """Kind, records and number of unreadable records of one file of an archive.

    A damaged file counts as at least one unreadable record.
    """
    if name.lower().endswith(".csv"):
        return "tweets_csv", [_from_row(row) for row in read_table(data, {"tweetid", "text", "timestamp"})], 0
    text = data.decode("utf-8-sig", errors="replace")
    head = _ASSIGNED.search(text, 0, 1_000)
    kind = next((group for group in head.groups() if group), "") if head else ""
    kind = (kind or re.split(r"[-_.]?part|\.", name.rsplit("/", 1)[-1])[0]).lower().replace("-", "_")
    kind = {
        "grailbird": "tweets",
        "tweet": "tweets",
        "user_details": "account",
        "note_tweets": "note_tweet",
    }.get(kind, kind)
    if not head and "/tweets/" in f"/{name}":
        kind = "tweets"
    start = head.end() if head else 0
    decoder = json.JSONDecoder(strict=False)
    try:
        rows = decoder.raw_decode(text, start + len(text[start:]) - len(text[start:].lstrip()))[0]
        return kind, clean_value(rows if isinstance(rows, list) else [rows]), 0
    except (ValueError, RecursionError):
        rows, lost = _salvaged(text, start, decoder)
    return kind, clean_value(rows), max(lost, 1)


def _from_row(row: dict[str, str]) -> dict[str, Any]:
    """A record of the oldest archives' table, in the form of the later ones."""
    text, long = row.get("text", ""), row.get("expandedurls", "").split(",")
    short = LINK.findall(text)
    pairs = zip(short, long, strict=True) if len(short) == len(long) else ()
    return {
        "id_str": row.get("tweetid"), "text": text, "created_at": row.get("timestamp"),
        "in_reply_to_status_id_str": row.get("inreplytostatusid"),
        "in_reply_to_user_id_str": row.get("inreplytouserid"), "retweeted_status": row.get("retweetedstatusid"),
        "entities": {"urls": [{"url": url, "expanded_url": whole} for url, whole in pairs]},
    }  # fmt: skip


def _salvaged(text: str, at: int, decoder: json.JSONDecoder) -> tuple[list[Any], int]:
    """The records of a broken list that can be read, told by the field that each begins with."""
    first = re.compile(r"\{\s*\"(\w+)\"\s*:").search(text, at)
    if not first:
        return [], 0
    head = re.compile(r"\{\s*\"" + first.group(1) + r"\"\s*:")
    rows: list[Any] = []
    lost = 0
    match: re.Match[str] | None = first
    while match:
        try:
            row, end = decoder.raw_decode(text, match.start())
            rows.append(row)
        except (ValueError, RecursionError):
            lost, end = lost + 1, match.end()
        match = head.search(text, end)
    return rows, lost


def _links(*holders: dict[str, Any]) -> dict[str, str]:
    links: dict[str, str] = {}
    for holder in holders:
        for entities in (holder.get("entities") or {}, holder.get("extended_entities") or {}):
            links |= _url_map(entities.get("urls"))
            links |= {m["url"]: "" for m in entities.get("media") or [] if isinstance(m.get("url"), str)}
    return links


def _url_map(rows: Any) -> dict[str, str]:
    """Short address to long one, in both spellings that X has for them."""
    addresses = {}
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict):
            continue
        short = row.get("url") or row.get("shortUrl")
        long = row.get("expanded_url") or row.get("expandedUrl") or short
        if isinstance(short, str) and isinstance(long, str):
            addresses[short] = long
    return addresses


def _plain(text: str) -> str:
    """Text without the five references that X writes, and nothing else that looks like one."""
    return re.sub(r"&(amp|lt|gt|quot|#39);", lambda match: html.unescape(match.group()), text)


def _time(text: Any, number: int) -> datetime | None:
    """UTC time of a record: its own in the forms of all layouts, else the one in its id."""
    for form in (
        "%a %b %d %H:%M:%S %z %Y",
        "%Y-%m-%d %H:%M:%S %z",
        "%Y-%m-%dT%H:%M:%S.%f%z",
        "%Y-%m-%dT%H:%M:%S%z",
    ):
        try:
            return datetime.strptime(str(text), form).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    moment = (number >> 22) + _FIRST_MS
    return datetime.fromtimestamp(moment / 1000, UTC) if _FIRST_MS + 1 < moment < 4_000_000_000_000 else None
