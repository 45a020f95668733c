"""GitLab REST v4: the persona's own projects, the files in them that they committed to, and their own words in
issues and merge requests.

Paged by the Link header. A file's blob id tells whether it has changed, so a known one is not asked for.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from scrapy.http import Response

from twin_assets.core.records import Visibility
from twin_assets.feature.crawl.formats.code_files import file_refusal
from twin_assets.feature.crawl.formats.values import parse_time
from twin_assets.feature.crawl.spiders.base import Answers
from twin_assets.feature.crawl.spiders.forges.forge import COMMITS, ForgeFile, ForgeSpider
from twin_assets.feature.crawl.spiders.json_answers import next_page, read_json, read_rows


def _no_tree(response: Response) -> str | None:
    if response.status == 404 and b"project" not in response.body.lower():
        return "empty repository"
    return "repository is switched off" if response.status == 403 else None


def _no_words(response: Response) -> str | None:
    return "issues or merge requests are switched off" if response.status in (403, 404) else None


class GitLabSpider(ForgeSpider):
    name = "gitlab"
    unknown_fix = "check gitlab.user and gitlab.projects in the persona's YAML."

    def begin_lists(self) -> Answers:
        assert self.persona.gitlab
        self.declared = self.persona.gitlab
        self.user = self.declared.user
        self.api = (self.declared.api or self.twin.gitlab_api).rstrip("/")
        yield from self._projects_of(quote(self.user, safe=""), self._look_up)
        for path in self.declared.projects:
            if "/" in path:  # of a group
                url = f"{self.api}/projects/{quote(path, safe='')}"
                yield self.fetch(
                    url,
                    lambda r: self.parse_projects([read_json(r)], r.url),
                    listing=True,
                    headers=self.headers(),
                    within=f"{path}/",
                )

    def refused(self, response: Response) -> tuple[str, str] | None:
        if response.status == 401:
            return "HTTP 401: the token was refused", (
                "renew TWIN_GITLAB_TOKEN (gitlab.com/-/user_settings/personal_access_tokens, read_api)."
            )
        return None

    def headers(self) -> dict[str, str]:
        token = self.twin.gitlab_token
        # The standard header and not PRIVATE-TOKEN: Scrapy drops it when a redirect leaves the host.
        return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}

    def _projects_of(self, user: str, missing: Any = None) -> Answers:
        yield from self._listing(
            f"{self.api}/users/{user}/projects?per_page=100", self.parse_projects, missing=missing
        )

    def _look_up(self) -> Answers:
        """Some servers take a name with a dot for an address: then the user's number is asked for."""

        def found(response: Response) -> Answers:
            users = [u for u in read_rows(response) if isinstance(u, dict) and "id" in u]
            if users:
                yield from self._projects_of(str(users[0]["id"]))
            else:
                self.fail(response.url, "HTTP 404: there is no such user", True, self.unknown_fix)

        url = f"{self.api}/users?username={quote(self.user, safe='')}"
        yield self.fetch(url, found, listing=True, headers=self.headers())

    def _listing(
        self,
        url: str,
        read: Any,
        *,
        within: str | None = None,
        absent: Any = None,
        missing: Any = None,
    ) -> Answers:
        """A page of a list and those that follow; `read` gets its rows and address."""

        def callback(response: Response) -> Answers:
            yield from read(read_rows(response), response.url)
            if following := next_page(response, self.api):
                yield from self._listing(following, read, within=within, absent=absent)

        yield self.fetch(
            url, callback, listing=True, headers=self.headers(), within=within, absent=absent, missing=missing
        )

    def parse_projects(self, rows: list[Any], where: str) -> Answers:
        """Requests for the files and words of each own project; forks and empty ones aside."""
        yield from self.each(rows, self._project, where, "path_with_namespace", self.odd_repository)

    def _project(self, project: dict[str, Any]) -> Answers:
        declared, name = self.declared.projects, project["path_with_namespace"]
        self.met.add(name)
        if project.get("forked_from_project"):
            self.skip("fork", name)
            return
        if declared and project["path"] not in declared and name not in declared:
            self.skip("project not wanted", name)
            return
        base = f"{self.api}/projects/{project['id']}"
        if branch := project.get("default_branch"):
            yield from self._listing(
                f"{base}/repository/tree?recursive=true&per_page=100&pagination=keyset&ref={quote(branch, safe='')}",
                lambda entries, url: self.parse_tree(entries, project, url),
                within=f"{name}/blob/",
                absent=_no_tree,
            )
        else:
            self.skip("empty repository", name)
        for kind in ("issues", "merge_requests"):
            # An answer without a token doesn't say whether they are on.
            if project.get(f"{kind}_enabled") is not False:
                yield from self._listing(
                    f"{base}/{kind}?scope=all&per_page=100&author_username={quote(self.user, safe='')}",
                    lambda rows, url, kind=kind: self.parse_words(rows, project, kind, url),
                    within=f"{name}/{kind}/",
                    absent=_no_words,
                )

    def parse_tree(self, entries: list[Any], project: dict[str, Any], where: str) -> Answers:
        """Requests for the files worth having; those with a known blob need none."""

        def read(entry: dict[str, Any]) -> Answers:
            if entry["type"] == "tree":
                return
            path = entry["path"]
            item_id = f"{project['path_with_namespace']}/blob/{path}"
            mode = "160000" if entry["type"] == "commit" else entry.get("mode")
            if reason := file_refusal(path, mode=mode):
                self.skip(reason, item_id)
            elif not self.wanted(item_id, path):
                self.skip("left out by the persona's patterns", item_id)
            elif not self.known_unchanged(item_id, self.mark(entry["id"]), requests=2):
                yield self.authored(self._file_of(project, path, entry["id"], item_id), {})

        yield from self.each(entries, read, where, "path")

    def _file_of(self, project: dict[str, Any], path: str, sha: str, item_id: str) -> ForgeFile:
        base = f"{self.api}/projects/{project['id']}/repository"
        commits = f"{base}/commits?path={quote(path, safe='')}"
        # GitLab's commits carry no account, only a name and an address. The newest hundred mostly tell; in a file with
        # more of them the persona's are looked for by each of their names.
        signed = [
            f"{commits}&author={quote(who, safe='')}&per_page=20"
            for who in (self.persona.full_name, *self.addresses())
        ]
        page = project.get("web_url") or f"https://gitlab.com/{project['path_with_namespace']}"
        return ForgeFile(
            item_id=item_id,
            path=path,
            sha=sha,
            title=f"{project['path']}/{path}",
            author=self.user,
            page=f"{page}/-/blob/{quote(project['default_branch'])}/{quote(path)}",
            payload={"project": project["path_with_namespace"]},
            commits=(f"{commits}&per_page={COMMITS}", *signed),
            blob=f"{base}/blobs/{sha}",
            visibility=self._visibility(project),
        )

    def _visibility(self, project: dict[str, Any], confidential: bool = False) -> Visibility | None:
        closed = confidential or project.get("visibility") in ("private", "internal")
        return "private" if closed and not self.declared.visibility else None

    def signature(self, commit: dict[str, Any]) -> tuple[str | None, list[str | None]]:
        date = commit.get("authored_date") or commit.get("created_at")
        return date, [commit.get("author_name"), commit.get("author_email")]

    def parse_words(self, rows: list[Any], project: dict[str, Any], kind: str, where: str) -> Answers:
        """The descriptions of the persona's own issues or merge requests."""

        def read(row: dict[str, Any]) -> Iterator[Any]:
            if str((row.get("author") or {}).get("username", "")).casefold() != self.user.casefold():
                self.skip("someone else's words", row.get("web_url") or "")
                return
            yield from self.words(
                {},
                f"{project['path_with_namespace']}/{kind}/{row['iid']}",
                row.get("description"),
                row["web_url"],
                title=row.get("title"),
                published_at=parse_time(row.get("created_at")),
                visibility=self._visibility(project, bool(row.get("confidential"))),
                payload={k: row.get(k) for k in ("id", "iid", "title", "created_at", "state")},
            )

        yield from self.each(rows, read, where, "iid")
