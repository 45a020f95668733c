"""WordPress: the export file (WXR). Published posts and pages that the persona signs, or that nobody does."""

from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.formats.exports.wxr import WordPressItem, read_wxr
from twin_assets.feature.crawl.formats.values import parse_time
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider

_WRITING = ("post", "page")
_UNPUBLISHED = {
    "draft": "draft", "auto-draft": "draft", "pending": "draft", "future": "scheduled, not published yet",
    "private": "private", "trash": "in the trash", "inherit": "not published",
}  # fmt: skip


class WordPressSpider(SourceSpider):
    name = "wordpress"
    unknown_fix = "check wordpress.export in the persona's YAML, and add the names that sign the posts to also_known_as."

    def begin(self) -> Answers:
        assert self.persona.wordpress
        export = self.persona.wordpress.export
        try:
            for post in read_wxr(export, self._cut):
                if item := self._post(post):
                    yield item
        except ValueError as error:
            self.fail(
                export.name,
                f"unreadable export: {error}",
                True,
                "set wordpress.export to the .xml file of Tools, Export, or to a zip of such files.",
            )

    def _cut(self, name: str) -> None:
        self.skip("the end of an export that is cut off", name)
        self.listing_complete = False  # what it lacks is not deleted

    def _post(self, post: WordPressItem) -> RawItem | None:
        where = post.link or post.title or post.post_id
        if post.kind not in _WRITING:
            self.skip("no post or page (attachment, menu, revision and such)", f"{post.kind}: {where}")
        elif post.status != "publish":
            self.skip(_UNPUBLISHED.get(post.status, "not published"), where)
        elif post.password:
            self.skip("behind a password", where)
        elif not self.is_own(*post.authors):
            self.skip("by another author", f"{where} (by {post.authors[0]})")
        elif not post.html:
            self.skip("no text", where)
        elif post.post_id in self.listed:
            self.skip("twice in the export", where)
        else:
            times = [time for text in post.dates if (time := parse_time(text))]
            return self.item(
                post.post_id,
                category="article",
                url=post.link if "://" in post.link else f"wordpress:{where}",
                title=post.title,
                published_at=times[0] if times else None,
                mime="text/html",
                body=post.html,
                visibility=self.members_only() if post.closed else None,
                payload={"type": post.kind, "tags": post.tags, "authors": post.authors},
            )
        return None
