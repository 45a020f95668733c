"""What tests share that take a part of the twin away and wait for it to be seen."""

from functools import partial

import pytest

from serving.readiness import Readiness
from serving.twin import answering


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service looks at its parts ten times as often as it does for others."""
    monkeypatch.setattr(answering, "Readiness", partial(Readiness, every=0.5))
