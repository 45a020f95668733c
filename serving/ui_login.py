"""Login of the web page, and what tells its requests from others. `access` decides who may what."""

import math

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from serving.errors import error_body
from serving.ui_context import Config
from serving.ui_session import COOKIE, Tries, same_secret, set_session
from serving.ui_session import password_of as password_of
from serving.ui_session import signed_in as signed_in
from twin_assets.settings import Settings

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
    needed = password_of(settings) is not None
    return {"needed": needed, "open": not needed or signed_in(request, settings)}


@router.post("/ui/login", response_model=None)
def login(given: Login, request: Request, settings: Config) -> Response:
    """A session cookie for the right password; 429 after five wrong ones in a minute."""
    password, address = password_of(settings), request.client.host if request.client else ""
    if wait := _tries.wait(address):
        return error(
            429, "TooManyTries", "Too many wrong passwords.", "wait a minute.", {"Retry-After": str(math.ceil(wait))}
        )  # fmt: skip
    if password is None or not same_secret(given.password, password):
        _tries.failed(address)
        return error(
            401, "WrongPassword", "That is not the password.", "it is the value of TWIN_UI_PASSWORD."
        )
    response = JSONResponse({"open": True})
    set_session(response, request, settings, password)
    return response


@router.post("/ui/logout", response_model=None)
def logout() -> Response:
    response = JSONResponse({"open": False})
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def foreign_change(request: Request) -> Response | None:
    """The refusal of a change through the page's data that the page itself did not ask for."""
    if request.scope["path"].startswith("/ui/") and request.method not in SAFE_METHODS:
        site = request.headers.get("sec-fetch-site", "same-origin")
        if UI_HEADER not in request.headers or site != "same-origin":
            return error(
                403,
                "ForeignRequest",
                "Another site asked for this.",
                "use the page itself, or send X-Twin-UI: 1.",
            )
    return None


def bearer(request: Request) -> str:
    """The bearer token of a request; empty for none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def bears_password(request: Request, settings: Settings) -> bool:
    """The same limit on tries holds, so that the API is no way round the login page's."""
    token = bearer(request)
    password, address = password_of(settings), request.client.host if request.client else ""
    if not token or password is None or _tries.wait(address):
        return False
    if same_secret(token, password):
        return True
    _tries.failed(address)
    return False


def error(
    status: int, kind: str, problem: str, fix: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(error_body(kind, problem, fix), status_code=status, headers=headers)
