"""A proxy that lets nothing through, and remembers who asked."""

import socket
import threading


class SilentProxy:
    """Counts connections on `url` while it is open."""

    def __enter__(self) -> "SilentProxy":
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.asked: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # closed
                return
            with connection:
                connection.settimeout(2)
                self.asked.append(connection.recv(200).decode(errors="replace"))
