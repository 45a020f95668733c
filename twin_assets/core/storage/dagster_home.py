"""Dagster's own settings, written once: telemetry and pop-ups off, one slot for each scarce thing."""

import yaml

from twin_assets.core.storage.private import private_home
from twin_assets.settings import Settings

# Pools are named by the assets in `defs/`. DuckDB has one writer; a training fills the machine.
INSTANCE = {
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "run_coordinator": {"module": "twin_assets.defs.run_coordinator", "class": "CallersRunCoordinator"},
    "concurrency": {"pools": {"default_limit": 1, "granularity": "op"}, "runs": {"max_concurrent_runs": 4}},
}


def ensure_dagster_home(settings: Settings) -> None:
    """Create DAGSTER_HOME with a `dagster.yaml`. One that is there is left alone, unless it is ours of before decisions named
    their caller, unchanged. Other accounts may not look into home."""
    private_home(settings.home)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    path = settings.dagster_home / "dagster.yaml"
    before = {name: value for name, value in INSTANCE.items() if name != "run_coordinator"}
    if not path.exists() or yaml.safe_load(path.read_text()) == before:
        path.write_text(yaml.safe_dump(INSTANCE, sort_keys=False))
