"""What GitHub and GitLab have in common: a file of a repository is the persona's when they have a commit on it."""

from dataclasses import dataclass
from typing import Any

from scrapy.http import Response

from twin_assets.feature.crawl.formats.code_files import MAX_FILE_BYTES, kind_of
from twin_assets.feature.crawl.formats.feeds import parse_time
from twin_assets.feature.crawl.formats.json_answers import blob_text, read_rows
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider


@dataclass(frozen=True)
class ForgeFile:
    """A file as a tree names it. `sha` is its Git blob id, `page` what a person opens; `commits` (the persona's,
    newest first) and `blob` are addresses of the API."""

    item_id: str
    path: str
    sha: str
    title: str
    page: str
    commits: str
    blob: str
    author: str
    payload: dict[str, Any]


class ForgeSpider(SourceSpider):
    """A spider of a forge's API, which robots.txt is not about: a token opens it."""

    obeys_robots = False

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        raise NotImplementedError

    def committed_at(self, commit: dict[str, Any]) -> str | None:
        """When a commit was made, as the forge writes it."""
        raise NotImplementedError

    def authored(self, file: ForgeFile, ids: list[str]) -> Any:
        """Ask for the persona's newest commit on a file, then for the file. Without a commit it leaves `ids`."""
        if file.item_id in self.store.state.known:
            self.listed.add(file.item_id)  # it's in the tree, whatever becomes of the two requests

        def parse_commits(response: Response) -> Answers:
            commits = read_rows(response)
            if not commits:
                self.skip("no commit by the persona")
                self.listed.discard(file.item_id)
                if file.item_id in ids:
                    ids.remove(file.item_id)
                return
            date = parse_time(self.committed_at(commits[0]))
            yield self.fetch(file.blob, lambda r: self._file(r, file, date), headers=self.headers())

        return self.fetch(file.commits, parse_commits, headers=self.headers())

    def _file(self, response: Response, file: ForgeFile, date: Any) -> Answers:
        body = blob_text(response)
        if body is None:
            self.skip("not UTF-8 text")
            return
        if len(body.encode()) > MAX_FILE_BYTES or not body.strip():
            self.skip("too large" if body.strip() else "empty file")
            return
        category, mime = kind_of(file.path)
        yield self.item(
            file.item_id, category=category, title=file.title, url=file.page, published_at=date, mime=mime, body=body,
            mark=file.sha, author=file.author, payload={"sha": file.sha, "path": file.path, **file.payload},
        )  # fmt: skip
