"""A real PostgreSQL for what replicas count together, and settings that name it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres.server import Postgres, postgres
from twin_assets.settings import Settings


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


@pytest.fixture
def settings(server: Postgres, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=server.url)  # type: ignore[arg-type]
