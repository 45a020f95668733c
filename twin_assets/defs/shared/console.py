"""What a terminal shows of a run: short progress lines. What the tools print goes to a log file."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import dagster as dg

_terminal: TextIO | None = None


def say(line: str) -> None:
    """Print a line for the person at the terminal, also inside `only_progress`."""
    print(line, file=_terminal or sys.stdout, flush=True)


@contextmanager
def only_progress(log_file: Path) -> Iterator[None]:
    """Inside, the terminal gets only what `say` prints and what assets log.

    Everything else that this process or its children print (dbt, Scrapy, Axolotl, native libraries) is
    appended to `log_file`. File descriptors are swapped, because native code and children write past
    `sys.stdout`.
    """
    global _terminal
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with os.fdopen(os.dup(saved[0]), "w", encoding="utf-8") as terminal, log_file.open("ab") as log:
        _terminal = terminal
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, original in zip((1, 2), saved, strict=True):
                os.dup2(original, number)
                os.close(original)
            _terminal = None


class _Progress(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        message = meta.get("orig_message") or record.getMessage()
        if meta.get("dagster_event"):  # Dagster's own word on a failed step: the walk says it better
            return
        say(f"    {meta.get('step_key') or 'run'}: {message}")


@dg.logger(
    config_schema={"log_level": dg.Field(str, default_value="INFO", is_required=False)},
    description="Short lines for a terminal; the Dagster UI keeps the whole event log.",
)
def compact_console(init_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("twin", level=init_context.logger_config["log_level"])
    logger.addHandler(_Progress())
    return logger
