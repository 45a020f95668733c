"""Uploads of the Sources view: an export is streamed to the staging folder, previewed, and only then collected.

The preview is made by a process of its own (`core/uploads/preview.py`), one at a time; its state lies beside the
upload, so that every worker and a page that was loaded anew can tell it.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import ClientDisconnect

from serving.access.caller import Caller
from serving.access.dependencies import Asker, Config, PersonaName
from serving.access.needs import needs
from serving.errors import NotFoundError
from serving.page.dagster import DagsterDown, collect, dagster_url
from serving.page.sources import read_declaration
from serving.protocol import RequestBody
from serving.refusal import refusal
from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import Persona, load_persona, save_persona, source_part
from twin_assets.core.uploads.preview import MAX_SECONDS, PreviewReport, preview_apart
from twin_assets.core.uploads.staging import (
    CONTENT,
    KINDS,
    Incoming,
    Upload,
    cancel_upload,
    declared_with,
    keep_upload,
    kept_folder,
    kept_uploads,
    path_field,
    staged_folder,
    staged_uploads,
    sweep_staged,
    upload_of,
)
from twin_assets.settings import Settings

BLOCK_BYTES = 1_000_000
_READING, _READY, _FAILED = "reading", "report.json", "error.json"
# A sign of life of the thread that waits for a preview is never older.
BEAT_SECONDS = 5.0
LOST_SECONDS = 60.0

logger = logging.getLogger("serving")
router = APIRouter()


class State(BaseModel):
    """The state of an upload. `hidden` counts the texts of the report that the asker may not see, who unless
    `sees_all` isn't told what is left out either; `kept` are the uploads that the source is collected from already,
    beside which it may stand where the source takes `several`."""

    upload: Upload
    state: Literal["reading", "ready", "failed"]
    report: PreviewReport | None = None
    error: dict[str, str] | None = None
    hidden: int = 0
    sees_all: bool
    kept: list[Upload] = []
    several: bool = False


class Wish(RequestBody):
    """Collecting needs this besides: fields that the declaration must have, and the earlier upload that this replaces."""

    fields: dict[str, Annotated[str, Field(max_length=500)]] = Field({}, max_length=5)
    replaces: str | None = Field(None, pattern="^[0-9a-f]{32}$", max_length=32)


class Previews:
    """The previews that this process makes, one at a time, each by a process of its own. The application has one."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._running: dict[tuple[str, str], subprocess.Popen[bytes]] = {}  # by persona and upload

    def begin(self, settings: Settings, persona: str, upload: str) -> None:
        """Start the preview in a thread, unless one of it is on its way. Raises NotFoundError without the upload."""
        folder = _staged(settings, persona, upload)
        if _is_alive(folder):
            return
        for name in (_READY, _FAILED):
            (folder / name).unlink(missing_ok=True)
        (folder / _READING).touch(mode=0o600)
        threading.Thread(target=self._preview, args=(settings, persona, folder), daemon=True).start()

    def end(self, persona: str, upload: str) -> None:
        """End the preview where this process makes it."""
        if (process := self._running.get((persona, upload))) and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _preview(self, settings: Settings, persona: str, folder: Path) -> None:
        over = threading.Event()
        threading.Thread(target=_beat, args=(folder / _READING, over), daemon=True).start()
        key = (persona, folder.name)
        try:
            with self._one_at_a_time:
                who = load_persona(settings.personas_dir, persona)
                name = upload_of(folder).name or "the file"
                preview_apart(
                    who, folder / CONTENT, name, folder, lambda process: self._running.update({key: process})
                )
        except Exception as error:
            _fail(folder, error)
        finally:
            self._running.pop(key, None)
            over.set()
            with contextlib.suppress(OSError):
                (folder / _READING).unlink()


async def previews_of(request: Request) -> Previews:
    """The application's."""
    previews: Previews = request.app.state.previews
    return previews


Making = Annotated[Previews, Depends(previews_of)]


@router.post("/ui/api/{persona}/uploads", response_model=None)
@needs("admin", upload=True)
async def upload(
    persona: PersonaName,
    request: Request,
    settings: Config,
    previews: Making,
    name: Annotated[str, Query(max_length=1000)] = "",
) -> Any:
    """Stage the body of the request, which is the file itself, and begin its preview. `name` is for people only."""
    await anyio.to_thread.run_sync(sweep_staged, settings.home)
    expected = int(request.headers.get("content-length") or 0)
    incoming = await anyio.to_thread.run_sync(Incoming, settings.home, persona, name, expected)
    try:
        block = bytearray()
        async for piece in request.stream():
            block += piece
            if len(block) >= BLOCK_BYTES:
                await anyio.to_thread.run_sync(incoming.write, bytes(block))
                block.clear()
        await anyio.to_thread.run_sync(incoming.write, bytes(block))
        if not incoming.bytes:
            raise TwinError("The file is empty.", "choose another one.")
        staged = await anyio.to_thread.run_sync(incoming.keep)
    except ClientDisconnect:
        return refusal(400, "BrokenOff", "The upload broke off.", "upload it again.")
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(incoming.close)
    previews.begin(settings, persona, staged.id)
    return staged


@router.get("/ui/api/{persona}/uploads")
@needs("admin")
def uploads(persona: PersonaName, settings: Config) -> dict[str, Any]:
    """Uploads that are staged for the persona, and what one may be: its size, and the kinds that are read."""
    sweep_staged(settings.home)
    return {
        "max_mb": settings.upload_max_mb,
        "kinds": KINDS,
        "staged": staged_uploads(settings.home, persona),
    }


