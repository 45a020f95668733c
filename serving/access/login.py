"""Login of the web page, and the marks that tell its requests from others. `middleware` decides who may do what."""

import math

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from serving.access.dependencies import Config
from serving.access.front import CHANGES
from serving.access.keys import KEY_SHAPE
from serving.access.limits import RateLimit, network_of
from serving.access.needs import ANYONE, needs
from serving.access.session import COOKIE, password_of, same_secret, set_session, signed_in, who_tries
from serving.refusal import refusal
from twin_assets.settings import Settings

# Anybody may send a login, so it may hold a password and little else.
LOGIN_BYTES = 10_000
# A form or an image of another site can't set a header, so its posts don't pass.
UI_HEADER = "x-twin-ui"

router = APIRouter()


class Login(BaseModel):
    model_config = ConfigDict(strict=True)

    password: str = Field(max_length=1000)


@router.get("/ui/session")
@needs(ANYONE)
def session(request: Request, settings: Config) -> dict[str, bool]:
    """Whether a password is needed, and whether this browser has given it."""
    needed = password_of(settings) is not None
    return {"needed": needed, "open": not needed or signed_in(request, settings)}


@router.post("/ui/login", response_model=None)
@needs(ANYONE, most_bytes=LOGIN_BYTES)
def login(given: Login, request: Request, settings: Config) -> Response:
    """A session cookie for the right password; 429 after five wrong ones in a minute.

    They are counted for the browser where it has logged in before, else for the address: whoever shares an address
    with others is not kept out by what those try.
    """
    password, tries = password_of(settings), _tries(request)
    who = who_tries(request, settings)
    if wait := tries.wait(who):
        return too_many_tries(wait)
    if password is None or not same_secret(given.password, password):
        return refusal(
            401, "WrongPassword", "That is not the password.", "it is the value of TWIN_UI_PASSWORD."
        )
    tries.give_back(who)
    response = JSONResponse({"open": True})
    set_session(response, request, settings, password)
    return response


@router.post("/ui/logout", response_model=None)
@needs("admin")
def logout() -> Response:
    response = JSONResponse({"open": False})
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def foreign_change(request: Request) -> Response | None:
    """The refusal of a change through the page's data that the page itself did not ask for."""
    if request.scope["path"].startswith("/ui/") and request.method in CHANGES:
        site = request.headers.get("sec-fetch-site", "same-origin")
        if UI_HEADER not in request.headers or site != "same-origin":
            return refusal(
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


def bears_password(request: Request, settings: Settings) -> bool | Response:
    """Whether the bearer token is the password; the refusal of one more try where there were too many.

    A token that looks like a key is no try of the password: keys are revoked while their holders go on asking. Tries
    here are counted apart from the login page's, so that a program with a wrong token keeps nobody from logging in.
    """
    token, password, tries = bearer(request), password_of(settings), _tries(request)
    if not token or password is None or KEY_SHAPE.fullmatch(token):
        return False
    who = f"bearer {_network(request)}"
    if wait := tries.wait(who):
        return too_many_tries(wait)
    right = same_secret(token, password)
    if right:
        tries.give_back(who)
    return right


def too_many_tries(wait: float) -> Response:
    headers = {"Retry-After": str(math.ceil(wait))}
    return refusal(429, "TooManyTries", "Too many wrong passwords.", "wait, then try again.", headers)


def _tries(request: Request) -> RateLimit:
    tries: RateLimit = request.app.state.tries
    return tries


def _network(request: Request) -> str:
    return network_of(request.client.host if request.client else "")
