"""What tests of monitoring share."""

import shutil

import pytest


@pytest.fixture(autouse=True)
def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has room, whatever that of the machine has: a full one is told of at every look, and a test of it fills its own."""
    real = shutil.disk_usage

    def usage(path: str) -> object:
        found = real(path)
        return found._replace(free=found.total)

    monkeypatch.setattr(shutil, "disk_usage", usage)
