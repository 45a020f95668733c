"""The cookies of the web page's browsers: a session, and the mark of a device that has logged in before.

Both are signed, and nothing is stored of them, so they survive a restart; changing the password ends all of them.
"""

import hashlib
import hmac
import secrets
import time
from pathlib import Path

from itsdangerous import BadSignature, Signer
from starlette.requests import HTTPConnection
from starlette.responses import Response

from serving.access.kept_secret import kept_secret
from serving.access.limits import network_of
from twin_assets.settings import Settings

COOKIE = "twin_session"
DEVICE_COOKIE = "twin_device"
SESSION_SECONDS = 12 * 3600
DEVICE_SECONDS = 365 * 24 * 3600
# Wrong passwords of one device or network in a minute; then one more every twelve seconds.
TRIES = 5


def password_of(settings: Settings) -> str | None:
    """The page's password, None where there is none."""
    return (settings.ui_password.get_secret_value() if settings.ui_password else "") or None


def signed_in(request: HTTPConnection, settings: Settings) -> bool:
    """Whether the browser has given the page's password."""
    password, cookie = password_of(settings), request.cookies.get(COOKIE)
    return bool(password and cookie and session_is_good(settings.home, password, cookie))


def set_session(response: Response, request: HTTPConnection, settings: Settings, password: str) -> None:
    """Give the browser a session and the mark of a device, in cookies that no script reads and no other site's request
    carries."""
    over_tls = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    for name, value, seconds in (
        (COOKIE, sign_session(settings.home, password), SESSION_SECONDS),
        (DEVICE_COOKIE, sign_device(settings.home, password), DEVICE_SECONDS),
    ):
        response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="strict", secure=over_tls)


def who_tries(request: HTTPConnection, settings: Settings) -> str:
    """The name that wrong passwords are counted by: the browser where it has logged in before, else its network."""
    password, mark = password_of(settings), request.cookies.get(DEVICE_COOKIE, "")
    device = known_device(settings.home, password, mark) if password else None
    return (
        f"device {device}" if device else f"login {network_of(request.client.host if request.client else '')}"
    )


def sign_session(home: Path, password: str) -> str:
    """A cookie value that is good for 12 hours."""
    return _signer(home, password, "session").sign(str(int(time.time()) + SESSION_SECONDS)).decode()


def session_is_good(home: Path, password: str, cookie: str) -> bool:
    """Whether we signed this cookie, for this password, and its time is not over."""
    expires = _signed_by_us(_signer(home, password, "session"), cookie)
    return expires is not None and int(expires) > time.time()


def sign_device(home: Path, password: str) -> str:
    """A cookie value for a browser that gave the password."""
    return _signer(home, password, "device").sign(secrets.token_hex(16)).decode()


def known_device(home: Path, password: str, cookie: str) -> str | None:
    """The id of the device that we signed this cookie for, with this password; None for any other."""
    return _signed_by_us(_signer(home, password, "device"), cookie)


def same_secret(given: str, expected: str) -> bool:
    """Compare in constant time, whatever the lengths."""
    digests = [hashlib.sha256(text.encode()).digest() for text in (given, expected)]
    return hmac.compare_digest(*digests)


def _signer(home: Path, password: str, what: str) -> Signer:
    key = kept_secret(home / "ui_secret") + hashlib.sha256(password.encode()).digest()
    return Signer(key, salt=what, key_derivation="hmac", digest_method=hashlib.sha256)


def _signed_by_us(signer: Signer, cookie: str) -> str | None:
    try:
        return signer.unsign(cookie).decode()
    except BadSignature:
        return None
