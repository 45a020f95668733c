"""An HTTP server on loopback in a thread of its own, as a context manager. Subclasses say what it answers."""

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from demo.sites.answers import Answer
from twin_assets.core.errors import TwinError

# What a fault does to the wire, past what an Answer can say: half the body that was promised.
CUT_SHORT = "X-Demo-Cut-Short"


class Loopback:
    """Port 0 takes any free port. Entering raises TwinError when the port is in use."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._open: set[socket.socket] = set()

    @property
    def address(self) -> str:
        """`http://host:port` of the running server."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer to a request; header names are lower case."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                loopback._open.add(self.connection)

            def finish(self) -> None:
                loopback._open.discard(self.connection)
                super().finish()

            def _serve(self) -> None:
                headers = {k.lower(): v for k, v in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                _send(self, loopback.respond(self.command, self.path, headers, body))

            do_GET = do_POST = do_PUT = do_HEAD = _serve

            def log_message(self, format: str, *args: object) -> None:
                """Quiet: the client's own log tells the story."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        except OSError as error:
            raise TwinError(
                f"Port {self._port}, which the demo's local sites need, can't be had: {error.strerror}.",
                "stop what listens there and try again.",
            ) from None
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
        for connection in list(self._open):  # a server that is gone answers on no connection
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    has_body = answer.status != 304 and handler.command != "HEAD"
    if answer.status != 304:
        promised = len(answer.body) + (1_000 if CUT_SHORT in answer.headers else 0)
        handler.send_header("Content-Length", str(promised))
    handler.end_headers()
    if has_body:
        handler.wfile.write(answer.body)
    handler.close_connection = handler.close_connection or CUT_SHORT in answer.headers
