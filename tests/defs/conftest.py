"""What tests of the graph share."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest


@pytest.fixture
def local_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster with a storage of its own on disk, which knows no persona yet."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as local:
        yield local


@pytest.fixture
def instance(local_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """The same with two of them."""
    local_instance.add_dynamic_partitions("personas", ["ola", "runa"])
    return local_instance
