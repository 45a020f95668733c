"""Medium: an author's RSS feed with the newest ten stories, in Medium's clothes."""

from email.utils import format_datetime
from xml.sax.saxutils import escape

from demo.sites.answers import Answer, Question
from demo.sites.writing import Piece

NEWEST = 10
USER = "@runahollis"


def answer(question: Question) -> Answer:
    """The feed of the one author there is."""
    if question.path != f"/feed/{USER}":
        return Answer.text("Not found", 404)
    stories = question.writing.medium[:NEWEST]
    items = "".join(_item(story) for story in stories)
    feed = (
        '<?xml version="1.0" encoding="UTF-8"?><rss xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        'xmlns:atom="http://www.w3.org/2005/Atom" version="2.0"><channel>'
        "<title><![CDATA[Stories by Runa Hollis on Medium]]></title>"
        f"<link>https://medium.com/{USER}?source=rss------2</link><generator>Medium</generator>"
        f"{items}</channel></rss>"
    )
    modified = {"Last-Modified": format_datetime(stories[0].date, usegmt=True)} if stories else {}
    return Answer(200, {"Content-Type": "application/rss+xml; charset=utf-8"}, feed.encode()).with_etag(
        **modified
    )


def _item(story: Piece) -> str:
    link = f"https://medium.com/{USER}/{story.slug}-{story.id}"
    tags = "".join(f"<category><![CDATA[{tag}]]></category>" for tag in story.fields.get("tags", []))
    head = (
        f"<item><title><![CDATA[{story.title}]]></title><link>{link}?source=rss------2</link>"
        f'<guid isPermaLink="false">https://medium.com/p/{story.id}</guid>{tags}'
        f"<dc:creator><![CDATA[Runa Hollis]]></dc:creator>"
        f"<pubDate>{format_datetime(story.date, usegmt=True)}</pubDate>"
    )
    if story.fields.get("member_only"):
        snippet = story.text.split("\n\n")[0][:180]
        body = (
            '<div class="medium-feed-item"><p class="medium-feed-snippet">'
            f'{escape(snippet)}…</p><p class="medium-feed-link"><a href="{link}?source=rss------2">'
            "Continue reading on Medium »</a></p></div>"
        )
        return f"{head}<description><![CDATA[{body}]]></description></item>"
    return f"{head}<content:encoded><![CDATA[{_dressed(story)}]]></content:encoded></item>"


def _dressed(story: Piece) -> str:
    """The story's HTML with what Medium and its authors put around one."""
    subtitle = f"<h4>{escape(story.subtitle)}</h4>" if story.subtitle else ""
    return (
        f"{subtitle}<p>5 min read · Member of 3 publications · Listen · Share</p>{story.html()}<hr>"
        '<p><em>If you enjoyed this, follow me on <a href="https://medium.com/@runahollis">Medium</a> and '
        "subscribe to get an email whenever I publish.</em></p>"
        f'<img src="https://medium.com/_/stat?event=post.clientViewed&amp;'
        f'referrerSource=full_rss&amp;postId={story.id}" '
        f'width="1" height="1" alt=""><hr><p><a href="https://medium.com/{USER}/{story.slug}-{story.id}">'
        f"{escape(story.title)}</a> was originally published in "
        '<a href="https://medium.com/dry-land">Dry Land</a> on Medium, where people are continuing the '
        "conversation by highlighting and responding to this story.</p>"
    )
