"""Sessions of the web page: a signed expiry in a cookie, and a limit on tries of the password.

Nothing is stored a session, so it survives a restart; changing the password ends all of them.
"""

import hashlib
import hmac
import threading
import time
from collections import defaultdict
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.responses import Response

from serving.kept_secret import kept_secret
from twin_assets.settings import Settings

COOKIE = "twin_session"
SESSION_SECONDS = 12 * 3600
TRIES = 5
TRY_WINDOW_SECONDS = 60.0


def password_of(settings: Settings) -> str | None:
    """The page's password, None where there is none."""
    return (settings.ui_password.get_secret_value() if settings.ui_password else "") or None


def signed_in(request: HTTPConnection, settings: Settings) -> bool:
    """Whether the browser has given the page's password."""
    password, cookie = password_of(settings), request.cookies.get(COOKIE)
    return bool(password and cookie and session_is_good(settings.home, password, cookie))


def set_session(response: Response, request: HTTPConnection, settings: Settings, password: str) -> None:
    """Give the browser a session, in a cookie that no script reads and no other site's request carries."""
    over_tls = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    response.set_cookie(
        COOKIE, sign_session(settings.home, password), max_age=SESSION_SECONDS, httponly=True,
        samesite="strict", secure=over_tls,
    )  # fmt: skip


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
    key = kept_secret(home / "ui_secret") + hashlib.sha256(password.encode()).digest()
    return hmac.new(key, expires.encode(), hashlib.sha256).hexdigest()


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
