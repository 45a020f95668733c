"""What every home makes for itself once and all make alike, the converted embedder and the unpacked reference model: tests
make it once for this checkout, and lend it to their homes. Of each, that is half a minute of a processor."""

import os
import shutil
from functools import cache
from pathlib import Path

from filelock import FileLock

from twin_assets.core.embedding.embedder import _source
from twin_assets.core.embedding.engines import open_engine
from twin_assets.core.models.packaged import SMOLLM2, unpacked
from twin_assets.evaluation.sense.reference import ReferenceModel
from twin_assets.settings import ROOT

LENT = ROOT / ".twin" / "cache" / "lent"


def lend_embedder(home: Path) -> None:
    """Give a new home the embedder as its own first use would leave it."""
    shutil.copytree(_embedder(), home / "cache" / "embedder", copy_function=_link)


def lend_reference(home: Path) -> None:
    """Give a new home the reference model as its own first use would leave it."""
    shutil.copytree(unpacked(LENT).parent, home / "cache" / "reference", copy_function=_link)


def lent_reference() -> ReferenceModel:
    """The reference model where nothing but itself is cached."""
    return ReferenceModel(SMOLLM2, LENT)


@cache
def _embedder() -> Path:
    folder = LENT / "embedder"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(LENT / "embedder.lock"):  # whoever copies sees a whole one
        open_engine(_source("offline-minilm"), folder)
    return folder


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)
