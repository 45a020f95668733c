"""Sessions of the web page: a signed expiry in a cookie, and a limit on tries of the password.

Nothing is stored a session, so it survives a restart; changing the password ends all of them.
"""

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections import defaultdict
from pathlib import Path

COOKIE = "twin_session"
SESSION_SECONDS = 12 * 3600
TRIES = 5
TRY_WINDOW_SECONDS = 60.0


def sign_session(home: Path, password: str) -> str:
    """A cookie value that is good for 12 hours."""
    expires = str(int(time.time()) + SESSION_SECONDS)
    return f"{expires}.{_signature(home, password, expires)}"


def session_is_good(home: Path, password: str, cookie: str) -> bool:
    """Whether we signed this cookie, for this password, and its time is not over."""
    expires, _, signature = cookie.partition(".")
    if not expires.isascii() or not expires.isdigit():
        return False
    good = hmac.compare_digest(signature.encode(), _signature(home, password, expires).encode())
    return good and int(expires) > time.time()


def same_secret(given: str, known: str) -> bool:
    """Compare in constant time, whatever the lengths."""
    digests = [hashlib.sha256(text.encode()).digest() for text in (given, known)]
    return hmac.compare_digest(*digests)


def _signature(home: Path, password: str, expires: str) -> str:
    key = _secret(home) + hashlib.sha256(password.encode()).digest()
    return hmac.new(key, expires.encode(), hashlib.sha256).hexdigest()


def _secret(home: Path) -> bytes:
    path = home / "ui_secret"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        staged = home / f".ui_secret.{secrets.token_hex(4)}"
        with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(staged, path)  # two processes may start at once; the first one's secret holds
        except FileExistsError:
            pass
        finally:
            staged.unlink()
    return path.read_bytes()


class Tries:
    """Wrong passwords by address: five a minute, then none until the oldest is a minute old."""

    def __init__(self) -> None:
        self._wrong: dict[str, list[float]] = defaultdict(list)
        self._lock = threading.Lock()

    def wait(self, address: str) -> float:
        """Seconds until the address may try again; 0 when it may now."""
        with self._lock:
            recent = self._recent(address)
            return TRY_WINDOW_SECONDS - (time.monotonic() - recent[0]) if len(recent) >= TRIES else 0.0

    def failed(self, address: str) -> None:
        with self._lock:
            self._recent(address).append(time.monotonic())

    def _recent(self, address: str) -> list[float]:
        now = time.monotonic()
        for known in list(self._wrong):  # forget old addresses too, or the memory grows with every visitor
            self._wrong[known] = [t for t in self._wrong[known] if now - t < TRY_WINDOW_SECONDS]
            if not self._wrong[known]:
                del self._wrong[known]
        return self._wrong[address]
