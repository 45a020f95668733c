"""What the platform writes is for the account that it runs under: writing that is closed, texts of requests, hashes of keys."""

import logging
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

logger = logging.getLogger(__name__)


@lru_cache
def private_home(home: Path) -> Path:
    """The folder of everything, made, and closed to other accounts where it was open: what lies below is then closed
    too, whoever of the platform's parts (DuckDB, Dagster, BentoML, LanceDB) made it and with which mode."""
    private_folder(home)
    mode = home.stat().st_mode
    if mode & _OTHERS:
        try:
            home.chmod(stat.S_IMODE(mode) & ~_OTHERS)
        except OSError:
            logger.warning("other accounts may read %s, and this one may not change that: chmod it", home)
    return home


def private_folder(folder: Path) -> Path:
    """The folder, with those above it; what is made here is for its owner alone (mode 0700), and outlives a power cut."""
    missing = []
    above = folder
    while not above.is_dir():
        missing.append(above)
        above = above.parent
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
        sync_folder(one.parent)
    return folder


def sync_folder(folder: Path) -> None:
    """Names in a folder are data of the folder: without this a power cut may take a file that was stored."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_file(path: Path) -> BinaryIO:
    """A new file for its owner alone (mode 0600), to be written. Raises FileExistsError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
