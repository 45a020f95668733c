"""Experiments: one record for each training run, finished or not, kept in the lake for the warehouse."""

from datetime import datetime
from typing import Any, Literal

from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake

FOLDER = "experiments"
Status = Literal["finished", "failed", "pruned"]


class ExperimentRow(Record):
    """One training run. `tag` is the model it made, or would have made; a trial of a search makes none.

    `hyperparameters` is what was learnt with, without paths; `tokens` are those of the training rows, prompts
    included, times the passes over them. `cost_usd` is None where hardware has no price set.
    """

    run_id: str
    tag: str | None
    persona: str
    stage: str
    profile: str
    parent: str | None
    datasets: dict[str, str]
    config_hash: str
    hyperparameters: dict[str, Any]
    code_version: str
    seed: int
    metrics: dict[str, float]
    rows: int
    tokens: int | None
    seconds: float
    cost_usd: float | None
    host: str
    status: Status
    error: str | None = None
    started_at: datetime
    study: str | None = None
    trial: int | None = None


def write_experiment(lake: Lake, row: ExperimentRow) -> str:
    """Store a run's record, replacing an older one of the same run; returns its URI."""
    return lake.write(f"{FOLDER}/{row.persona}/{row.run_id}.json", row.model_dump_json().encode())


def read_rows(lake: Lake, persona: str) -> list[ExperimentRow]:
    """All records of a persona, oldest first."""
    rows = [ExperimentRow.model_validate_json(lake.read(key)) for key in lake.keys(f"{FOLDER}/{persona}")]
    return sorted(rows, key=lambda row: row.started_at)
