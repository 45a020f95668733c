"""What the web page's browsers carry: a session, and the mark of a device that has logged in before.

Both are signed, and nothing is stored of them, so they survive a restart; changing the password ends all of them.
"""

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

from twin_assets.core.private import private_file, private_home

COOKIE = "twin_session"
DEVICE_COOKIE = "twin_device"
SESSION_SECONDS = 12 * 3600
DEVICE_SECONDS = 365 * 24 * 3600


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


def sign_device(home: Path, password: str) -> str:
    """A cookie value for a browser that gave the password."""
    device = secrets.token_hex(16)
    return f"{device}.{_signature(home, password, f'device {device}')}"


def known_device(home: Path, password: str, cookie: str) -> str | None:
    """The id of the device that we signed this cookie for, with this password; None for any other."""
    device, _, signature = cookie.partition(".")
    good = hmac.compare_digest(signature.encode(), _signature(home, password, f"device {device}").encode())
    return device if good else None


def same_secret(given: str, known: str) -> bool:
    """Compare in constant time, whatever the lengths."""
    digests = [hashlib.sha256(text.encode()).digest() for text in (given, known)]
    return hmac.compare_digest(*digests)


def _signature(home: Path, password: str, signed: str) -> str:
    key = _secret(home) + hashlib.sha256(password.encode()).digest()
    return hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()


def _secret(home: Path) -> bytes:
    path = home / "ui_secret"
    if not path.exists():
        private_home(home)
        staged = home / f".ui_secret.{secrets.token_hex(4)}"
        with private_file(staged) as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(staged, path)  # two processes may start at once; the first one's secret holds
        except FileExistsError:
            pass
        finally:
            staged.unlink()
    return path.read_bytes()
