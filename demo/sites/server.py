"""One loopback HTTP server for all demo sites, with faults to inject.

`fail["/medium"] = 500` makes every path below /medium answer that status; `"garbage"`, `"challenge"`,
`"empty"`, `"cut short"` and `"bomb"` answer nonsense, a block page, an empty body, half a body, and a
small gzip that unpacks to 100 MB. An `Answer` stands for itself; `once` faults end with their first use.
"""

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit

from demo.sites import github, gitlab, linkedin, medium, substack
from demo.sites.answers import CHALLENGE, Answer, Question
from demo.sites.writing import WRITING, Writing, read_writing

SITES: dict[str, Callable[[Question], Answer]] = {
    "linkedin": linkedin.answer,
    "medium": medium.answer,
    "substack": substack.answer,
    "github": github.answer,
    "gitlab": gitlab.answer,
}
# What a fault does to the wire, past what an Answer can say.
CUT_SHORT = "X-Demo-Cut-Short"


class DemoSites:
    """The sites as a context manager. Port 0 takes any free port."""

    def __init__(self, writing: Path = WRITING, port: int = 0, edition: int = 1) -> None:
        self.folder = writing
        self.fail: dict[str, int | str | Answer] = {}
        self.once: dict[str, int | str | Answer] = {}
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
        for prefix in [p for p in self.once if path.startswith(p)]:
            return _fault(self.once.pop(prefix))
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


def _fault(fault: int | str | Answer) -> Answer:
    if isinstance(fault, Answer):
        return fault
    if isinstance(fault, int):
        return Answer.text(f"Injected fault {fault}", fault)
    if fault == "challenge":
        return Answer.html(CHALLENGE, 403)
    if fault == "cut short":
        return Answer(200, {"Content-Type": "text/html", CUT_SHORT: "1"}, b"<html><p>It begins, and")
    if fault == "bomb":
        packed = {"Content-Type": "text/html", "Content-Encoding": "gzip"}
        return Answer(200, packed, gzip.compress(b"a" * 100_000_000, 9))
    return Answer(
        200, {"Content-Type": "text/html"}, b"" if fault == "empty" else b"\x07<<<not what you asked"
    )


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.status != 304:
        promised = len(answer.body) + (1_000 if CUT_SHORT in answer.headers else 0)
        handler.send_header("Content-Length", str(promised))
    handler.end_headers()
    if answer.status != 304:
        handler.wfile.write(answer.body)
    handler.close_connection = handler.close_connection or CUT_SHORT in answer.headers
