"""What tests of monitoring share."""

import pytest

from tests.support.machine import roomy_disk


@pytest.fixture(autouse=True)
def disk_with_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of a full disk fills its own."""
    roomy_disk(monkeypatch)
