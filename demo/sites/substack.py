"""Substack: the archive and posts APIs and the feed. One old post answers a challenge page."""

from email.utils import format_datetime
from typing import Any
from xml.sax.saxutils import escape

from demo.sites.answers import CHALLENGE, Answer, Question
from demo.sites.writing import Piece

BLOCKED = {
    "id": 31007755,
    "slug": "welcome-aboard",
    "title": "Welcome aboard",
    "date": "2021-05-30T09:00:00.000Z",
}
UNEVEN = (3, 4, 2)  # the real archive returns fewer rows than asked, and not evenly
FEED = 20
_WIDGET = (
    '<div class="subscription-widget-wrap-editor"><div class="subscription-widget show-subscribe">'
    '<div class="preamble"><p class="cta-caption">Thanks for reading! Subscribe for free to receive '
    'new posts and support my work.</p></div><form class="subscription-widget-subscribe"><input type="email" '
    'placeholder="Type your email…"><input type="submit" value="Subscribe"></form></div></div>'
)
_SHARE = (
    '<p class="button-wrapper"><a class="button primary" href="%s?action=share"><span>Share</span></a></p>'
)


def answer(question: Question) -> Answer:
    """Archive page, post, or feed."""
    path = question.path
    if path == "/api/v1/archive":
        return _archive(question)
    if path.startswith("/api/v1/posts/"):
        return _post(question, path.removeprefix("/api/v1/posts/"))
    if path == "/feed":
        return _feed(question)
    return Answer.text("Not found", 404)


def _archive(question: Question) -> Answer:
    rows = [_row(question, p) for p in question.writing.substack]
    if rows:
        blocked = {"id": BLOCKED["id"], "slug": BLOCKED["slug"], "title": BLOCKED["title"]}
        rows.append(blocked | {"post_date": BLOCKED["date"], "audience": "everyone"})
    offset, limit = int(question.query.get("offset", "0")), int(question.query.get("limit", "12"))
    return Answer.json(rows[offset : offset + min(limit, UNEVEN[offset % len(UNEVEN)])])


def _row(question: Question, piece: Piece) -> dict[str, Any]:
    return {
        "id": int(piece.id), "slug": piece.slug, "title": piece.title, "subtitle": piece.subtitle,
        "post_date": piece.date.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "audience": piece.fields.get("audience", "everyone"), "type": "newsletter",
        "canonical_url": f"{question.base}/p/{piece.slug}", "wordcount": len(piece.text.split()),
    }  # fmt: skip


def _post(question: Question, slug: str) -> Answer:
    if slug == BLOCKED["slug"] and question.writing.substack:
        return Answer.html(CHALLENGE, 403)
    piece = next((p for p in question.writing.substack if p.slug == slug), None)
    if piece is None:
        return Answer.json({"error": "Not found"}, 404)
    html = _free_html(piece) if _is_paid(piece) else _dressed(question, piece)
    return Answer.json(_row(question, piece) | {"body_html": html}).with_etag()


def _is_paid(piece: Piece) -> bool:
    return piece.fields.get("audience", "everyone") != "everyone"


def _free_html(piece: Piece) -> str:
    free = piece.text.split("\n\n")[: int(piece.fields.get("free_preview_paragraphs", 2))]
    return piece.model_copy(update={"text": "\n\n".join(free)}).html()


def _dressed(question: Question, piece: Piece) -> str:
    """The post's HTML with a subscribe box in its middle and buttons at its end."""
    paragraphs = piece.html().split("</p>\n")
    middle = len(paragraphs) // 2
    body = "</p>\n".join(paragraphs[:middle]) + ("</p>\n" + _WIDGET if middle else _WIDGET)
    return body + "</p>\n".join(paragraphs[middle:]) + _SHARE % f"{question.base}/p/{piece.slug}" + _WIDGET


def _feed(question: Question) -> Answer:
    items = ""
    for piece in question.writing.substack[:FEED]:
        html = _free_html(piece) if _is_paid(piece) else _dressed(question, piece)
        items += (
            f"<item><title><![CDATA[{piece.title}]]></title><description><![CDATA[{escape(piece.subtitle)}]]>"
            f'</description><link>{question.base}/p/{piece.slug}</link><guid isPermaLink="false">'
            f"{question.base}/p/{piece.slug}</guid>"
            f"<pubDate>{format_datetime(piece.date, usegmt=True)}</pubDate>"
            f"<content:encoded><![CDATA[{html}]]></content:encoded></item>"
        )
    feed = (
        '<?xml version="1.0" encoding="UTF-8"?><rss xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        f'version="2.0"><channel><title><![CDATA[Dry Land]]></title>{items}</channel></rss>'
    )
    return Answer(200, {"Content-Type": "application/xml; charset=utf-8"}, feed.encode()).with_etag()
