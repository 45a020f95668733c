"""Login of the web page, and the guard in front of everything while TWIN_UI_PASSWORD is set."""

import math

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.ui_context import Config
from serving.ui_session import COOKIE, SESSION_SECONDS, Tries, same_secret, session_is_good, sign_session
from twin_assets.settings import Settings, load_settings

# Without a session: the page's files, the login, and what probes ask.
OPEN = ("/", "/ui/login", "/ui/session", "/health", "/healthz", "/readyz", "/livez", "/metrics")
OPEN_BELOW = "/ui/static/"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# A form or an image of another site can't set a header, so its posts don't pass.
UI_HEADER = "x-twin-ui"

router = APIRouter()
_tries = Tries()


class Login(BaseModel):
    password: str = Field(max_length=1000)


@router.get("/ui/session")
def session(request: Request, settings: Config) -> dict[str, bool]:
    """Whether a password is needed, and whether this browser has given it."""
    needed = _password(settings) is not None
    return {"needed": needed, "open": not needed or _signed_in(request, settings)}


@router.post("/ui/login", response_model=None)
def login(given: Login, request: Request, settings: Config) -> Response:
    """A session cookie for the right password; 429 after five wrong ones in a minute."""
    password, address = _password(settings), request.client.host if request.client else ""
    if wait := _tries.wait(address):
        return _error(
            429, "TooManyTries", "Too many wrong passwords.", "wait a minute.", {"Retry-After": str(math.ceil(wait))}
        )  # fmt: skip
    if password is None or not same_secret(given.password, password):
        _tries.failed(address)
        return _error(
            401, "WrongPassword", "That is not the password.", "it is the value of TWIN_UI_PASSWORD."
        )
    response = JSONResponse({"open": True})
    response.set_cookie(
        COOKIE, sign_session(settings.home, password), max_age=SESSION_SECONDS, httponly=True,
        samesite="strict", secure=_over_tls(request),
    )  # fmt: skip
    return response


@router.post("/ui/logout", response_model=None)
def logout() -> Response:
    response = JSONResponse({"open": False})
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


class Guard:
    """Refuses what has no session while a password is set, and any change that another site asks for.

    Programs may send the password as a bearer token. A plain ASGI middleware: streams pass untouched.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.settings = load_settings()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refused or self.app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        path = request.scope["path"]
        if path.startswith("/ui/") and request.method not in SAFE_METHODS:
            site = request.headers.get("sec-fetch-site", "same-origin")
            if UI_HEADER not in request.headers or site != "same-origin":
                return _error(
                    403,
                    "ForeignRequest",
                    "Another site asked for this.",
                    "use the page itself, or send X-Twin-UI: 1.",
                )
        if _password(self.settings) is None or path in OPEN or path.startswith(OPEN_BELOW):
            return None
        if _signed_in(request, self.settings) or _bears_password(request, self.settings):
            return None
        return _error(
            401,
            "LoginNeeded",
            "This needs a login.",
            "log in on the page, or send the password as a bearer token.",
        )


def _password(settings: Settings) -> str | None:
    return (settings.ui_password.get_secret_value() if settings.ui_password else "") or None


def _signed_in(request: Request, settings: Settings) -> bool:
    password, cookie = _password(settings), request.cookies.get(COOKIE)
    return bool(password and cookie and session_is_good(settings.home, password, cookie))


def _bears_password(request: Request, settings: Settings) -> bool:
    """The same limit on tries holds, so that the API is no way round the login page's."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    password, address = _password(settings), request.client.host if request.client else ""
    if kind.lower() != "bearer" or password is None or _tries.wait(address):
        return False
    if same_secret(token, password):
        return True
    _tries.failed(address)
    return False


def _over_tls(request: Request) -> bool:
    return request.headers.get("x-forwarded-proto", request.url.scheme) == "https"


def _error(
    status: int, kind: str, problem: str, fix: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    body = {"message": problem, "type": kind, "fix": fix}
    return JSONResponse({"error": body}, status_code=status, headers=headers)
