"""Connections to Weaviate: a server, Weaviate Cloud or an embedded binary, one a process and address."""

import atexit
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

import grpc
import httpx
import weaviate
from pydantic import SecretStr
from weaviate import WeaviateClient
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.connect import ConnectionParams
from weaviate.embedded import EmbeddedOptions
from weaviate.exceptions import (
    InsufficientPermissionsError,
    UnexpectedStatusCodeError,
    WeaviateBaseError,
    WeaviateClosedClientError,
    WeaviateConnectionError,
    WeaviateRetryError,
    WeaviateStartUpError,
    WeaviateTimeoutError,
)

from twin_assets.core.errors import TwinError
from twin_assets.core.vectors.away import StoreAway
from twin_assets.settings import Settings

EMBEDDED = "embedded"
EMBEDDED_PORT = 8079
GRPC_ANSWERS_WITHIN = 5.0  # seconds
CONFIG = AdditionalConfig(timeout=Timeout(init=5, query=30, insert=120))

_START = (
    "start it (`docker compose -f deploy/compose.yaml up -d` starts one), or set TWIN_WEAVIATE_URL to one "
    "that runs; TWIN_VECTOR_STORE=lancedb needs none."
)
_UNREACHABLE = (
    WeaviateConnectionError, WeaviateStartUpError, WeaviateClosedClientError, WeaviateRetryError, WeaviateTimeoutError,
    httpx.HTTPError, OSError,
)  # fmt: skip
# What a server says that goes, or comes, or is behind a proxy that misses it; and a channel that was given up meanwhile.
_AWAY_STATUS = (502, 503, 504)
_AWAY_CODES = (
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
)  # fmt: skip

# What the client logs of a write that failed quotes the texts.
logging.getLogger("weaviate-client").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class WeaviateServer:
    """Where a Weaviate is. `url` is checked by `server_of`; `folder` is for the embedded one."""

    url: str
    grpc_port: int
    api_key: SecretStr | None
    folder: Path

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turn what the client raises into a TwinError that names the URL and never the key; StoreAway where nobody
        answers."""
        try:
            yield
        except ValueError as error:
            if "closed channel" not in str(error):
                raise
            raise StoreAway(
                f"The connection to Weaviate at {self.url} was given up ({doing}).", _START
            ) from None
        except (WeaviateBaseError, httpx.HTTPError, grpc.RpcError, OSError) as error:
            # `from None`: what the client raises can quote the header that carries the key.
            raise self._as_twin_error(error, doing) from None

    @property
    def _key_in_words(self) -> str:
        return "the key in TWIN_WEAVIATE_API_KEY" if self.api_key else "a request without a key"

    def _as_twin_error(self, error: Exception, doing: str) -> TwinError:
        text = " ".join(str(error).split())[:500]
        if self.api_key is not None:
            text = text.replace(self.api_key.get_secret_value(), "…")
        status = error.status_code if isinstance(error, UnexpectedStatusCodeError) else None
        if status == 403 or isinstance(error, InsufficientPermissionsError) or "forbidden" in text.lower():
            return TwinError(
                f"Weaviate at {self.url} does not allow this to {self._key_in_words} ({doing}): {text}",
                "give it the right to read and write the collection, its tenants and its schema, or set "
                "TWIN_WEAVIATE_API_KEY to a key that has it.",
            )
        if status == 401 or "unauthorized" in text.lower() or "unauthenticated" in text.lower():
            return TwinError(
                f"Weaviate at {self.url} refused {self._key_in_words} ({doing}).",
                "set TWIN_WEAVIATE_API_KEY to a key that it knows and that may read and write.",
            )
        if self.url == EMBEDDED and isinstance(error, _UNREACHABLE):
            return TwinError(
                f"The embedded Weaviate did not start: {text}",
                "its first start downloads the program, and one process at a time can run it: use a server "
                "(deploy/compose.yaml, TWIN_WEAVIATE_URL) where that does not fit.",
            )
        if _is_away(error) or status in _AWAY_STATUS:
            return StoreAway(f"No Weaviate answers at {self.url} ({doing}): {text}", _START)
        return TwinError(
            f"Weaviate at {self.url} failed ({doing}): {text}",
            "see the server's log; what was stored before stays, and the same call can be repeated.",
        )


def _is_away(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised for, says that nobody answers."""
    while error is not None:
        if isinstance(error, _UNREACHABLE):
            return True
        if isinstance(error, grpc.RpcError) and getattr(error, "code", lambda: None)() in _AWAY_CODES:
            return True
        error = error.__cause__ or error.__context__
    return False


def server_of(settings: Settings) -> WeaviateServer:
    """The Weaviate that the settings name. TwinError when they name none, or one that can't be."""
    url, key = settings.weaviate_url, _key(settings)
    if not url:
        raise TwinError(
            "The vector store is weaviate, but TWIN_WEAVIATE_URL is not set.",
            "set it to http[s]://host:port, a Weaviate Cloud URL, or embedded; or TWIN_VECTOR_STORE=lancedb.",
        )
    server = WeaviateServer(url.rstrip("/"), settings.weaviate_grpc_port, key, settings.home / "weaviate")
    if url == EMBEDDED:
        return server
    if not _is_address(server.url, server.grpc_port):
        raise TwinError(
            "TWIN_WEAVIATE_URL is no http[s]://host:port beside TWIN_WEAVIATE_GRPC_PORT.",
            "leave out any path, user or password from it, and give the two another port each.",
        )
    if _is_cloud(server.url) and key is None:
        raise TwinError(f"Weaviate Cloud ({server.url}) needs a key.", "set TWIN_WEAVIATE_API_KEY.")
    return server


