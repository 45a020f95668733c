"""Dagster's own settings: written once, and brought up to date only where they are ours."""

from pathlib import Path

import pytest
import yaml

from twin_assets.core.storage.dagster_home import INSTANCE, ensure_dagster_home
from twin_assets.settings import Settings

OURS_OF_BEFORE = {name: value for name, value in INSTANCE.items() if name != "run_coordinator"}


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        (None, False),
        (OURS_OF_BEFORE, False),
        (OURS_OF_BEFORE | {"telemetry": {"enabled": True}}, True),
        ({}, True),
    ],
)
def test_settings_are_written_unless_somebody_else_wrote_some(
    tmp_path: Path, there: dict | None, kept: bool
) -> None:
    settings = Settings(home=tmp_path)
    path = settings.dagster_home / "dagster.yaml"
    if there is not None:
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(there))
    ensure_dagster_home(settings)
    assert yaml.safe_load(path.read_text()) == (there if kept else INSTANCE)
