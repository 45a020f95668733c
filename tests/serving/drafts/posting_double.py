"""LinkedIn's Posts API, X's POST /2/tweets and a webhook's receiver on loopback, with the answers of their documentation."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKENS = {"linkedin": "li-secret-token-123", "x": "x-secret-token-456"}
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class PostingDouble:
    """`next` are answers (status, headers, body) that come before good ones; "hang" and "drop" are answers too. `posts` are
    what was taken, `asked` every request as it came."""

    def __init__(self) -> None:
        self.next: list[Any] = []
        self.posts: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Any:
        self.asked.append((path, headers, body))
        given = json.loads(body)
        if self.next:
            return self.next.pop(0)
        if path == "/rest/posts":
            return self._linkedin(headers, given)
        if path == "/2/tweets":
            return self._x(headers, given)
        self.posts.append(given)
        return 202, {}, {}

    def _linkedin(self, headers: dict[str, str], given: dict[str, Any]) -> Any:
        if headers.get("authorization") != f"Bearer {TOKENS['linkedin']}":
            return 401, {}, {"status": 401, "serviceErrorCode": 65601, "code": "REVOKED_ACCESS_TOKEN", "message": "The token used in the request has been revoked by the user"}  # fmt: skip
        if "linkedin-version" not in headers or headers.get("x-restli-protocol-version") != "2.0.0":
            return 400, {}, {"status": 400, "message": "A version must be present. Please specify a version by adding the LinkedIn-Version header."}  # fmt: skip
        for before in self.posts:
            if before == given:
                return 422, {}, {
                    "errorDetailType": "com.linkedin.common.error.BadRequest", "status": 422,
                    "message": "com.linkedin.content.common.exception.BadRequestResponseException: Content is a duplicate of urn:li:share:7141138937766391808",
                    "errorDetails": {"inputErrors": [{"description": "Duplicate post is detected", "input": {}, "code": "DUPLICATE_POST"}]},
                }  # fmt: skip
        self.posts.append(given)
        return 201, {"x-restli-id": f"urn:li:share:71411389377663918{len(self.posts):02}"}, None

    def _x(self, headers: dict[str, str], given: dict[str, Any]) -> Any:
        if headers.get("authorization") != f"Bearer {TOKENS['x']}":
            return 401, {}, {"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"}  # fmt: skip
        if given in self.posts:
            return 403, {}, {"detail": "You are not allowed to create a Tweet with duplicate content.", "type": "about:blank", "title": "Forbidden", "status": 403}  # fmt: skip
        self.posts.append(given)
        return 201, {}, {"data": {"id": f"134688943662625{len(self.posts):04}", "text": given["text"]}}


@contextmanager
def posting_double() -> Iterator[PostingDouble]:
    """The double, with its address in `url`."""
    double = PostingDouble()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = double.answer(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            if answer == "hang":
                time.sleep(3)
            if answer in ("hang", "drop"):
                self.close_connection = True
                return
            status, headers, told = answer
            data = b"" if told is None else told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_port}"
    yield double
    server.shutdown()
    server.server_close()
