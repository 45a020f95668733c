"""Dagster's webserver behind our front: `python -m serving.dagster_web`, with the options of `dagster-webserver`.

By itself it runs what any web page asks for: it takes GraphQL mutations from the address of a GET, asks nobody who
they are, and looks at neither Host nor Origin. Never start it in another way where releases matter.
"""

import html
import math
from typing import Any
from urllib.parse import parse_qs

from dagster_webserver import cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from serving.access.front import Front
from serving.access.limits import RateLimit
from serving.access.session import TRIES, password_of, same_secret, set_session, signed_in, who_tries
from serving.access.shared_limits import Limits
from serving.access.this_machine import from_this_machine
from serving.refusal import refusal
from twin_assets.core.release.callers import NOBODY, PAGE_LOGIN
from twin_assets.settings import Settings, load_settings

LOGIN = "/twin_login"
# Probes ask these: they tell versions of Dagster, and nothing of ours.
OPEN = ("/server_info", LOGIN)
MAX_FORM_BYTES = 8_000
LOGIN_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
LOGIN_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Dagster: log in</title>
<meta name="viewport" content="width=device-width"><style>body {{ font: 16px sans-serif; margin: 20vh auto; width: 18em }}
input, button {{ font: inherit; width: 100%; box-sizing: border-box; margin: .3em 0 }}</style>
<form method="post" action="{login}"><label>Password of the web page
<input type="password" name="password" autocomplete="current-password" required autofocus></label>
<input type="hidden" name="next" value="{next}"><button>Log in</button><p role="alert">{problem}</p></form></html>"""


class FrontedWebserver(DagsterWebserver[Any, Any]):
    """Dagster's web application with a front, a login, and GraphQL by POST alone."""

    settings: Settings
    tries: RateLimit

    def build_middleware(self) -> list[Middleware]:
        front = Middleware(
            Front, hosts=self.settings.allowed_hosts, admit=self.admit, open_paths=OPEN, form_paths=(LOGIN,)
        )
        return [front, *super().build_middleware()]

    def build_routes(self) -> list[BaseRoute]:
        return [Route(LOGIN, self.log_in, methods=["POST"]), *super().build_routes()]

    def admit(self, request: HTTPConnection) -> str | Response:
        """The caller: whoever has given the page's password, or without one whoever sits at this machine."""
        if password_of(self.settings):
            return PAGE_LOGIN if signed_in(request, self.settings) else _login_needed(request)
        if self.settings.allow_anonymous or from_this_machine(request):
            return NOBODY
        return refusal(
            403,
            "NotOpen",
            "Without a password Dagster answers this machine only.",
            "set TWIN_UI_PASSWORD for Dagster and the twin alike.",
        )

    async def log_in(self, request: Request) -> Response:
        """A session, the same as the twin's page gives, for the right password; then the page that was asked for."""
        form = parse_qs((await _read(request)).decode(errors="replace"))
        given, next_page = form.get("password", [""])[0], _own_path(form.get("next", ["/"])[0])
        who = who_tries(request, self.settings)
        if wait := await run_in_threadpool(self.tries.wait, who):
            return _login_page(next_page, f"Too many wrong passwords: wait {math.ceil(wait)} seconds.", 429)
        password = password_of(self.settings)
        if password is None or not same_secret(given, password):
            return _login_page(
                next_page, "That is not the password: it is the value of TWIN_UI_PASSWORD.", 401
            )
        await run_in_threadpool(self.tries.give_back, who)
        answer = RedirectResponse(next_page, status_code=303)
        set_session(answer, request, self.settings, password)
        return answer

    async def graphql_http_endpoint(self, request: Request) -> Response:
        """Only what a POST carries is run; a GET shows the page to write queries on."""
        if request.method != "POST" and "text/html" not in request.headers.get("accept", ""):
            return refusal(
                405,
                "PostNeeded",
                "GraphQL is asked by POST.",
                "send the query as JSON in a POST.",
                {"Allow": "POST"},
            )
        return await super().graphql_http_endpoint(request)


def create_app(
    workspace_process_context: Any,
    path_prefix: str = "",
    live_data_poll_rate: int | None = None,
    **kwargs: Any,
) -> Starlette:
    """The application, in place of `dagster_webserver.app.create_app_from_workspace_process_context`."""
    server = FrontedWebserver(workspace_process_context, path_prefix, live_data_poll_rate)
    server.settings = load_settings()
    server.tries = Limits(server.settings).limit("tries", TRIES)  # counted with those on the twin's page
    return server.create_asgi_app(**kwargs)


def _login_needed(request: HTTPConnection) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return refusal(
            401, "LoginNeeded", "Dagster needs the login of the web page.", "log in on either page."
        )
    query = request.url.query
    return _login_page(_own_path(request.url.path + (f"?{query}" if query else "")), "", 401)


def _login_page(next_page: str, problem: str, status: int) -> Response:
    page = LOGIN_PAGE.format(login=LOGIN, next=html.escape(next_page), problem=html.escape(problem))
    return HTMLResponse(page, status_code=status, headers=LOGIN_HEADERS)


def _own_path(path: str) -> str:
    """A path here; never an address elsewhere that looks like one."""
    own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path[:2_000] if own else "/"


async def _read(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            return b""
    return body


if __name__ == "__main__":
    # Dagster's own command line, options and all, on our application.
    cli.create_app_from_workspace_process_context = create_app
    cli.main()
