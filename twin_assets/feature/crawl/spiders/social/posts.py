"""The shared part of the spiders of short posts: an archive's posts in, one document a thread out.

A thread is a post with its author's own replies to it. What was said to somebody else is half of a talk, and
no document of the author's: it is left out with everything that hangs on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from twin_assets.core.records import Visibility, most_closed
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider


@dataclass(frozen=True)
class Post:
    """One post of the persona's. `order` sorts posts by time; `partial` says that its end is missing.

    `reply_to` is the id of the post that it answers, `to_other` that this is somebody else's, `addressed` that
    it begins with somebody else's name.
    """

    id: str
    text: str
    url: str
    order: tuple[int, str]
    at: datetime | None = None
    reply_to: str | None = None
    to_other: bool = False
    addressed: bool = False
    title: str | None = None
    language: str | None = None
    visibility: Visibility = "public"
    partial: bool = False
    payload: dict[str, Any] = field(default_factory=dict)


class SocialSpider(SourceSpider):
    """A source that is an archive of posts. Subclasses read it into posts in `begin`."""

    def documents(self, posts: dict[str, Post]) -> Answers:
        """One item for each thread of `posts` (by id), under the id, address and time of its first post."""
        for thread in self._threads(posts):
            first = thread[0]
            text = "\n\n".join(post.text for post in thread if post.text)
            if not text.strip():
                self.skip("a post without words", first.url)
                continue
            languages = {post.language for post in thread if post.text}
            yield self.item(
                first.id,
                category="post",
                url=first.url,
                title=first.title,
                published_at=first.at,
                mime="text/plain",
                body=text,
                language=languages.pop() if len(languages) == 1 else None,
                visibility=most_closed([first.visibility, self.visibility]),
                partial=any(post.partial for post in thread),
                payload={"ids": [post.id for post in thread]} | first.payload,
            )

    def _threads(self, posts: dict[str, Post]) -> Iterator[list[Post]]:
        parents = {post.id: parent_of(post, posts) for post in posts.values()}
        talks = talks_of(posts)
        replies: dict[str, list[Post]] = {}
        roots = []
        for post in sorted(posts.values(), key=lambda p: p.order):
            parent = parents[post.id]
            if post.id in talks:
                self.skip("reply to someone else", post.url)
            elif parent and posts[parent].visibility == post.visibility:
                replies.setdefault(parent, []).append(post)
            else:
                roots.append(post)
        for root in roots:
            thread, waiting = [], [root]
            while waiting:
                post = waiting.pop()
                thread.append(post)
                waiting.extend(reversed(replies.get(post.id, [])))
            yield thread


def parent_of(post: Post, posts: dict[str, Post]) -> str | None:
    """Id of the post that this one answers, if it is among `posts` and older: no thread is a circle."""
    parent = posts.get(post.reply_to or "")
    return parent.id if parent and not post.to_other and parent.order < post.order else None


def talks_of(posts: dict[str, Post]) -> set[str]:
    """Ids of the posts that answer somebody else, or answer such a post.

    Where the post that one answers is gone, a name at its beginning tells that it was part of a talk.
    """
    talks: set[str] = set()
    for post in sorted(posts.values(), key=lambda p: p.order):
        parent = parent_of(post, posts)
        if post.to_other or parent in talks or (post.reply_to and not parent and post.addressed):
            talks.add(post.id)
    return talks
