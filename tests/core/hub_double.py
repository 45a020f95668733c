"""The Hugging Face Hub on loopback, as far as publishing a dataset needs it. Files are kept in memory."""

import base64
import json
import re
from typing import Any

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback


class HubDouble(Loopback):
    """The server as a context manager. `repos` holds files, tags and visibility by repository."""

    def __init__(self) -> None:
        super().__init__()
        self.repos: dict[str, dict[str, Any]] = {}
        self.commits = 0
        self.refuse = 0

    @property
    def url(self) -> str:
        return self.address

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        status, value = self.answer(target.split("?")[0], body, headers.get("authorization", ""))
        return Answer.json(value, status)

    def answer(self, path: str, body: bytes, key: str) -> tuple[int, Any]:
        if self.refuse or key != "Bearer hf-secret":
            return self.refuse or 401, {"error": "no"}
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'ada'}/{wanted['name']}"
            there = name in self.repos
            self.repos.setdefault(
                name, {"files": {}, "tags": {}, "private": wanted.get("visibility") == "private"}
            )
            return (409 if there else 200), {"url": f"{self.url}/datasets/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        found = re.match(r"/api/datasets/([^/]+/[^/]+)(/.*)?$", path)
        if not found or found.group(1) not in self.repos:
            return 404, {"error": "not found"}
        repo, rest = self.repos[found.group(1)], found.group(2) or ""
        if rest == "/refs":
            tags = [{"name": t, "ref": f"refs/tags/{t}", "targetCommit": c} for t, c in repo["tags"].items()]
            return 200, {"branches": [], "converts": [], "tags": tags}
        if rest.startswith("/preupload/"):
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for f in json.loads(body)["files"]
            ]
            return 200, {"files": files}
        if rest.startswith("/tree/"):
            return 200, [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                for name, data in repo["files"].items()
            ]
        if rest.startswith("/commit/"):
            self.commits += 1
            for line in body.decode().splitlines():
                step = json.loads(line)
                if step["key"] == "file":
                    repo["files"][step["value"]["path"]] = base64.b64decode(step["value"]["content"])
                elif step["key"] == "deletedFile":
                    del repo["files"][step["value"]["path"]]
            oid = f"{self.commits:040x}"
            return 200, {"success": True, "commitOid": oid, "commitUrl": f"{self.url}/commit/{oid}"}
        if rest.startswith("/tag/"):
            repo["tags"][json.loads(body)["tag"]] = rest.removeprefix("/tag/")
            return 200, {}
        siblings = [{"rfilename": name} for name in repo["files"]]
        return 200, {
            "id": found.group(1),
            "sha": f"{self.commits:040x}",
            "siblings": siblings,
            "private": repo["private"],
        }
