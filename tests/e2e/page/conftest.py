"""What tests of the page share: one browser and one released twin a file, and pages on which nothing may go wrong."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.released_twin import ReleasedTwin
from tests.e2e.web_browser import Pages, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def pages(browser: Any) -> Iterator[Pages]:
    """Opened for one test, which fails with whatever went wrong on them."""
    opened = Pages(browser)
    yield opened
    opened.close()
    assert opened.troubles == []


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> ReleasedTwin:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWIN_HOME", str(home))  # the embedder is made ready once, for the services too
        return ReleasedTwin(home)
