"""Small servers that speak GitHub's and GitLab's REST APIs over whatever repositories a test gives them."""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback

DATE = "2024-03-01T08:00:00Z"
OTHER = ("kim", "Kim Other", "kim@other.example")


def sha_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@dataclass
class Repo:
    """A repository. `signed` is who committed to a path: (account or None, name, address), the account's if absent."""

    files: dict[str, bytes] = field(default_factory=dict)
    signed: dict[str, tuple[str | None, str, str]] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    issues: list[Any] = field(default_factory=list)
    comments: list[Any] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    truncated: bool = False


class ForgeSite(Loopback):
    """`answers` maps a path, or a path's beginning with a * at its end, to an answer in place of the usual one."""

    def __init__(self, user: str, repos: dict[str, Repo]) -> None:
        super().__init__(0)
        self.user, self.repos = user, repos
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return self.address

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(target)
        self.asked.append(target)
        for path, answer in self.answers.items():
            if parts.path == path or (path.endswith("*") and parts.path.startswith(path[:-1])):
                return answer
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        value = self.value(parts.path, query)
        if isinstance(value, Answer):
            return value
        if value is None:
            return Answer.json({"message": "404 Not Found"}, 404)
        return Answer.json(value).with_etag().conditional(headers)

    def value(self, path: str, query: dict[str, str]) -> Any:
        raise NotImplementedError

    def _signer(self, repo: Repo, path: str) -> tuple[str | None, str, str]:
        return repo.signed.get(path, (self.user, self.user, f"{self.user}@mail.example"))

    def _blob(self, repo: Repo, sha: str) -> Any:
        data = next((d for d in repo.files.values() if sha_of(d) == sha), None)
        return data and {"sha": sha, "encoding": "base64", "content": base64.encodebytes(data).decode()}


class GitHubSite(ForgeSite):
    """Empty repositories answer 409, like GitHub's."""

    def value(self, path: str, query: dict[str, str]) -> Any:
        if path == f"/users/{self.user}/repos":
            return [self._repo(name) for name in self.repos if "/" not in name]
        head, _, rest = path.removeprefix("/repos/").partition("/")
        name, _, rest = rest.partition("/")
        key = unquote(name) if head == self.user else f"{head}/{unquote(name)}"
        if key not in self.repos:
            return None
        repo = self.repos[key]
        if not rest:
            return self._repo(key)
        if rest.startswith("git/trees/"):
            return self._tree(repo, rest.removeprefix("git/trees/"), "recursive" in query)
        if rest.startswith("git/blobs/"):
            return self._blob(repo, rest.removeprefix("git/blobs/"))
        if rest == "commits":
            account, author, address = self._signer(repo, query["path"])
            if query.get("author", account) not in (account, address):
                return []
            signed = {"name": author, "email": address, "date": DATE}
            return [
                {"sha": "c", "author": account and {"login": account}, "commit": {"author": signed}},
            ]
        return {"issues": repo.issues, "issues/comments": repo.comments, "pulls/comments": []}.get(rest)

    def _repo(self, key: str) -> dict[str, Any]:
        full = key if "/" in key else f"{self.user}/{key}"
        facts = {"name": key.split("/")[-1], "full_name": full, "fork": False, "default_branch": "main"}
        return facts | self.repos[key].more

    def _tree(self, repo: Repo, sha: str, deep: bool) -> Any:
        if not repo.files:
            return Answer.json({"message": "Git Repository is empty."}, 409)
        folder = sha.removeprefix("tree-").replace("~", "/") + "/" if sha.startswith("tree-") else ""
        if not folder and sha not in (repo.more.get("default_branch", "main"), "HEAD"):
            return None
        entries: dict[str, dict[str, Any]] = {}
        for path, data in repo.files.items():
            if not path.startswith(folder):
                continue
            inner = path.removeprefix(folder)
            first, slash, _ = inner.partition("/")
            if slash:
                shown = f"tree-{folder}{first}".replace("/", "~")
                entries[first] = {"path": first, "type": "tree", "mode": "040000", "sha": shown}
            if deep or not slash:
                entries[inner] = {
                    "path": inner, "type": "commit" if repo.modes.get(path) == "160000" else "blob",
                    "mode": repo.modes.get(path, "100644"), "sha": sha_of(data), "size": len(data),
                }  # fmt: skip
        truncated = repo.truncated and deep and not folder
        shown_entries = list(entries.values())[: 1 if truncated else None]
        return {"sha": sha, "tree": shown_entries, "truncated": truncated}


class GitLabSite(ForgeSite):
    """`answers` may hold a 404 for the tree of an empty repository, as GitLab has it. Commits bear no account."""

    def value(self, path: str, query: dict[str, str]) -> Any:
        if path == f"/users/{self.user}/projects":
            return [self._project(n, key) for n, key in enumerate(self.repos) if "/" not in key]
        if not path.startswith("/projects/"):
            return None
        number, _, rest = path.removeprefix("/projects/").partition("/")
        keys = list(self.repos)
        key = keys[int(number)] if number.isdigit() else unquote(number)
        if key not in self.repos:
            return None
        repo = self.repos[key]
        if not rest:
            return self._project(keys.index(key), key)
        if rest == "repository/tree":
            if not repo.files:
                return None
            return [
                {"id": sha_of(data), "path": p, "type": "blob", "mode": repo.modes.get(p, "100644")}
                for p, data in repo.files.items()
            ]
        if rest == "repository/commits":
            _, author, address = self._signer(repo, unquote(query["path"]))
            found = query.get("author", author) in f"{author} <{address}>"  # as git log --author has it
            return [{"author_name": author, "author_email": address, "created_at": DATE}] if found else []
        if rest.startswith("repository/blobs/"):
            return self._blob(repo, rest.removeprefix("repository/blobs/"))
        return {"issues": repo.issues, "merge_requests": []}.get(rest)

    def _project(self, number: int, key: str) -> dict[str, Any]:
        full = key if "/" in key else f"{self.user}/{key}"
        facts = {"id": number, "path": key.split("/")[-1], "path_with_namespace": full, "default_branch": "main",
                 "web_url": f"https://gitlab.com/{full}"}  # fmt: skip
        return facts | self.repos[key].more