def _key(settings: Settings) -> SecretStr | None:
    text = settings.weaviate_api_key.get_secret_value().strip() if settings.weaviate_api_key else ""
    if not all("!" <= c <= "~" for c in text):
        # The HTTP library would refuse it too, but with the key in its words.
        raise TwinError("TWIN_WEAVIATE_API_KEY has characters that no key has.", "copy the key again.")
    return SecretStr(text) if text else None


def _is_address(url: str, grpc_port: int) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = parts.scheme in ("http", "https") and parts.hostname and not parts.path and not parts.username
    return bool(plain) and port != grpc_port


def _is_cloud(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith((".weaviate.cloud", ".weaviate.network"))


class _Shared:
    """A connection, opened when it is first asked for; `users` have it."""

    def __init__(self) -> None:
        self.client: WeaviateClient | None = None
        self.users, self.given_up = 0, False
        self.connecting = Lock()


class WeaviateConnections:
    """Connections by server, each open while somebody uses it.

    Shared, because an embedded Weaviate can only be started once, and because connecting costs round trips.
    """

    def __init__(self) -> None:
        self._open: dict[WeaviateServer, _Shared] = {}
        self._lock = Lock()  # never held while a server is asked

    def use(self, server: WeaviateServer) -> None:
        """Count a user of this server's connection. Pair with `release`."""
        with self._lock:
            self._open.setdefault(server, _Shared()).users += 1

    def client(self, server: WeaviateServer) -> WeaviateClient:
        """The connection to a server that is in use, opened when there is none. Raises TwinError."""
        with self._lock:
            shared = self._open.setdefault(server, _Shared())
        with shared.connecting:
            if shared.client is None:
                with server.explained("connect"):
                    shared.client = _connect(server)
            if shared.given_up:  # while it was opened
                shared.client.close()
            return shared.client

    def give_up(self, server: WeaviateServer) -> None:
        """Close a connection that failed, whoever uses it: the next call opens another.

        A channel that lost its server waits up to two minutes before it looks for it again.
        """
        with self._lock:
            if server in self._open:
                new = _Shared()
                new.users = self._open[server].users
                _close(self._open[server])
                self._open[server] = new

    def release(self, server: WeaviateServer) -> None:
        """Close the connection when nobody else uses it."""
        with self._lock:
            if server not in self._open:
                return
            shared = self._open[server]
            shared.users -= 1
            if shared.users <= 0:
                _close(self._open.pop(server))

    def close(self) -> None:
        """Close what is open, whoever uses it."""
        with self._lock:
            for shared in self._open.values():
                _close(shared)
            self._open.clear()


def _close(shared: _Shared) -> None:
    shared.given_up = True
    if shared.client is not None:
        shared.client.close()


# The process's, closed when it ends: stores are opened in many places, and share it.
CONNECTIONS = WeaviateConnections()
atexit.register(CONNECTIONS.close)


def _connect(server: WeaviateServer) -> WeaviateClient:
    key = Auth.api_key(server.api_key.get_secret_value()) if server.api_key else None
    if _is_cloud(server.url) and key is not None:
        return weaviate.connect_to_weaviate_cloud(
            server.url, auth_credentials=key, additional_config=CONFIG, skip_init_checks=True
        )
    # The client's own checks at the start also ask a package index for its newest version.
    if server.url == EMBEDDED:
        options = EmbeddedOptions(
            persistence_data_path=str(server.folder / "data"),
            binary_path=str(server.folder / "bin"),
            port=EMBEDDED_PORT,
            grpc_port=server.grpc_port,
            additional_env_vars={"DISABLE_TELEMETRY": "true", "ENABLE_MODULES": ""},
        )
        client = WeaviateClient(embedded_options=options, additional_config=CONFIG, skip_init_checks=True)
    else:
        client = WeaviateClient(
            ConnectionParams.from_url(server.url, server.grpc_port),
            auth_client_secret=key,
            additional_config=CONFIG,
            skip_init_checks=True,
        )
    try:
        client.connect()
        _check_grpc(server)
    except (KeyError, TypeError, ValueError):
        client.close()
        raise TwinError(f"What answers at {server.url} is no Weaviate.", _START) from None
    except BaseException:
        client.close()
        raise
    return client


def _check_grpc(server: WeaviateServer) -> None:
    # Without it, a closed gRPC port shows only after a minute of the client's retries.
    host = "127.0.0.1" if server.url == EMBEDDED else urlsplit(server.url).hostname
    try:
        socket.create_connection((host, server.grpc_port), GRPC_ANSWERS_WITHIN).close()
    except OSError as error:
        raise TwinError(
            f"Weaviate answers at {server.url}, but not on its gRPC port {server.grpc_port}: {error}",
            "open that port on the server, or set TWIN_WEAVIATE_GRPC_PORT to the one it has.",
        ) from None
