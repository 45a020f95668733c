"""A package index on loopback (PEP 503) with wheels of a few lines, which can refuse or delay a file."""

import contextlib
import hashlib
import http.server
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from urllib.parse import quote, unquote


def wheel(name: str, version: str, requires: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """File name and bytes of a wheel with one module that knows its version."""
    data = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"__version__ = {version!r}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}-{version}-py3-none-any.whl", data.getvalue()


class PackageIndex:
    """`refused` files answer 403, `slow` ones take ten seconds; `served` counts files given whole, by name."""

    def __init__(self, *wheels: tuple[str, bytes]) -> None:
        self.files = dict(wheels)
        self.refused: set[str] = set()
        self.slow: set[str] = set()
        self.asked = threading.Event()
        self.served: dict[str, int] = {}
        self.url = ""

    @contextlib.contextmanager
    def running(self) -> Iterator["PackageIndex"]:
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = unquote(self.path.split("#")[0].rstrip("/").rsplit("/", 1)[-1])
                if self.path.startswith("/simple/"):
                    self._simple(name)
                elif name not in index.files:
                    self._answer(404, b"")
                else:
                    if name in index.slow:
                        index.asked.set()
                        time.sleep(10)
                    if name in index.refused:
                        self._answer(403, b"no")
                    else:
                        index.served[name] = index.served.get(name, 0) + (self.command == "GET")
                        self._answer(200, index.files[name])

            def _simple(self, project: str) -> None:
                own = [file for file in index.files if file.split("-")[0].replace("_", "-") == project]
                links = "".join(
                    f'<a href="/files/{quote(f)}#sha256={hashlib.sha256(index.files[f]).hexdigest()}">{f}</a>'
                    for f in own
                )
                self._answer(
                    200 if own else 404,
                    f"<!DOCTYPE html><html><body>{links}</body></html>".encode(),
                    "text/html",
                )

            def _answer(self, status: int, body: bytes, kind: str = "application/octet-stream") -> None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    if self.command == "GET":
                        self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
