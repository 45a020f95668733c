"""The campaign's short form: a few attacks of each kind, always the same. `make chaos` has the full one."""

import importlib
from pathlib import Path

import pytest

from tests.chaos.report import Part

SEED = 11


@pytest.mark.parametrize("name", ["killed", "full_disk", "ill_bucket", "fuzzed_api", "injected"])
def test_nothing_is_lost_nothing_comes_twice_nothing_breaks(name: str, tmp_path: Path) -> None:
    part = Part(name, SEED, False, tmp_path / name)
    importlib.import_module(f"tests.chaos.{name}").run(part)
    assert part.tried
    assert (part.lost, part.twice, part.broken) == ([], [], [])