@router.get("/ui/api/{persona}/uploads/{upload}")
@needs("admin")
def state(persona: PersonaName, upload: str, asker: Asker, settings: Config) -> State:
    """How its preview stands: texts, and what is left out, only as far as the caller may see them."""
    folder = _staged(settings, persona, upload)
    status = State(upload=upload_of(folder), state="reading", sees_all=asker.may_see("private"))
    if _is_alive(folder):
        return status
    if (folder / _READY).exists():
        report = PreviewReport.model_validate_json((folder / _READY).read_text(encoding="utf-8"))
        status.state = "ready"
        status.report, status.hidden = _shown(report, asker)
        status.kept = kept_uploads(settings.home, load_persona(settings.personas_dir, persona), report.source)
        status.several = path_field(report.source)[1]
    elif (folder / _FAILED).exists():
        status.state, status.error = "failed", json.loads((folder / _FAILED).read_text(encoding="utf-8"))
    else:
        status.state = "failed"
        status.error = {"message": "Its preview was cut off.", "fix": "preview it again."}
    return status


@router.post("/ui/api/{persona}/uploads/{upload}/preview")
@needs("admin")
def preview_again(persona: PersonaName, upload: str, settings: Config, previews: Making) -> dict[str, str]:
    """Preview it anew, such as when the persona's names have changed."""
    _staged(settings, persona, upload)
    previews.begin(settings, persona, upload)
    return {"state": "reading"}


@router.delete("/ui/api/{persona}/uploads/{upload}")
@needs("admin")
def cancel(persona: PersonaName, upload: str, settings: Config, previews: Making) -> dict[str, str]:
    """Remove the staged file and end its preview. Nothing of it is left."""
    _staged(settings, persona, upload)
    previews.end(persona, upload)
    cancel_upload(settings.home, persona, upload)
    return {"removed": upload}


@router.post("/ui/api/{persona}/uploads/{upload}/collect")
@needs("admin")
def collect_upload(persona: PersonaName, upload: str, given: Wish, settings: Config) -> dict[str, Any]:
    """Declare it in the persona's YAML and start collecting; `down` says that Dagster is, and collects later."""
    folder = _staged(settings, persona, upload)
    if _is_alive(folder) or not (folder / _READY).exists():
        raise TwinError("It has no preview yet.", "wait for it; what it brings is for you to see first.")
    report = PreviewReport.model_validate_json((folder / _READY).read_text(encoding="utf-8"))
    if not report.pieces:
        raise TwinError("Nothing of it would be kept.", "see in the preview what is left out and why.")
    raw = read_declaration(settings, persona)
    place = kept_folder(settings.home, persona, report.source, upload)
    replaced = kept_folder(settings.home, persona, report.source, given.replaces) if given.replaces else None
    told = {name: given.fields[name].strip() for name in report.needs if given.fields.get(name, "").strip()}
    part = declared_with(raw.get(report.source), report.source, place / report.entry, replaced, **told)
    _check(report.source, part)
    keep_upload(settings.home, persona, report.source, upload, report.entry)
    raw[report.source] = part
    save_persona(settings.personas_dir, {name: raw[name] for name in Persona.model_fields if name in raw})
    url = dagster_url(settings)
    try:
        run = collect(settings, persona)
    except DagsterDown as error:
        down = {"message": error.problem, "fix": error.fix}
        return {"source": report.source, "run": None, "url": url, "down": down}
    return {"source": report.source, "run": run, "url": f"{url}/runs/{run}", "down": None}


def _check(source: str, part: dict[str, Any]) -> None:
    try:
        source_part(source).model_validate(part)
    except ValidationError as error:
        faults = "; ".join(f"{source}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise TwinError(f"The source needs more: {faults}.", "fill in those fields.") from None


def _shown(report: PreviewReport, asker: Caller) -> tuple[PreviewReport, int]:
    """The report without the texts that are not for this caller, and how many those are."""
    samples = [sample for sample in report.samples if asker.may_see(sample.visibility)]
    hidden = len(report.samples) - len(samples)
    left_out = report.left_out
    if not asker.may_see("private"):  # what is left out may be anything: drafts, letters, others' words
        left_out = [one.model_copy(update={"samples": []}) for one in left_out]
    return report.model_copy(update={"samples": samples, "left_out": left_out}), hidden


def _staged(settings: Settings, persona: str, upload: str) -> Path:
    folder = staged_folder(settings.home, persona, upload)
    if folder is None:
        raise NotFoundError("There is no such upload, or it is a day old.", "upload the file again.")
    return folder


def _is_alive(folder: Path) -> bool:
    try:
        return time.time() - (folder / _READING).stat().st_mtime < LOST_SECONDS
    except OSError:
        return False


def _beat(mark: Path, over: threading.Event) -> None:
    until = time.monotonic() + 10 * MAX_SECONDS
    while not over.wait(BEAT_SECONDS) and time.monotonic() < until:
        with contextlib.suppress(OSError):
            os.utime(mark)


def _fail(folder: Path, error: Exception) -> None:
    if not folder.is_dir():
        return  # it was cancelled meanwhile
    if not isinstance(error, TwinError):
        logger.exception("a preview failed")
        error = TwinError("The preview failed.", "see the service's log.")
    with contextlib.suppress(OSError):
        (folder / _FAILED).write_text(
            json.dumps({"message": error.problem, "fix": error.fix}), encoding="utf-8"
        )
