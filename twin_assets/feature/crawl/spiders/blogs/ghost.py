"""Ghost: the export file. Published posts and pages; those for members are for connections."""

from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.formats.exports.ghost_export import GhostPost, read_ghost
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider

_PUBLISHED = ("published", "sent")  # `sent` went to the members by mail only
_UNPUBLISHED = {"draft": "draft", "scheduled": "scheduled, not published yet"}


class GhostSpider(SourceSpider):
    name = "ghost"
    unknown_fix = (
        "check ghost.export in the persona's YAML, and add the names that sign the posts to also_known_as."
    )

    def begin(self) -> Answers:
        assert self.persona.ghost
        declared = self.persona.ghost
        try:
            for post in read_ghost(declared.export, declared.url):
                if post is None:
                    self.skip("row that is no post", declared.export.name)
                elif item := self._post(post):
                    yield item
        except ValueError as error:
            self.fail(
                declared.export.name,
                f"unreadable export: {error}",
                True,
                "set ghost.export to the .json file that Ghost's settings export.",
            )

    def _post(self, post: GhostPost) -> RawItem | None:
        where = post.url or post.slug or post.post_id
        if post.status not in _PUBLISHED:
            self.skip(_UNPUBLISHED.get(post.status, "not published"), where)
        elif not self.is_own(*post.authors):
            self.skip("by another author", f"{where} (by {post.authors[0]})")
        elif not post.html:
            self.skip("no text", where)
        elif post.post_id in self.listed:
            self.skip("twice in the export", where)
        else:
            closed = post.visibility != "public" or post.status == "sent" or post.mail_only
            return self.item(
                post.post_id,
                category="article",
                url=post.url or f"ghost:{post.slug or post.post_id}",
                title=post.title,
                published_at=post.published_at,
                mime="text/html",
                body=post.html,
                visibility=self.members_only() if closed else None,
                payload={"type": post.kind, "visibility": post.visibility, "authors": post.authors},
            )
        return None
