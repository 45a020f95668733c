"""One loopback HTTP server for all demo sites, with faults to inject.

`fail["/medium"] = 500` makes every path below /medium answer that status; `"garbage"`, `"challenge"`
and `"empty"` answer nonsense, a block page, or an empty body.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit

from demo.sites import github, linkedin, medium, substack
from demo.sites.answers import CHALLENGE, Answer, Question
from demo.sites.writing import WRITING, Writing, read_writing

SITES: dict[str, Callable[[Question], Answer]] = {
    "linkedin": linkedin.answer,
    "medium": medium.answer,
    "substack": substack.answer,
    "github": github.answer,
}


class DemoSites:
    """The sites as a context manager. Port 0 takes any free port."""

    def __init__(self, writing: Path = WRITING, port: int = 0, edition: int = 1) -> None:
        self.folder = writing
        self.fail: dict[str, int | str] = {}
        self.robots = "User-agent: *\nDisallow: /private/\n"
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        self.edition = edition
        self._port = port

    @property
    def edition(self) -> int:
        """1 as first published; 2 with the planted edits and deletions."""
        return self._edition

    @edition.setter
    def edition(self, edition: int) -> None:
        self._edition = edition
        self.writing: Writing = read_writing(self.folder, edition)

    def reread(self) -> None:
        """Serve what the writing folder holds now."""
        self.edition = self._edition

    def url(self, path: str = "") -> str:
        """Absolute URL of a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def __enter__(self) -> "DemoSites":
        sites = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                _send(self, sites.answer(self.path, {k.lower(): v for k, v in self.headers.items()}))

            def log_message(self, format: str, *args: object) -> None:
                """Quiet: the crawl's own log tells the story."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, target: str, headers: dict[str, str]) -> Answer:
        """The answer to a GET."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        self.asked.append(path)
        if path == "/robots.txt":
            return Answer.text(self.robots)
        for prefix, fault in self.fail.items():
            if path.startswith(prefix):
                return _fault(fault)
        if path in self.redirects:
            return Answer(302, {"Location": self.redirects[path]})
        if path in self.pages:
            kind, body = self.pages[path]
            return Answer(200, {"Content-Type": kind}, body).with_etag().conditional(headers)
        site, _, rest = path.lstrip("/").partition("/")
        if site not in SITES:
            return Answer.text("Not found", 404)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        question = Question(
            path="/" + rest, query=query, headers=headers, writing=self.writing, base=self.url(f"/{site}")
        )
        return SITES[site](question).conditional(headers)


def _fault(fault: int | str) -> Answer:
    if isinstance(fault, int):
        return Answer.text(f"Injected fault {fault}", fault)
    if fault == "challenge":
        return Answer.html(CHALLENGE, 403)
    return Answer(
        200, {"Content-Type": "text/html"}, b"" if fault == "empty" else b"\x07<<<not what you asked"
    )


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.status != 304:
        handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    if answer.status != 304:
        handler.wfile.write(answer.body)
