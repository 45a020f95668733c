"""Receivers of alerts on loopback: a webhook (Slack's too), and an SMTP server that speaks RFC 5321."""

import json
import socketserver
import threading
from email import message_from_bytes
from email.message import Message
from types import TracebackType
from typing import Any, Self

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback


class HookDouble(Loopback):
    """Keeps what is posted as JSON; answers with `status`."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: list[dict[str, Any]] = []
        self.status = 200

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        if self.status == 200:
            self.posted.append({"path": target} | json.loads(body))
        return Answer.text("ok", self.status)


class SmtpDouble:
    """Keeps the messages that it was given."""

    def __enter__(self) -> Self:
        double = self
        self.messages: list[Message] = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 double ready")
                while line := self.rfile.readline().decode().strip():
                    command = line.split()[0].upper()
                    if command == "DATA":
                        self._say("354 go ahead")
                        lines = []
                        while (data := self.rfile.readline()) != b".\r\n":
                            lines.append(data.removeprefix(b".") if data.startswith(b"..") else data)
                        double.messages.append(message_from_bytes(b"".join(lines)))
                    elif command == "QUIT":
                        self._say("221 bye")
                        return
                    self._say("250 fine")

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.port = int(self._server.server_address[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
