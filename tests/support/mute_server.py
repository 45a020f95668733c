"""A server that takes every connection and never says a word."""

import socket
import threading


class MuteServer:
    """Listens on `url` as a context manager."""

    def __enter__(self) -> "MuteServer":
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._held: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._held:
            connection.close()

    def _listen(self) -> None:
        while True:
            try:
                self._held.append(self._server.accept()[0])
            except OSError:  # closed
                return
