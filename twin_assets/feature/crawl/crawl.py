"""Crawls one source in a process of its own and hands back its report, streaming the log meanwhile."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from twin_assets.core.persona.definition import Persona
from twin_assets.core.processes import time_limit, took_too_long
from twin_assets.feature.crawl.items import CrawlReport
from twin_assets.settings import WORK_DIR, Settings

__all__ = ["CrawlReport", "crawl_source"]


def crawl_source(
    settings: Settings, persona: Persona, source: str, on_line: Callable[[str], None]
) -> CrawlReport:
    """Crawl one source of a persona; `on_line` gets each line of the log.

    What was fetched is stored before this returns, also when the crawl failed in part: then
    `report.error` says what, and how to mend it.
    """
    with tempfile.TemporaryDirectory(prefix="twin-crawl-") as folder:
        path = Path(folder) / "report.json"
        command = [sys.executable, "-m", "twin_assets.feature.crawl.run", "--persona", "-"]
        command += ["--source", source, "--report", str(path)]
        last, seconds = "", settings.crawl_hours * 3600
        with (
            subprocess.Popen(
                command,
                env=_environment(settings),
                cwd=WORK_DIR,
                text=True,
                errors="replace",
                start_new_session=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as process,
            time_limit(process, seconds) as late,
        ):
            # However it ends, what it fetched stays in its part file for the next run.
            assert process.stdin
            assert process.stdout
            with contextlib.suppress(BrokenPipeError):  # it died early; its last words say why
                process.stdin.write(persona.model_dump_json())
                process.stdin.close()
            for line in process.stdout:
                last = line.rstrip() or last
                on_line(line.rstrip())
            process.wait()
        if late.is_set():
            fix = "crawl again, what was fetched will be recovered; a large source needs a higher TWIN_CRAWL_HOURS."
            error = str(took_too_long(f"The {source} crawl", seconds, fix))
            return CrawlReport(persona=persona.name, source=source, error=error)
        if path.exists():
            return CrawlReport.model_validate_json(path.read_text())
    return CrawlReport(
        persona=persona.name,
        source=source,
        error=f"The {source} crawl ended with status {process.returncode} and no report; its last words: "
        f"{last or 'none'}. Fix: crawl again, what was fetched will be recovered.",
    )


def _as_text(value: Any) -> str:
    """A setting as the environment has it: lists and tables as JSON, paths as they are from everywhere, secrets bare."""

    def plain(one: Any) -> Any:
        if isinstance(one, list):
            return [plain(part) for part in one]
        if isinstance(one, dict):
            return {name: plain(part) for name, part in one.items()}
        if isinstance(one, SecretStr):
            return one.get_secret_value()
        return str(one.absolute()) if isinstance(one, Path) else one

    bare = plain(value)
    return json.dumps(bare) if isinstance(bare, list | dict) else str(bare)


def _environment(settings: Settings) -> dict[str, str]:
    """This process's environment with exactly these settings; secrets travel here, never as arguments."""
    environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("TWIN_")}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None:
            environment[f"TWIN_{name.upper()}"] = _as_text(value)
    for name in type(settings).model_fields:
        if name.endswith("_token"):
            environment.setdefault(f"TWIN_{name.upper()}", "")  # else the child might take one from .env
    return environment
