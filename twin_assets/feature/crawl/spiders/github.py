"""GitHub REST: the persona's own repositories, code and prose they committed to, and their own words
in issues, pull requests and reviews. Forks, vendored code and other people's files stay out.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from scrapy.http import Response

from twin_assets.feature.crawl.formats.code_files import file_refusal
from twin_assets.feature.crawl.formats.feeds import parse_time
from twin_assets.feature.crawl.formats.json_answers import next_page, read_json, read_rows
from twin_assets.feature.crawl.spiders.base import Answers, Unreadable
from twin_assets.feature.crawl.spiders.forge import ForgeFile, ForgeSpider


class GitHubSpider(ForgeSpider):
    name = "github"
    title = "GitHub"
    key_setting = "github_token"
    key_page = "https://github.com/settings/tokens"
    unknown_fix = "check github.user and github.repositories in the persona's YAML."

    def begin(self) -> Answers:
        assert self.persona.github
        self.declared = self.persona.github
        self.user = self.declared.user
        self.api = (self.declared.api or self.twin.github_api).rstrip("/")
        yield from self._ask(
            f"{self.api}/users/{quote(self.user)}/repos?type=owner&per_page=100", self.parse_repositories
        )

    def refused(self, response: Response) -> tuple[str, str] | None:
        if response.status == 401:
            return "HTTP 401: the token was refused", f"renew TWIN_GITHUB_TOKEN at {self.key_page}."
        if response.headers.get("X-RateLimit-Remaining") == b"0" and response.status in (403, 429):
            return "HTTP 403: the rate limit is used up", "wait an hour; what came so far is stored."
        return None

    def _ask(self, url: str, read: Any, use: Any = None) -> Iterator[Any]:
        """A page of a listing. `read` gives (items, memo); `use` takes the memo, on a 304 too."""

        def follow(memo: dict[str, Any]) -> Answers:
            if use:
                yield from use(memo)
            elif "repositories" in memo:
                yield from self._walk(memo)
            if memo.get("next"):
                yield from self._ask(memo["next"], read, use)

        def callback(response: Response) -> Answers:
            items, memo = read(response)
            memo["next"] = next_page(response, self.api)
            self.remember(response, url, memo)
            yield from items
            yield from follow(memo)

        yield self.fetch(url, callback, listing=True, unchanged=follow, headers=self.headers())

    def headers(self) -> dict[str, str]:
        token = self.twin.github_token
        assert token
        return {
            "Authorization": f"Bearer {token.get_secret_value()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def parse_repositories(self, response: Response) -> tuple[list[Any], dict[str, Any]]:
        """The persona's own repositories, forks aside."""
        own = []
        for repo in read_rows(response):
            wanted = self.declared.repositories
            if repo.get("fork"):
                self.skip("fork")
            elif wanted and repo["name"] not in wanted:
                self.skip("repository not wanted")
            else:
                own.append({"name": repo["full_name"], "branch": repo.get("default_branch") or "main"})
        return [], {"repositories": own}

    def _walk(self, memo: dict[str, Any]) -> Answers:
        for repo in memo["repositories"]:
            name = repo["name"]
            base = f"{self.api}/repos/{name}"
            yield from self._ask(
                f"{base}/git/trees/{quote(repo['branch'], safe='')}?recursive=1",
                lambda r, repo=repo: self.parse_tree(r, repo),
            )
            yield from self._ask(
                f"{base}/issues?state=all&creator={quote(self.user)}&per_page=100",
                lambda r, name=name: self.parse_words(r, name, "issues"),
            )
            for kind in ("issues", "pulls"):
                yield from self._ask(
                    f"{base}/{kind}/comments?per_page=100",
                    lambda r, name=name, kind=kind: self.parse_words(r, name, f"{kind}/comments"),
                )

    def parse_tree(self, response: Response, repo: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
        """Requests for the files worth having; those with a known blob need none."""
        tree = read_json(response)
        if not isinstance(tree, dict) or not isinstance(tree.get("tree"), list):
            raise Unreadable("expected a git tree")
        if tree.get("truncated"):
            self.listing_complete = False
            self.skip("file list truncated by GitHub")
        requests, ids = [], []
        for entry in tree["tree"]:
            if entry["type"] != "blob":
                continue
            if reason := file_refusal(entry["path"], entry.get("size", 0)):
                self.skip(reason)
                continue
            item_id = f"{repo['name']}/blob/{entry['path']}"
            if not self.wanted(item_id, entry["path"]):
                self.skip("left out by the persona's patterns")
                continue
            ids.append(item_id)
            if not self.known_unchanged(item_id, entry["sha"], requests=2):
                requests.append(self.authored(self._file_of(repo, entry, item_id), ids))
        return requests, {"ids": ids}  # the same list as each request's: a file of others leaves it

    def _file_of(self, repo: dict[str, str], entry: dict[str, Any], item_id: str) -> ForgeFile:
        name, path, sha = repo["name"], entry["path"], entry["sha"]
        base = f"{self.api}/repos/{name}"
        return ForgeFile(
            item_id=item_id, path=path, sha=sha, title=f"{name.split('/')[1]}/{path}", author=self.user,
            page=f"https://github.com/{name}/blob/{repo['branch']}/{path}", payload={"repo": name},
            commits=f"{base}/commits?author={quote(self.user)}&path={quote(path)}&per_page=1",
            blob=f"{base}/git/blobs/{sha}",
        )  # fmt: skip

    def committed_at(self, commit: dict[str, Any]) -> str | None:
        return commit["commit"]["author"]["date"]

    def parse_words(self, response: Response, repo: str, kind: str) -> tuple[list[Any], dict[str, Any]]:
        """The persona's own issues, pull requests and comments."""
        items = []
        for row in read_rows(response):
            if (row.get("user") or {}).get("login", "").lower() != self.user.lower():
                self.skip("someone else's words")
            elif not (row.get("body") or "").strip():
                self.skip("no text")
            else:
                key = row["id"] if "comments" in kind else row["number"]
                items.append(self.item(
                    f"{repo}/{kind}/{key}", category="post", url=row["html_url"], title=row.get("title"),
                    published_at=parse_time(row.get("created_at")), mime="text/markdown", body=row["body"],
                    author=self.user,
                    payload={k: row.get(k) for k in ("id", "number", "title", "created_at", "path", "state")},
                ))  # fmt: skip
        return items, {"ids": [item.item_id for item in items]}
