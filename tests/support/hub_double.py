"""The Hugging Face Hub on loopback, as far as datasets and models need it. Files are kept in memory.

Small text files come inside a commit, others over Git LFS: https://github.com/git-lfs/git-lfs/blob/main/docs/api
"""

import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import unquote

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback

NOT_FOUND = Answer.json({"error": "not found"}, 404)


class HubDouble(Loopback):
    """The server as a context manager. `repos` holds files, tags and visibility by repository."""

    def __init__(self) -> None:
        super().__init__()
        self.repos: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}  # Git LFS, by SHA-256
        self.commits = 0
        self.refuse = 0

    @property
    def url(self) -> str:
        return self.address

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        path = unquote(target.split("?")[0])
        if path.startswith("/lfs/"):  # an address that was signed when it was given
            self.objects[path.removeprefix("/lfs/")] = body
            return Answer.json({})
        if self.refuse or headers.get("authorization") != "Bearer hf-secret":
            return Answer.json({"error": "no"}, self.refuse or 401)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return Answer.json({"errors": [], "warnings": []})
        if found := re.match(r"/(?:datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch$", path):
            return self._lfs_batch(json.loads(body))
        if found := re.match(r"/(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$", path):
            return self._resolve(*found.groups())
        found = re.match(r"/api/(?:datasets|models)/([^/]+/[^/]+)(/.*)?$", path)
        if not found or found.group(1) not in self.repos:
            return NOT_FOUND
        return self._repo(found.group(1), found.group(2) or "", body)

    def _create(self, wanted: dict[str, Any]) -> Answer:
        name = f"{wanted.get('organization') or 'ada'}/{wanted['name']}"
        there = name in self.repos
        private = wanted.get("visibility") == "private"
        self.repos.setdefault(name, {"files": {}, "tags": {}, "commits": {}, "private": private})
        return Answer.json({"url": f"{self.url}/{name}"}, 409 if there else 200)

    def _repo(self, name: str, rest: str, body: bytes) -> Answer:
        repo = self.repos[name]
        if rest == "/refs":
            tags = [{"name": t, "ref": f"refs/tags/{t}", "targetCommit": c} for t, c in repo["tags"].items()]
            return Answer.json({"branches": [], "converts": [], "tags": tags})
        if rest.startswith("/preupload/"):
            return Answer.json({"files": [_preupload(f) for f in json.loads(body)["files"]]})
        if rest.startswith("/tree/"):
            files = self._at(name, rest.split("/")[2])
            return Answer.json([
                {"type": "file", "path": path, "size": len(data), "oid": "0" * 40}
                for path, data in (files or {}).items()
            ])  # fmt: skip
        if rest.startswith("/commit/"):
            return self._commit(repo, body)
        if rest.startswith("/tag/"):
            repo["tags"][json.loads(body)["tag"]] = rest.removeprefix("/tag/")
            return Answer.json({})
        revision = rest.removeprefix("/revision/") or "main"
        files = self._at(name, revision)
        if files is None:
            return Answer(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
        siblings = [{"rfilename": path} for path in files]
        sha = repo["tags"].get(revision, f"{self.commits:040x}")
        return Answer.json({"id": name, "sha": sha, "siblings": siblings, "private": repo["private"]})

    def _commit(self, repo: dict[str, Any], body: bytes) -> Answer:
        self.commits += 1
        for line in body.decode().splitlines():
            step = json.loads(line)
            value = step["value"]
            if step["key"] == "file":
                repo["files"][value["path"]] = base64.b64decode(value["content"])
            elif step["key"] == "lfsFile":
                repo["files"][value["path"]] = self.objects[value["oid"]]
            elif step["key"] == "deletedFile":
                del repo["files"][value["path"]]
        oid = f"{self.commits:040x}"
        repo["commits"][oid] = dict(repo["files"])
        return Answer.json({"success": True, "commitOid": oid, "commitUrl": f"{self.url}/commit/{oid}"})

    def _lfs_batch(self, wanted: dict[str, Any]) -> Answer:
        objects = [
            {"oid": o["oid"], "size": o["size"]}
            | (
                {}
                if o["oid"] in self.objects
                else {"actions": {"upload": {"href": f"{self.url}/lfs/{o['oid']}"}}}
            )
            for o in wanted["objects"]
        ]
        return Answer.json({"transfer": "basic", "objects": objects})

    def _resolve(self, name: str, revision: str, path: str) -> Answer:
        files = self._at(name, revision)
        if files is None or path not in files:
            return NOT_FOUND
        data = files[path]
        commit = self.repos[name]["tags"].get(revision, revision)
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": commit}
        return Answer(200, headers, data)

    def _at(self, name: str, revision: str) -> dict[str, bytes] | None:
        """Files of a branch, tag or commit."""
        repo = self.repos.get(name)
        if repo is None:
            return None
        return (
            repo["files"] if revision == "main" else repo["commits"].get(repo["tags"].get(revision, revision))
        )


def _preupload(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}
