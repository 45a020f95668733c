"""S3 on loopback: moto's server, which speaks its wire format, and a line to it that loses answers."""

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from twin_assets.core.storage.lake import Lake, LocalLake, S3Lake

KEYS_OF_A_STRANGER = {
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
    "region_name": "us-east-1",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """The server's address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    _one_at_a_time(server)
    yield f"http://{host}:{port}"
    server.stop()


def _one_at_a_time(server: ThreadedMotoServer) -> None:
    """S3 looks at a condition and writes in one step; moto in two, so that of two writers both may pass."""
    app, turn = server._server.app, threading.Lock()

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        with turn:
            return list(app(environ, start_response))

    server._server.app = answer


def hurry(patch: Callable[..., None] = setattr) -> None:
    """For whoever asks an ill S3: botocore's pauses before it tries again are a twentieth as long, so that as many faults
    come in less time. A process that does other things too gives a monkeypatch's `setattr`."""
    from botocore.retries.standard import ExponentialBackoff

    usual = ExponentialBackoff.delay_amount
    patch(ExponentialBackoff, "delay_amount", lambda self, context: usual(self, context) / 20)


def s3_client(url: str) -> Any:
    return boto3.client("s3", endpoint_url=url, **KEYS_OF_A_STRANGER)  # type: ignore[call-overload]


@contextmanager
def lake_in(kind: str, folder: Path) -> Iterator[Lake]:
    """A lake that is a `folder`, or on `s3`."""
    if kind == "folder":
        yield LocalLake(folder / "lake")
        return
    with s3_server() as url:
        yield s3_lake(url, folder)


def s3_lake(url: str, folder: Path) -> S3Lake:
    """A lake in a bucket named after `folder`, mirrored below it."""
    client, bucket = s3_client(url), folder.name.replace("_", "-").lower()
    client.create_bucket(Bucket=bucket)
    return S3Lake(client, bucket, "some/prefix", folder / "mirror")


# AWS's words while another conditional write of the same name goes on.
CONFLICT = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>ConditionalRequestConflict</Code><Message>The conditional request '
    "cannot succeed due to a conflicting operation against this resource.</Message></Error>"
)


class BadLine:
    """A proxy before an S3 server. While `lose` is above 0, what is asked by `method` is done and its answer is lost: the
    connection is closed instead; while `halve` is, half of an object comes. With `mute`, answers are kept back until it is unset, as by a process that is frozen.
    `says` is a status and a body that everything is answered with, or with `only` what is asked by that method. With `careless`, the server never learns of the
    conditions of a write, as some S3-compatible ones ignore them; `conflicts` so many conditional writes are told that
    another goes on. `asked` counts what came: LIST and the methods."""

    def __init__(self, url: str) -> None:
        self.lose, self.method, self.careless, self.conflicts = 0, "PUT", False, 0
        self.halve = 0
        self.says: tuple[int, str] | None = None
        self.only: str | None = None
        self.asked = Counter[str]()
        self._one = threading.Lock()  # S3 writes an object at once; moto looks first and then writes
        self._speaks = threading.Event()
        self._speaks.set()
        self._over = threading.Event()
        line, host = self, url.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                line.asked["LIST" if "list-type=2" in self.path else self.command] += 1
                waited = line.mute
                line._speaks.wait()
                if line._over.is_set() or waited:  # who asked has gone by now
                    self.close_connection = True
                    return
                status, headers, data = self._said() or self._done(body)
                if line.lose and self.command == line.method:
                    line.lose -= 1
                    self.close_connection = True
                    return
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                        self.send_header(name, value)
                length = headers.get("Content-Length") if self.command == "HEAD" else str(len(data))
                if status != 304:
                    self.send_header("Content-Length", length or "0")
                self.end_headers()
                if line.halve and self.command == line.method and "list-type=2" not in self.path:
                    line.halve -= 1
                    self.close_connection = True
                    data = data[: len(data) // 2]
                self.wfile.write(b"" if self.command == "HEAD" else data)

            def _said(self) -> tuple[int, dict[str, str], bytes] | None:
                if line.says and line.only in (None, self.command):
                    status, text = line.says
                    kind = "application/xml" if text.startswith(("<?xml", "<Error")) else "text/html"
                    return status, {"Content-Type": kind}, text.encode()
                if (
                    line.conflicts
                    and self.command == "PUT"
                    and {"If-Match", "If-None-Match"} & set(self.headers)
                ):
                    line.conflicts -= 1
                    return 409, {"Content-Type": "application/xml"}, CONFLICT.encode()
                return None

            def _done(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
                server = http.client.HTTPConnection(host)
                headers = dict(self.headers)
                if line.careless and self.command == "PUT":
                    headers = {k: v for k, v in headers.items() if k not in ("If-Match", "If-None-Match")}
                with line._one:
                    server.request(self.command, self.path, body, headers)
                    answer = server.getresponse()
                    data = answer.read()
                server.close()
                return answer.status, dict(answer.getheaders()), data

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def mute(self) -> bool:
        return not self._speaks.is_set()

    @mute.setter
    def mute(self, mute: bool) -> None:
        if mute:
            self._speaks.clear()
        else:
            self._speaks.set()

    def __enter__(self) -> "BadLine":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._speaks.set()
        self._server.shutdown()
        self._server.server_close()
