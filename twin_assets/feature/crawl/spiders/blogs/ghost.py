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
            for found in read_ghost(declared.export, declared.url):
                if found is None:
                    self.skip("row that is no post", declared.export.name)
                elif item := self._post(found):
                    yield item
        except ValueError as error:
            self.fail(
                declared.export.name,
                f"unreadable export: {error}",
                True,
                "set ghost.export to the .json file that Ghost's settings export.",
            )

    def _post(self, found: GhostPost) -> RawItem | None:
        where = found.url or found.slug or found.post_id
        if found.status not in _PUBLISHED:
            self.skip(_UNPUBLISHED.get(found.status, "not published"), where)
        elif not self.is_own(*found.authors):
            self.skip("by another author", f"{where} (by {found.authors[0]})")
        elif not found.html:
            self.skip("no text", where)
        elif found.post_id in self.listed:
            self.skip("twice in the export", where)
        else:
            closed = found.visibility != "public" or found.status == "sent" or found.mail_only
            return self.item(
                found.post_id,
                category="article",
                url=found.url or f"ghost:{found.slug or found.post_id}",
                title=found.title,
                published_at=found.published_at,
                mime="text/html",
                body=found.html,
                visibility=self.members_only() if closed else None,
                payload={"type": found.kind, "visibility": found.visibility, "authors": found.authors},
            )
        return None
