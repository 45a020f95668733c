"""The web page: its files, and the data it shows. `install_ui` adds it all to an app."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from serving.access import login as ui_login
from serving.access.needs import ANYONE, needs
from serving.api import feedback as ui_feedback
from serving.page import blind as ui_blind
from serving.page import library as ui_library
from serving.page import library_files as ui_library_files
from serving.page import models as ui_models
from serving.page import monitoring as ui_monitoring
from serving.page import pairs as ui_pairs
from serving.page import sources as ui_sources
from serving.page import start as ui_start
from serving.page import uploads as ui_uploads
from twin_assets.core.storage.read_once import ReadOnce

WEB = Path(__file__).parents[1] / "web"
# Everything comes from here: a text that a model or a web site wrote can load and run nothing.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
@needs(ANYONE, cached=True)
def page() -> FileResponse:
    return FileResponse(WEB / "index.html", headers=PAGE_HEADERS)


def install_ui(app: FastAPI) -> None:
    """Serve the page at `/`, its data below `/ui/api`."""
    app.state.raw_facts = ReadOnce(ui_sources.read_facts, ui_sources.MOST_OBJECTS)
    app.state.previews = ui_uploads.Previews()
    app.include_router(router)
    for part in (
        ui_login,
        ui_start,
        ui_sources,
        ui_uploads,
        ui_library,
        ui_library_files,
        ui_models,
        ui_pairs,
        ui_monitoring,
    ):
        app.include_router(part.router, include_in_schema=False)
    for shown in (ui_feedback, ui_blind):
        app.include_router(shown.router)
    app.mount("/ui/static", needs(ANYONE, cached=True, logged=False)(StaticFiles(directory=WEB)))
