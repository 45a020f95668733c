"""GitLab REST v4: the persona's own projects, and the files in them that they committed to.

Paged by the Link header. A file's blob id tells whether it has changed, so a known one is not asked for.
"""

from typing import Any
from urllib.parse import quote

from scrapy.http import Response

from twin_assets.feature.crawl.formats.code_files import file_refusal
from twin_assets.feature.crawl.formats.json_answers import next_page, read_rows
from twin_assets.feature.crawl.spiders.base import Answers
from twin_assets.feature.crawl.spiders.forge import ForgeFile, ForgeSpider


class GitLabSpider(ForgeSpider):
    name = "gitlab"
    title = "GitLab"
    unknown_fix = "check gitlab.user and gitlab.projects in the persona's YAML."

    def begin(self) -> Answers:
        assert self.persona.gitlab
        self.declared = self.persona.gitlab
        self.api = (self.declared.api or self.twin.gitlab_api).rstrip("/")
        user = quote(self.declared.user, safe="")
        yield self._listing(f"{self.api}/users/{user}/projects?per_page=100", self.parse_projects)

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

    def _listing(self, url: str, read: Any) -> Any:
        def callback(response: Response) -> Answers:
            yield from read(read_rows(response))
            if following := next_page(response, self.api):
                yield self._listing(following, read)

        return self.fetch(url, callback, listing=True, headers=self.headers())

    def parse_projects(self, rows: list[dict[str, Any]]) -> Answers:
        """A request for the files of each own project; forks and empty ones aside."""
        wanted = self.declared.projects
        for project in rows:
            if project.get("forked_from_project"):
                self.skip("fork")
            elif wanted and project["path"] not in wanted:
                self.skip("project not wanted")
            elif branch := project.get("default_branch"):
                yield self._listing(
                    f"{self.api}/projects/{project['id']}/repository/tree"
                    f"?recursive=true&per_page=100&ref={quote(branch, safe='')}",
                    lambda entries, project=project: self.parse_tree(entries, project),
                )

    def parse_tree(self, entries: list[dict[str, Any]], project: dict[str, Any]) -> Answers:
        """Requests for the files worth having; those with a known blob need none."""
        for entry in entries:
            if entry["type"] != "blob":
                continue
            item_id = f"{project['path_with_namespace']}/blob/{entry['path']}"
            if reason := file_refusal(entry["path"]):
                self.skip(reason)
            elif not self.wanted(item_id, entry["path"]):
                self.skip("left out by the persona's patterns")
            elif self.known_unchanged(item_id, entry["id"], requests=2):
                continue
            else:
                yield self.authored(self._file_of(project, entry, item_id), [])

    def _file_of(self, project: dict[str, Any], entry: dict[str, Any], item_id: str) -> ForgeFile:
        path, sha, user = entry["path"], entry["id"], self.declared.user
        base = f"{self.api}/projects/{project['id']}/repository"
        return ForgeFile(
            item_id=item_id, path=path, sha=sha, title=f"{project['path']}/{path}", author=user,
            page=f"{project['web_url']}/-/blob/{project['default_branch']}/{path}",
            payload={"project": project["path_with_namespace"]},
            commits=f"{base}/commits?path={quote(path, safe='')}&author={quote(user, safe='')}&per_page=1",
            blob=f"{base}/blobs/{sha}",
        )  # fmt: skip

    def committed_at(self, commit: dict[str, Any]) -> str | None:
        return commit.get("created_at")
