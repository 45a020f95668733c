"""What a feed holds: its entries, told apart, and for each whether its text is whole or a summary."""

import html
import re
from collections import Counter
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from twin_assets.core.hashing import text_hash

Text = Literal["whole", "unsure", "cut"]
SHORT = 600  # characters: notes to a recording, a link with a remark
_SUMMARY = 1_000  # characters: a paragraph longer than this is no summary


class Entry(BaseModel):
    """One entry of a feed.

    `id` is unique in its feed: the address, or the guid where entries share one address or have none.
    `text` says whether `body` is the whole text, a summary (`cut`), or might be either (`unsure`).
    `media` is set where the entry brings a recording.
    """

    id: str
    guid: str
    url: str
    title: str | None = None
    authors: list[str] = []
    published_at: datetime | None = None
    updated_at: datetime | None = None
    body: str = ""
    mime: Literal["text/html", "text/plain"] = "text/html"
    text: Text = "whole"
    media: bool = False
    draft: bool = False
    tags: list[str] = []

    @property
    def length(self) -> int:
        """Characters of its text without markup."""
        return len(without_markup(self.body) if self.mime == "text/html" else self.body.strip())


class Feed(BaseModel):
    """A feed's entries in its order. `home` is the site it belongs to, `next` its next page (RFC 5005)."""

    title: str | None = None
    home: str | None = None
    next: str | None = None
    entries: list[Entry] = []
    broken: int = 0


TAG = re.compile(r"<[a-zA-Z/!][^<>]*>")
_BLOCK = re.compile(
    r"<(?:p|pre|ul|ol|h[1-6]|blockquote|table|figure)\b|<br\s*/?>\s*<br|\n\s*\n", re.IGNORECASE
)
# WordPress ends every entry so, a whole one too.
_CREDIT = re.compile(
    r"\s*The post .{1,300} (?:first appeared on|appeared first on) .{1,200}\.?\s*$", re.DOTALL
)
_BRACKETED = re.compile(r"[\[(]\s*(?:…|\.\.\.)\s*[\])]\W*$")
_ELLIPSIS = re.compile(r"(?:…|\.\.\.)\W*$")
_INVITES = (
    r"(?:(?:continue|keep) reading|read (?:more|on(?=\W*$)|the (?:rest|full|whole))"
    r"|view (?:the )?(?:full|original) (?:post|article)"
    r"|weiterlesen|lire la suite|(?:leer|seguir) (?:más|leyendo)|continua a leggere|leia mais|lees verder|läs mer|czytaj dalej"
    r"|читать (?:далее|дальше)|続きを読む|もっと読む|阅读(?:全文|更多)|继续阅读|계속 읽기)"
)
_INVITED = re.compile(rf"(?:^|[.!?…»。]\s*|\n){_INVITES}[^.!?]{{0,100}}\W*$", re.IGNORECASE)
_INVITATION = re.compile(_INVITES, re.IGNORECASE)
_ENDS = re.compile(r"[^\w\s]\s*$")


def settle_texts(entries: list[Entry]) -> list[Entry]:
    """The entries with `text` settled as far as they and their neighbours tell.

    A text is cut where it ends in `[…]` or an invitation to read on, where its one paragraph ends in `…`,
    or where all of the feed's descriptions break off without an end at about the same length. It is whole
    where it is longer than a summary, came as the content, or where the entry has no title (a note).
    """
    lone = [e for e in entries if e.text == "unsure" and e.body]
    plain = [without_markup(e.body) if e.mime == "text/html" else e.body for e in lone]
    unended = [text for text in plain if not _ENDS.search(text)]
    longest = max(map(len, plain), default=0)
    capped = (
        len(plain) >= 3
        and longest <= _SUMMARY
        and len(unended) > len(plain) / 2
        and min(map(len, unended)) > 0.7 * longest
    )
    return [entry.model_copy(update={"text": _judge(entry, capped)}) for entry in entries]


def _judge(entry: Entry, capped: bool) -> Text:
    marked = entry.mime == "text/html"
    tail = entry.body[-2_500:]
    plain = _CREDIT.sub("", without_markup(tail) if marked else tail).rstrip()
    one_block = len(_BLOCK.findall(entry.body)) < 2
    length = entry.length
    if (length < 3 * _SUMMARY and _BRACKETED.search(plain)) or (
        marked and _INVITATION.search(_last_link(tail))
    ):
        return "cut"
    short = one_block and length < 2 * _SUMMARY
    if short and (_ELLIPSIS.search(plain) or _INVITED.search(plain[-160:])):
        return "cut"
    if entry.text == "whole" or length >= _SUMMARY or not entry.title:
        return "whole"
    return "cut" if capped and not _ENDS.search(plain) else "unsure"


def _last_link(marked: str) -> str:
    """The words of the link that ends a text; empty when it ends in something else."""
    end = marked.rfind("</a>")
    start = marked.rfind("<a", 0, end) if end >= 0 else -1
    return without_markup(marked[start:end]) if start >= 0 and len(without_markup(marked[end:])) < 15 else ""


def without_markup(marked: str) -> str:
    return " ".join(html.unescape(TAG.sub(" ", marked)).split())


def told_apart(entries: list[Entry]) -> list[Entry]:
    """The entries with ids of their own: the address where it is one entry's alone, else the guid."""
    shared = Counter(entry.url for entry in entries)
    own = Counter(entry.guid for entry in entries)
    told = []
    for entry in entries:
        if shared[entry.url] == 1:
            name = entry.url
        elif entry.guid and own[entry.guid] == 1:
            name = entry.guid
        else:
            name = f"{entry.url}#{text_hash(f'{entry.title} {entry.published_at} {entry.body}')[:16]}"
        told.append(entry.model_copy(update={"id": name}))
    return list({entry.id: entry for entry in told}.values())
