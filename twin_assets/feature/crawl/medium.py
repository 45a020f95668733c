"""Medium: an author's RSS feed, which carries the newest ten stories.

Member-only stories come as a snippet: they are marked partial.
"""

from urllib.parse import urlsplit

from scrapy.http import Response

from twin_assets.feature.crawl.feeds import read_feed
from twin_assets.feature.crawl.spider import Answers, SourceSpider, Unreadable


class MediumSpider(SourceSpider):
    name = "medium"
    title = "Medium"
    unknown_fix = "check medium.feed in the persona's YAML; it looks like https://medium.com/feed/@name."
    windowed = True

    def begin(self) -> Answers:
        assert self.persona.medium
        self.url = self.persona.medium.feed
        yield self.fetch(self.url, self.parse_feed, listing=True)

    def parse_feed(self, response: Response) -> Answers:
        """Stories of the feed."""
        try:
            entries = read_feed(response.body)
        except ValueError as error:
            raise Unreadable(f"expected an RSS feed, {error}") from None
        ids = []
        for entry in entries:
            item_id = urlsplit(entry.id).path.rsplit("/", 1)[-1]  # guid is https://medium.com/p/<id>
            ids.append(item_id)
            yield self.item(
                item_id, category="article", url=entry.url.split("?")[0], title=entry.title,
                author=entry.author, published_at=entry.published_at, mime="text/html",
                body=entry.content or entry.summary or "", partial=entry.content is None,
                payload={"guid": entry.id, "link": entry.url, "tags": entry.tags},
            )  # fmt: skip
        self.remember(response, self.url, {"ids": ids})
