"""The Hugging Face Hub on loopback, as far as publishing a dataset needs it. Files are kept in memory."""

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class HubDouble:
    """The server as a context manager. `repos` holds files, tags and visibility by repository."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, Any]] = {}
        self.commits = 0
        self.refuse = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, path: str, body: bytes, key: str) -> tuple[int, Any]:
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

    def __enter__(self) -> "HubDouble":
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.split("?")[0]
                status, value = double.answer(self.command, path, body, self.headers.get("Authorization", ""))
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_HEAD = _serve

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
