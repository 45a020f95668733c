"""Dagster's own settings, written once: telemetry and pop-ups off, one slot for each scarce thing, what becomes of runs whose
process died, and the database that runs and events are kept in."""

import os

import yaml

from twin_assets.core.storage.database import URL, database_url
from twin_assets.core.storage.private import private_home
from twin_assets.settings import Settings

# Pools are named by the assets in `defs/`. DuckDB has one writer; a training fills the machine. A run whose process was killed is
# started once more, since trainings and crawls go on where they stopped; one that failed is for a person to see. It would hold
# its slot of a pool for ever otherwise. A year of ticks that found nothing is no record that anybody reads.
INSTANCE = {
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "run_coordinator": {"module": "twin_assets.defs.run_coordinator", "class": "CallersRunCoordinator"},
    "concurrency": {"pools": {"default_limit": 1, "granularity": "op"}, "runs": {"max_concurrent_runs": 4}},
    "run_monitoring": {"enabled": True, "free_slots_after_run_end_seconds": 60},
    "run_retries": {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False},
    "retention": {
        "schedule": {"purge_after_days": 90},
        "sensor": {"purge_after_days": {"skipped": 2, "failure": 30, "success": 90}},
        "auto_materialize": {"purge_after_days": {"skipped": 2, "failure": 30, "success": 90}},
    },
}
_NEWER = ({"run_coordinator"}, {"run_monitoring", "run_retries", "retention"})  # what each release added
# The address has a password in it, and stands in the environment alone.
STORAGE = {"storage": {"postgres": {"postgres_url": {"env": URL}}}}


def ensure_dagster_home(settings: Settings) -> None:
    """Create DAGSTER_HOME with a `dagster.yaml`. One that is there is left alone, unless it is ours of a release before, or
    of another database, unchanged. Other accounts may not look into home."""
    private_home(settings.home)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    url = database_url(settings)
    if url:
        os.environ.setdefault(URL, url)  # Dagster reads no `.env`
    path = settings.dagster_home / "dagster.yaml"
    ours, before = INSTANCE, [INSTANCE, INSTANCE | STORAGE]
    for added in reversed(_NEWER):
        ours = {name: value for name, value in ours.items() if name not in added}
        before.append(ours)
    if not path.exists() or yaml.safe_load(path.read_text()) in before:
        path.write_text(yaml.safe_dump(INSTANCE | STORAGE if url else INSTANCE, sort_keys=False))
