"""Receivers of alerts on loopback: a webhook (Slack's too), and an SMTP server that speaks RFC 5321, with TLS too."""

import base64
import json
import socketserver
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from ipaddress import IPv4Address
from pathlib import Path
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
    """Keeps the messages that it was given, and the logins.

    With a `certificate` it speaks TLS: from the first byte with `security` tls, else once the client says STARTTLS
    (RFC 3207), before which it takes neither login nor mail.
    """

    def __init__(self, certificate: Path | None = None, security: str = "starttls") -> None:
        self.messages: list[Message] = []
        self.logins: list[str] = []
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._security = security

    def __enter__(self) -> Self:
        double = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    self.plain = double._context is not None
                    if self.plain and double._security == "tls":
                        self._encrypt()
                    self._talk()
                except OSError:
                    pass  # the client did not trust the certificate, and went

            def _encrypt(self) -> None:
                assert double._context is not None
                self.connection = double._context.wrap_socket(self.connection, server_side=True)
                self.rfile = self.connection.makefile("rb")
                self.wfile = self.connection.makefile("wb", buffering=0)
                self.plain = False

            def _talk(self) -> None:
                self._say("220 double ready")
                while line := self.rfile.readline().decode().strip():
                    command, _, rest = line.partition(" ")
                    match command.upper():
                        case "EHLO":
                            self._say("250-double")
                            self._say("250 STARTTLS" if self.plain else "250 AUTH PLAIN")
                        case "STARTTLS":
                            self._say("220 go ahead")
                            self._encrypt()
                        case "AUTH" | "MAIL" if self.plain:
                            self._say("530 must issue a STARTTLS command first")
                        case "AUTH":
                            double.logins.append(base64.b64decode(rest.split()[-1]).decode())
                            self._say("235 welcome")
                        case "DATA":
                            self._say("354 go ahead")
                            self._take()
                            self._say("250 fine")
                        case "QUIT":
                            self._say("221 bye")
                            return
                        case _:
                            self._say("250 fine")

            def _take(self) -> None:
                lines = []
                while (data := self.rfile.readline()) != b".\r\n":
                    lines.append(data.removeprefix(b".") if data.startswith(b"..") else data)
                double.messages.append(message_from_bytes(b"".join(lines)))

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


def loopback_certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that it signs itself, as one PEM file: the server's, and what to trust."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "double")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "double.pem"
    file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return file
