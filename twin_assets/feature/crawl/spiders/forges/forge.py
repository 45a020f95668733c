"""What GitHub and GitLab have in common: a file of a repository is the persona's when they have a commit on it, and
words in issues and reviews when they signed them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scrapy.http import Response

from twin_assets.core.records import Visibility
from twin_assets.core.text.front_matter import split_front_matter
from twin_assets.feature.crawl.formats.code_files import kind_of, signers, text_refusal
from twin_assets.feature.crawl.formats.forge_words import own_words
from twin_assets.feature.crawl.formats.values import as_time, parse_time
from twin_assets.feature.crawl.items import SAMPLES
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider
from twin_assets.feature.crawl.spiders.json_answers import blob_text, next_page, read_rows

# Addresses that forges sign with in place of a person's own: 123+name@users.noreply.github.com.
_NO_REPLY = re.compile(r"^(?:\d+[+-])?([^@]+)@users\.noreply\.")
MAX_ADDRESSES = 5
COMMITS = 100  # in one page of a file's commits


@dataclass(frozen=True)
class ForgeFile:
    """A file as a tree names it. `sha` is its Git blob id, `page` what a person opens; `commits` are addresses of the
    API that may show a commit of the persona's on it, asked one after the other until one does, and `blob` the file's."""

    item_id: str
    path: str
    sha: str
    title: str
    page: str
    commits: tuple[str, ...]
    blob: str
    author: str
    payload: dict[str, Any]
    visibility: Visibility | None = None


class ForgeSpider(SourceSpider):
    """A spider of a forge's API, which robots.txt is not about: a token opens it."""

    obeys_robots = False
    max_listings = 5_000  # a hundred rows each
    rules = "3"
    user: str
    api: str

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        raise NotImplementedError

    def signature(self, commit: dict[str, Any]) -> tuple[str | None, list[str | None]]:
        """A commit's date, and the account, name and address it is signed with. Raises KeyError or TypeError."""
        raise NotImplementedError

    def begin(self) -> Answers:
        # Repositories met in lists, and whether a row of such a list could not be read: then an item of a repository
        # that was not met may belong to that one.
        self.met: set[str] = set()
        self.unnamed = False
        yield from self.begin_lists()

    def begin_lists(self) -> Answers:
        """The first requests."""
        raise NotImplementedError

    def odd_repository(self) -> None:
        """Note that a repository could not be told by its row."""
        self.unnamed = True

    def before_deletions(self) -> None:
        if self.unnamed:
            items = self.store.state.known
            self.listed.update(i for i in items if not any(i.startswith(f"{name}/") for name in self.met))

    def note(self, memo: dict[str, Any], reason: str, where: str) -> None:
        """Count something left out, and keep that in a list's memo: a list that is the same next time says it again."""
        self.skip(reason, where)
        count, places = memo.setdefault("left_out", {}).setdefault(reason, [0, []])
        memo["left_out"][reason] = [count + 1, [*places, where][:SAMPLES]]

    def note_again(self, memo: dict[str, Any]) -> None:
        """Count what an unchanged list left out when it was read."""
        for reason, (count, places) in memo.get("left_out", {}).items():
            for place in places:
                self.skip(reason, place, times=0)
            self.skip(reason, times=count)

    def mark(self, sha: str) -> str:
        """What a stored file is known to be unchanged by: its blob, and the rules that it was kept by."""
        return f"{self.rules}:{sha}"

    def is_mine(self, signed: list[str | None]) -> bool:
        """Whether one of a commit's signatures is the account's or bears a name or address of the persona's."""
        for name in filter(None, signed):
            hidden = _NO_REPLY.match(name)
            if name.casefold() == self.user.casefold() or self.authors.is_named(name):
                return True
            if hidden and hidden[1].casefold() == self.user.casefold():
                return True
        return False

    def addresses(self) -> list[str]:
        """The persona's e-mail addresses, which forges can look commits up by."""
        return sorted(self.authors.addresses)[:MAX_ADDRESSES]

    def authored(self, file: ForgeFile, memo: dict[str, Any]) -> Any:
        """Ask for the persona's newest commit on a file, then for the file. What isn't theirs leaves `memo["ids"]`."""
        self.keep(file.item_id)
        return self._ask_commits(file, file.commits, memo)

    def _ask_commits(self, file: ForgeFile, addresses: tuple[str, ...], memo: dict[str, Any]) -> Any:
        def parse_commits(response: Response) -> Answers:
            commits = read_rows(response)
            date = self._own_date(commits, addresses[0])
            whole = f"per_page={COMMITS}" in addresses[0] and len(commits) < COMMITS
            if date is not None:
                yield self.fetch(file.blob, lambda r: self._file(r, file, date, memo), headers=self.headers())
            elif len(addresses) > 1 and (not whole or next_page(response, self.api)):
                yield self._ask_commits(file, addresses[1:], memo)
            else:
                self._leave(file, memo, "no commit by the persona")

        return self.fetch(addresses[0], parse_commits, headers=self.headers())

    def _own_date(self, commits: list[Any], where: str) -> str | None:
        """The date of the newest commit that is the persona's; None when none is."""

        def read(commit: dict[str, Any]) -> Iterator[str]:
            date, signed = self.signature(commit)
            if self.is_mine(signed):
                yield date or ""

        return next(iter(self.each(commits, read, where)), None)

    def _leave(self, file: ForgeFile, memo: dict[str, Any], reason: str) -> None:
        self.note(memo, reason, file.page)
        self.listed.discard(file.item_id)
        if file.item_id in memo.get("ids", []):
            memo["ids"].remove(file.item_id)

    def _file(self, response: Response, file: ForgeFile, date: str, memo: dict[str, Any]) -> Answers:
        text = blob_text(response)
        category, mime = kind_of(file.path)
        fields, body = _front_matter(text or "") if category == "article" else ({}, text or "")
        if text is None:
            reason: str | None = "binary file"
        elif fields.get("draft") is True or fields.get("published") is False:
            reason = "draft"
        elif reason := text_refusal(file.path, body, self._mentions_owner):
            pass
        elif not self.is_own(*_bylines(fields), *signers(file.path, body)):
            reason = "by another author"
        if reason:
            self._leave(file, memo, reason)
            return
        title = fields.get("title")
        yield self.item(
            file.item_id,
            category=category,
            title=str(title) if title else file.title,
            url=file.page,
            mime=mime,
            published_at=as_time(fields.get("date")) or parse_time(date),
            body=body,
            mark=self.mark(file.sha),
            author=file.author,
            visibility=file.visibility,
            payload={"sha": file.sha, "path": file.path, **file.payload},
        )

    def _mentions_owner(self, head: str) -> bool:
        plain = head.casefold()
        return any(re.search(rf"\b{re.escape(name)}\b", plain) for name in self.authors.names)

    def words(self, memo: dict[str, Any], item_id: str, body: str | None, url: str, **more: Any) -> Answers:
        """The persona's own part of an issue or comment as an item, if there is any."""
        text = own_words(body or "")
        if not text:
            self.note(memo, "no text", url)
            return
        if len(text.split()) < len((body or "").split()):
            self.note(memo, "quoted mail, or a form's own text, in an issue or comment", url)
        yield self.item(
            item_id, category="post", url=url, mime="text/markdown", body=text, author=self.user, **more
        )


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    try:
        return split_front_matter(text)
    except ValueError:
        return {}, text  # a rule and a colon, or fields that the site's builder forgives


def _bylines(fields: dict[str, Any]) -> list[str]:
    given = fields.get("author") or fields.get("authors") or []
    rows = given if isinstance(given, list) else [given]
    return [str(row.get("name") or "") if isinstance(row, dict) else str(row) for row in rows]
