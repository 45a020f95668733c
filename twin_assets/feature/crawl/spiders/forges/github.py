"""GitHub REST: the persona's own repositories, code and prose they committed to, and their own words
in issues, pull requests and reviews. Forks, vendored code and other people's files stay out.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from scrapy.http import Response

from twin_assets.core.records import Visibility
from twin_assets.feature.crawl.formats.code_files import file_refusal
from twin_assets.feature.crawl.formats.values import parse_time
from twin_assets.feature.crawl.spiders.base import Answers, Unreadable
from twin_assets.feature.crawl.spiders.forges.forge import COMMITS, ForgeFile, ForgeSpider
from twin_assets.feature.crawl.spiders.json_answers import next_page, read_json, read_rows

# GitHub cuts a recursive tree at 100,000 entries; its folders are then asked for one by one, so many at most.
MAX_TREES = 500


def _no_tree(response: Response) -> str | None:
    empty = response.status == 204 or (response.status == 409 and b"empty" in response.body.lower())
    return "empty repository" if empty else None


def _no_issues(response: Response) -> str | None:
    return "issues are switched off" if response.status == 410 else None


class GitHubSpider(ForgeSpider):
    name = "github"
    key_setting = "github_token"
    key_page = "https://github.com/settings/tokens"
    unknown_fix = "check github.user and github.repositories in the persona's YAML."

    def begin_lists(self) -> Answers:
        assert self.persona.github
        self.declared = self.persona.github
        self.user = self.declared.user
        self.api = (self.declared.api or self.twin.github_api).rstrip("/")
        self.trees: dict[str, int] = {}
        yield from self._ask(
            f"{self.api}/users/{quote(self.user)}/repos?type=owner&per_page=100", self.parse_repositories
        )
        for name in self.declared.repositories:
            if "/" in name:  # of an organisation, or somebody else's
                yield from self._ask(
                    f"{self.api}/repos/{quote(name)}", self.parse_repository, within=f"{name}/"
                )

    def refused(self, response: Response) -> tuple[str, str] | None:
        if response.status == 401:
            return "HTTP 401: the token was refused", f"renew TWIN_GITHUB_TOKEN at {self.key_page}."
        if response.status not in (403, 429):
            return None
        if response.headers.get("X-RateLimit-Remaining") == b"0":
            return "HTTP 403: the rate limit is used up", "wait an hour; what came so far is stored."
        if "Retry-After" in response.headers or b"secondary rate limit" in response.body[:2_000]:
            return (
                "HTTP 403: GitHub asks to slow down",
                "crawl again later; what came so far is stored. TWIN_CRAWL_CONCURRENCY=1 asks less at a time.",
            )
        return None

    def _ask(
        self,
        url: str,
        read: Any,
        *,
        within: str | None = None,
        absent: Any = None,
        missing: Any = None,
    ) -> Iterator[Any]:
        """A page of a listing, then the pages and lists it leads to. `read` gives (items, memo); a 304 gives the memo
        of last time. `within` and `absent` as `fetch` has them."""

        def follow(memo: dict[str, Any]) -> Answers:
            for repo in memo.get("repositories", []):
                self.met.add(repo["name"])
                yield from self._walk(repo)
            for tree in memo.get("trees", []):
                yield from self._tree(memo["repo"], *tree)
            if memo.get("next"):
                yield from self._ask(memo["next"], read, within=within, absent=absent)

        def callback(response: Response) -> Answers:
            items, memo = read(response)
            memo["next"] = next_page(response, self.api)
            self.remember(response, url, memo)
            yield from items
            yield from follow(memo)

        def unchanged(memo: dict[str, Any]) -> Answers:
            self.note_again(memo)
            yield from follow(memo)

        yield self.fetch(
            url,
            callback,
            listing=True,
            unchanged=unchanged,
            headers=self.headers(),
            within=within,
            absent=absent,
            missing=missing,
        )

    def headers(self) -> dict[str, str]:
        token = self.twin.github_token
        assert token
        return {
            "Authorization": f"Bearer {token.get_secret_value()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def parse_repositories(self, response: Response) -> tuple[list[Any], dict[str, Any]]:
        """The persona's own repositories, forks and empty ones aside."""
        return [], self._repositories(read_rows(response), response.url)

    def parse_repository(self, response: Response) -> tuple[list[Any], dict[str, Any]]:
        """One repository that was declared by its full name."""
        return [], self._repositories([read_json(response)], response.url)

    def _repositories(self, rows: list[Any], where: str) -> dict[str, Any]:
        memo: dict[str, Any] = {}

        def read(row: dict[str, Any]) -> Iterator[dict[str, str]]:
            return self._repository(row, memo)

        memo["repositories"] = list(self.each(rows, read, where, "full_name", self.odd_repository))
        return memo

    def _repository(self, repo: dict[str, Any], memo: dict[str, Any]) -> Iterator[dict[str, str]]:
        declared, name = self.declared.repositories, str(repo["full_name"])
        self.met.add(name)
        if repo.get("fork"):
            self.note(memo, "fork", name)
        elif declared and name not in declared and name.rsplit("/", 1)[-1] not in declared:
            self.note(memo, "repository not wanted", name)
        elif not repo.get("default_branch"):
            self.note(memo, "empty repository", name)
        else:
            yield {
                "name": name,
                "branch": str(repo["default_branch"]),
                "page": repo.get("html_url") or f"https://github.com/{name}",
                "private": "yes" if repo.get("private") else "",
            }

    def _walk(self, repo: dict[str, str]) -> Answers:
        within = f"{repo['name']}/"
        base = f"{self.api}/repos/{quote(repo['name'])}"
        yield from self._tree(repo, repo["branch"], "", True)
        yield from self._ask(
            f"{base}/issues?state=all&creator={quote(self.user)}&per_page=100",
            lambda r: self.parse_words(r, repo, "issues"),
            within=f"{within}issues/",
            absent=_no_issues,
        )
        for kind in ("issues", "pulls"):
            yield from self._ask(
                f"{base}/{kind}/comments?per_page=100",
                lambda r, kind=kind: self.parse_words(r, repo, f"{kind}/comments"),
                within=f"{within}{kind}/comments/",
                absent=_no_issues,
            )

    def _tree(self, repo: dict[str, str], sha: str, folder: str, deep: bool) -> Answers:
        """Ask for the files below a folder, or only those in it."""
        name = repo["name"]
        self.trees[name] = self.trees.get(name, 0) + 1
        within = f"{name}/blob/{folder}"
        if self.trees[name] > MAX_TREES:
            self.keep_part(within)
            self.skip(f"more than {MAX_TREES} folders in one repository", within)
            return
        url = f"{self.api}/repos/{quote(name)}/git/trees/{quote(sha, safe='')}"

        def renamed() -> Answers:
            yield from self._tree(repo, "HEAD", "", True)  # a default branch that isn't there any more

        yield from self._ask(
            url + ("?recursive=1" if deep else ""),
            lambda r: self.parse_tree(r, repo, sha, folder, deep),
            within=within,
            absent=_no_tree,
            missing=renamed if sha == repo["branch"] and deep else None,
        )

    def parse_tree(
        self, response: Response, repo: dict[str, str], sha: str, folder: str, deep: bool
    ) -> tuple[list[Any], dict[str, Any]]:
        """Requests for the files worth having; those with a known blob need none."""
        tree = read_json(response)
        if not isinstance(tree, dict) or not isinstance(tree.get("tree"), list):
            raise Unreadable("expected a git tree")
        if deep and tree.get("truncated"):
            self.skip("file list cut short by GitHub: its folders are asked for one by one", response.url)
            return [], {"ids": [], "repo": repo, "trees": [[sha, folder, False]]}
        # Its lists are the same as each request's: a file of others leaves the ids and is noted as left out.
        ids: list[str] = []
        below: list[list[Any]] = []
        memo: dict[str, Any] = {"ids": ids, "repo": repo, "trees": below, "left_out": {}}

        def read(entry: dict[str, Any]) -> Answers:
            path = folder + entry["path"]
            if entry["type"] == "tree":
                if not deep and not file_refusal(f"{path}/x.py"):
                    below.append([entry["sha"], f"{path}/", True])
                return
            if reason := file_refusal(path, entry.get("size"), entry.get("mode")):
                self.note(memo, reason, f"{repo['name']}/{path}")
                return
            item_id = f"{repo['name']}/blob/{path}"
            if not self.wanted(item_id, path):
                self.note(memo, "left out by the persona's patterns", item_id)
                return
            ids.append(item_id)
            if not self.known_unchanged(item_id, self.mark(entry["sha"]), requests=2):
                yield self.authored(self._file_of(repo, path, entry["sha"], item_id), memo)

        return list(self.each(tree["tree"], read, response.url, "path")), memo

    def _file_of(self, repo: dict[str, str], path: str, sha: str, item_id: str) -> ForgeFile:
        name = repo["name"]
        base = f"{self.api}/repos/{quote(name)}"
        commits = f"{base}/commits?path={quote(path, safe='')}"
        # Who signs with another name or address than their account's is found by that, or in the list of all commits.
        signed = [
            f"{commits}&author={quote(who, safe='')}&per_page=1" for who in (self.user, *self.addresses())
        ]
        return ForgeFile(
            item_id=item_id,
            path=path,
            sha=sha,
            title=f"{name.split('/')[-1]}/{path}",
            author=self.user,
            page=f"{repo['page']}/blob/{quote(repo['branch'])}/{quote(path)}",
            payload={"repo": name},
            commits=(*signed, f"{commits}&per_page={COMMITS}"),
            blob=f"{base}/git/blobs/{sha}",
            visibility=self._visibility(repo),
        )

    def _visibility(self, repo: dict[str, str]) -> Visibility | None:
        return "private" if repo.get("private") and not self.declared.visibility else None

    def signature(self, commit: dict[str, Any]) -> tuple[str | None, list[str | None]]:
        made = commit["commit"]["author"]
        account = (commit.get("author") or {}).get("login")
        return made.get("date"), [account, made.get("name"), made.get("email")]

    def parse_words(
        self, response: Response, repo: dict[str, str], kind: str
    ) -> tuple[list[Any], dict[str, Any]]:
        """The persona's own issues, pull requests and comments."""
        memo: dict[str, Any] = {}

        def read(row: dict[str, Any]) -> Answers:
            user = row.get("user") or {}
            if str(user.get("login", "")).casefold() != self.user.casefold():
                other = "by a bot" if user.get("type") == "Bot" else "someone else's words"
                self.note(memo, other, row.get("html_url") or "")
                return
            key = row["id"] if "comments" in kind else row["number"]
            yield from self.words(
                memo,
                f"{repo['name']}/{kind}/{key}",
                row.get("body"),
                row["html_url"],
                title=row.get("title"),
                published_at=parse_time(row.get("created_at")),
                visibility=self._visibility(repo),
                payload={k: row.get(k) for k in ("id", "number", "title", "created_at", "path", "state")},
            )

        items = list(self.each(read_rows(response), read, response.url, "id"))
        return items, memo | {"ids": [item.item_id for item in items]}
