"""What a fetched page or paper says, and its passages that matter for a request."""

import codecs
import re
import time
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from twin_assets.core.embedding.embedder import Embedder
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Passage, Record
from twin_assets.core.text.html.page import read_page_apart
from twin_assets.core.text.pdf import read_pdf_apart
from twin_assets.core.text.words import count_words
from twin_assets.inference.links.fetch import Fetched, LinkRefused, fetch_link
from twin_assets.inference.retrieval.compress import compress

PDF_SECONDS, PAGE_SECONDS = 20, 10
MAX_CHARACTERS = 400_000
# Python calls these encodings too; no page is written in them, and some take long.
NO_CHARSETS = frozenset(["idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"])
PASSAGE_WORDS = 150
MIN_WORDS = 20
MAX_PASSAGES = 400
KEPT_PAGES, KEPT_SECONDS = 16, 300


_LINKED = "link-"


class LinkedText(Record):
    """A page or paper, cleaned: paragraphs divided by empty lines. `mime` is that of `text`."""

    url: str
    title: str | None
    author: str | None
    published_at: datetime | None
    text: str
    fetched_mime: str

    @property
    def doc_id(self) -> str:
        return f"{_LINKED}{text_hash(self.url)}"


def is_linked(chunk_id: str) -> bool:
    """Whether a passage is of a link that came with a request: the index has none of its kind."""
    return chunk_id.startswith(_LINKED)


def read_link(url: str, allow_private: bool = False) -> LinkedText:
    """Fetch a link and clean what it leads to. Raises LinkRefused and LinkUnreachable."""
    return cleaned(fetch_link(url, allow_private))


class RecentLinks:
    """What links led to, kept a while: the next message of a conversation links to the same page."""

    def __init__(self, allow_private: bool = False) -> None:
        self._kept = lru_cache(maxsize=KEPT_PAGES)(lambda url, turn: read_link(url, allow_private))

    def read(self, url: str, now: float | None = None) -> LinkedText:
        """`read_link`, or what it gave at most KEPT_SECONDS ago; refusals are not kept. `now` is monotonic seconds."""
        return self._kept(url, int((time.monotonic() if now is None else now) // KEPT_SECONDS))


def cleaned(fetched: Fetched) -> LinkedText:
    """The writing of a page or paper. Raises LinkRefused when there is none in it."""
    try:
        link = text_of(fetched)
        link = link.model_copy(update={"text": link.text[:MAX_CHARACTERS]})
    except ValueError as error:
        raise LinkRefused(f"The link leads to {error}.", "link to another copy.") from None
    if count_words(link.text) < MIN_WORDS:
        raise LinkRefused(
            "The link leads to a page with hardly any text.",
            "link to the article itself; a page that only a script fills can't be read.",
        )
    return link


def text_of(fetched: Fetched) -> LinkedText:
    """The writing of a page or paper, however long or short. Raises ValueError that says what it is where it can't be read, and
    LinkRefused for a block page."""
    if fetched.mime == "application/pdf" or fetched.data[:5] == b"%PDF-":
        pdf = read_pdf_apart(fetched.data, PDF_SECONDS)
        return LinkedText(
            url=fetched.url,
            title=pdf.title,
            author=pdf.author,
            published_at=pdf.created,
            text=pdf.text,
            fetched_mime="application/pdf",
        )
    text = _decoded(fetched)
    if "html" not in fetched.mime:
        return LinkedText(
            url=fetched.url, title=None, author=None, published_at=None, text=text, fetched_mime=fetched.mime
        )
    page = read_page_apart(text.encode(errors="replace"), PAGE_SECONDS)
    if page.blocked:
        raise LinkRefused(
            f"The site shows a block page ({page.blocked}).", "link to a copy that anybody may read."
        )
    return LinkedText(
        url=fetched.url,
        title=page.title,
        author=page.author,
        published_at=_time(page.published),
        text=page.text,
        fetched_mime="text/html",
    )


def _decoded(fetched: Fetched) -> str:
    try:
        charset = codecs.lookup(fetched.charset or "utf-8")
        return fetched.data.decode("utf-8" if charset.name in NO_CHARSETS else charset.name)
    except (UnicodeError, LookupError):
        return fetched.data.decode("utf-8", errors="replace")


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def linked_passages(
    about: str, links: list[LinkedText], k: int, tokens: int, embedder: Embedder
) -> list[Passage]:
    """The `k` passages of the links that are nearest to what a request is about, each at most `tokens` long."""
    passages = [passage for link in links for passage in _passages(link)][:MAX_PASSAGES]
    if not passages:
        return []
    vectors = np.concatenate([_vectors(link, embedder) for link in links])[:MAX_PASSAGES]
    near = np.clip(vectors @ embedder.embed_question(about), 0.0, 1.0).tolist()
    scored = [p.model_copy(update={"score": s, "similarity": s}) for p, s in zip(passages, near, strict=True)]
    best = sorted(scored, key=lambda p: -p.score)[:k]
    return compress(about, best, tokens, embedder)


@lru_cache(maxsize=KEPT_PAGES)
def _vectors(link: LinkedText, embedder: Embedder) -> np.ndarray:
    """Of the link's passages, the first MAX_PASSAGES of them."""
    return embedder.embed([passage.text for passage in _passages(link)[:MAX_PASSAGES]])


def _passages(link: LinkedText) -> list[Passage]:
    """Runs of whole paragraphs of about PASSAGE_WORDS words, with their offsets."""
    spans: list[tuple[int, int]] = []
    for paragraph in re.finditer(r"\S(?:.*?\S)??(?=\s*\n\s*\n|\s*\Z)", link.text, re.DOTALL):
        start, end = paragraph.span()
        if spans and count_words(link.text[spans[-1][0] : end]) <= PASSAGE_WORDS:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [
        Passage(
            chunk_id=f"{link.doc_id}-{start}",
            doc_id=link.doc_id,
            url=link.url,
            title=link.title,
            category="article",
            text=link.text[start:end],
            start=start,
            end=end,
            score=0.0,
        )
        for start, end in spans
    ]
