"""What a preview of an export says, and how one is made: by a process of its own, bounded in time and memory."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import Category, Visibility
from twin_assets.core.text.apart import PASSED_ON
from twin_assets.settings import WORK_DIR

MAX_SECONDS = 300
MAX_MEMORY = 4_000_000_000  # bytes of address space; an account of ten years has its posts in one file


class LeftOut(BaseModel):
    """What is left out for one reason: how many, and the first few of them (a path, an address, first words)."""

    reason: str
    count: int
    samples: list[str] = []


class SampleText(BaseModel):
    """A kept piece as it was cleaned (`voice_text`), cut at the end if it is long."""

    title: str | None
    category: Category
    visibility: Visibility
    published_at: datetime | None
    language: str | None
    words: int
    text: str
    cut: bool = False


class PreviewReport(BaseModel):
    """What collecting a file would bring.

    `pieces` would be stored, by category and visibility; `left_out` would not. Of the `judged` pieces (all, unless
    that took too long) `dropped` says which would not be learnt from, and why; `languages`, `words` and `samples`
    are of the others. `entry` is the path below the prepared folder that the persona's YAML would name, and
    `needs` are fields that it must have besides.
    """

    name: str
    source: str
    kind: str
    entry: str
    needs: list[str] = []
    pieces: int = 0
    categories: dict[str, int] = {}
    visibilities: dict[str, int] = {}
    partial: int = 0
    undated: int = 0
    first: datetime | None = None
    last: datetime | None = None
    left_out: list[LeftOut] = []
    judged: int = 0
    dropped: dict[str, int] = {}
    languages: dict[str, int] = {}
    words: int = 0
    samples: list[SampleText] = []
    warnings: list[str] = []


class PreviewFailed(TwinError):
    """The file can't be previewed; what is wrong with it, and the fix."""


def preview_apart(
    persona: Persona,
    path: Path,
    name: str,
    into: Path,
    on_start: Callable[["subprocess.Popen[bytes]"], object] | None = None,
) -> PreviewReport:
    """Recognise a file (or folder), lay it out below `into` as its spider reads it, and say what it would bring.

    `name` is what the file was called; `on_start` gets the process, whose group may be killed. Nothing is stored in the lake and nothing is asked over the network. Raises
    PreviewFailed for what is of no known kind, broken or harmful, and past the limits.
    """
    report = into / "report.json"
    command = [sys.executable, "-m", "twin_assets.feature.crawl.preview", str(path.absolute()), str(into.absolute())]  # fmt: skip
    # No tokens: a preview has no use for them.
    environment = {key: value for key, value in os.environ.items() if key in PASSED_ON}
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = persona.model_dump_json() + "\n" + name
    with subprocess.Popen(
        command,
        env=environment,
        cwd=WORK_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        if on_start:
            on_start(process)
        try:
            _, said = process.communicate(given.encode("utf-8", "surrogatepass"), timeout=MAX_SECONDS)
        except subprocess.TimeoutExpired:
            raise _too_much(name) from None
        finally:
            with contextlib.suppress(ProcessLookupError):  # also what it started, such as a converter
                os.killpg(process.pid, signal.SIGKILL)
    words = said.decode(errors="replace").strip()
    if process.returncode == 2:
        problem, _, fix = words.rpartition("\n")
        raise PreviewFailed(problem, fix)
    if process.returncode:
        last = words.splitlines()[-1][:200] if words else ""
        raise (
            _too_much(name)
            if "MemoryError" in words or not words
            else PreviewFailed(
                f"{name}: the preview failed ({last}).", "collect it from the terminal, whose log says more."
            )
        )
    return PreviewReport.model_validate_json(report.read_text(encoding="utf-8"))


def _too_much(name: str) -> PreviewFailed:
    return PreviewFailed(
        f"{name} can't be read within {MAX_SECONDS} s and {MAX_MEMORY / 1e9:.0f} GB.",
        "split it, or name it in the persona's YAML and collect it from the terminal.",
    )
