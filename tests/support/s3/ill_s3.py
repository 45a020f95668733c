"""A proxy before an S3 server that answers as an ill one does, by a seeded plan: errors, delays, and cut connections, also
after the server has done the work, so that the answer is lost."""

import http.client
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

# Shares of the requests. An outage is one fault for OUTAGE requests running, which no client's retries outlive.
FAULTS = {
    "500": 0.06,
    "503": 0.06,
    "delay": 0.08,
    "cut before": 0.04,
    "lost answer": 0.08,
    "half an answer": 0.04,
}
OUTAGES, OUTAGE = 0.012, 8
ERRORS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
}
KEPT = {
    "content-length",
    "connection",
    "transfer-encoding",
    "server",
    "date",
}  # which this server says itself


class IllS3:
    """The proxy as a context manager. While `well`, it only passes on; `counts` has what it did."""

    def __init__(self, server: str, seed: int) -> None:
        self._to, self._rng, self._lock = urlsplit(server).netloc, random.Random(seed), threading.Lock()
        self._outage: list[str] = []
        self.well, self.counts = False, Counter[str]()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fault(self) -> str:
        """What happens to the next request; empty for nothing."""
        with self._lock:
            if self.well:
                return ""
            if not self._outage and self._rng.random() < OUTAGES:
                self._outage = [self._rng.choice(list(FAULTS))] * OUTAGE
                self.counts["outages"] += 1
            drawn = self._rng.choices([*FAULTS, ""], [*FAULTS.values(), 1 - sum(FAULTS.values())])[0]
            chosen = self._outage.pop() if self._outage else drawn
            self.counts[chosen or "passed on"] += 1
            return chosen

    def pause(self) -> float:
        with self._lock:
            return self._rng.uniform(0.02, 0.4)

    def __enter__(self) -> Self:
        ill = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                fault = ill.fault()
                if fault == "cut before":
                    self.close_connection = True
                    return
                if fault in ERRORS:
                    status, code, message = ERRORS[fault]
                    said = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
                    self._answer(status, {"Content-Type": "application/xml"}, said)
                    return
                if fault == "delay":
                    time.sleep(ill.pause())
                status, headers, answer = ill.ask(self.command, self.path, dict(self.headers), body)
                if fault == "lost answer":
                    self.close_connection = True
                    return
                self._answer(status, headers, answer, cut=fault == "half an answer" and len(answer) > 1)

            def _answer(self, status: int, headers: dict[str, str], body: bytes, cut: bool = False) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in KEPT:
                        self.send_header(name, value)
                promised = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
                self.send_header("Content-Length", promised)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[: len(body) // 2] if cut else body)
                if cut:
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

            def log_message(self, format: str, *args: object) -> None:
                """Quiet: the counts tell the story."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """The real server's answer."""
        connection = http.client.HTTPConnection(self._to, timeout=60)
        headers = {k: v for k, v in headers.items() if k.lower() not in ("expect", "connection")}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
