"""The whole HTTP application of the twin: API, web page, and what stands in front of them."""

import logging

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from serving.access.keys import Keys
from serving.access.middleware import Access
from serving.access.needs import needs
from serving.access.session import TRIES
from serving.access.shared_limits import Limits
from serving.api import completions as api_write
from serving.api import drafts as api_drafts
from serving.api import erase as api_erase
from serving.api import ideas, links, mcp, threads
from serving.api import info as api_info
from serving.api import publishing as api_publishing
from serving.api.document import Documented
from serving.errors import ERRORS, install_error_handlers
from serving.page.routes import install_ui
from serving.telemetry import log_json
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import open_lake
from twin_assets.settings import Settings

logger = logging.getLogger("serving")
EXPOSED = ["X-Request-ID", "X-Twin-Degraded", "Retry-After"]


def create_app(settings: Settings) -> FastAPI:
    """The application; whoever serves it sets `app.state.answers` to an AnswerService before the first request."""
    app = Documented(
        title="LLM Twin",
        version="1",
        openapi_url="/docs.json",
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
    )
    app.state.settings = settings  # one installation, also for the page
    limits = Limits(settings)
    app.state.tries = limits.limit("tries", TRIES)
    for route in app.routes:  # FastAPI's own: /docs.json
        if isinstance(route, Route):
            needs("read")(route.endpoint)
    install_error_handlers(app)
    for part in (api_write, ideas, api_drafts, api_publishing, threads, links, mcp, api_info, api_erase):
        app.include_router(part.router)
    install_ui(app)
    app.add_middleware(Access, settings=settings, limits=limits)
    if settings.cors_origins:
        # Outermost, so that refusals too can be read. No cookies: other sites ask with a key.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=EXPOSED,
        )
    log_json()
    return app


def say_who_may_ask(settings: Settings) -> None:
    """One line at the start, so that an open service is no surprise."""
    try:
        any_keys = Keys(open_lake(settings)).any
    except TwinError as error:
        logger.warning("nobody with an API key is let in until the lake is read: %s", error)
        return
    if any_keys:
        logger.info("API keys are asked for")
    elif settings.ui_password:
        logger.info("the page's password is asked for; no API keys are configured")
    elif settings.allow_anonymous:
        logger.warning("OPEN: no API keys and no password; whoever reaches this service may use it")
    else:
        logger.warning("no API keys and no password: open to this machine only (twin keys create)")
