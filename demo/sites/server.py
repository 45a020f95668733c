"""One loopback HTTP server for all demo sites, with faults to inject.

`fail["/medium"] = 500` makes every path below /medium answer that status; `"garbage"`, `"challenge"`,
`"empty"`, `"cut short"` and `"bomb"` answer nonsense, a block page, an empty body, half a body, and a
small gzip that unpacks to 100 MB. An `Answer` stands for itself; `once` faults end with their first use.
"""

import gzip
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from demo.sites import github, gitlab, linkedin, medium, substack
from demo.sites.answers import CHALLENGE, Answer, Question
from demo.sites.loopback import CUT_SHORT, Loopback
from demo.sites.writing import WRITING, Writing, read_writing

SITES: dict[str, Callable[[Question], Answer]] = {
    "linkedin": linkedin.answer,
    "medium": medium.answer,
    "substack": substack.answer,
    "github": github.answer,
    "gitlab": gitlab.answer,
}


class DemoSites(Loopback):
    """The sites as a context manager. Port 0 takes any free port."""

    def __init__(self, writing: Path = WRITING, port: int = 0, edition: int = 1) -> None:
        super().__init__(port)
        self.folder = writing
        self.fail: dict[str, int | str | Answer] = {}
        self.once: dict[str, int | str | Answer] = {}
        self.robots = "User-agent: *\nDisallow: /private/\n"
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        self.edition = edition

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
        return f"{self.address}{path}"

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        return self.answer(target, headers)

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
