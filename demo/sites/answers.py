"""What a demo site is asked and what it answers, with the conditional-request rules of HTTP."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from demo.sites.writing import Writing

CHALLENGE = """<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>
<meta name="robots" content="noindex,nofollow"></head><body><div class="main-wrapper" role="main">
<h1 class="zone-name-title">example.com</h1><p>Verifying you are human. This may take a few seconds.</p>
<noscript>Enable JavaScript and cookies to continue</noscript></div>
<script>window._cf_chl_opt={cvId:'3',cType:'managed'};</script>
<script src="/cdn-cgi/challenge-platform/h/g/orchestrate/chl_page/v1"></script></body></html>"""


@dataclass(frozen=True)
class Question:
    """A GET below one site's prefix. Header names are lower case; `base` is the site's URL."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    writing: Writing
    base: str


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @staticmethod
    def json(value: Any, status: int = 200) -> "Answer":
        data = json.dumps(value, ensure_ascii=False).encode()
        return Answer(status, {"Content-Type": "application/json; charset=utf-8"}, data)

    @staticmethod
    def html(text: str, status: int = 200) -> "Answer":
        return Answer(status, {"Content-Type": "text/html; charset=utf-8"}, text.encode())

    @staticmethod
    def text(text: str, status: int = 200) -> "Answer":
        return Answer(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())

    def with_etag(self, **more: str) -> "Answer":
        """The same answer with a weak ETag of its body, and further headers."""
        tag = f'W/"{hashlib.sha256(self.body).hexdigest()[:20]}"'
        return replace(self, headers=self.headers | {"ETag": tag} | more)

    def conditional(self, asked: dict[str, str]) -> "Answer":
        """304 when the client has this very answer."""
        if self.status != 200:
            return self
        tag, modified = self.headers.get("ETag"), self.headers.get("Last-Modified")
        by_tag = tag is not None and asked.get("if-none-match") == tag
        by_time = "if-none-match" not in asked and modified and asked.get("if-modified-since") == modified
        return Answer(304, self.headers) if by_tag or by_time else self


def page_of(question: Question, rows: list[Any], size: int) -> Answer:
    """The page that the query asks for, with a Link header to the next, as the forges' APIs answer."""
    page = int(question.query.get("page", "1"))
    more = {}
    if page * size < len(rows):
        query = "&".join(f"{k}={v}" for k, v in (question.query | {"page": str(page + 1)}).items())
        more["Link"] = f'<{question.base}{question.path}?{query}>; rel="next"'
    return Answer.json(rows[(page - 1) * size : page * size]).with_etag(**more)
