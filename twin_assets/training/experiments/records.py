"""Turns training runs into experiment records, and reads them back from the warehouse to compare them."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.core.storage.experiments import ExperimentRow, Status, write_experiment
from twin_assets.core.storage.lake import Lake
from twin_assets.settings import Settings
from twin_assets.training.axolotl.reporting.progress import point_metrics
from twin_assets.training.axolotl.rows import read_tokens
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.configs.overlays import learnt_config
from twin_assets.training.jobs import read_history, read_result


class Experiment(Record):
    """A row of the mart: a run with what its evaluation found, where it was evaluated.

    Losses are in nats a token; they compare within a stage and a dataset. `voice_gain` is the voice figure
    of the candidate minus that of the base model with prompt and retrieval; of margins in reports without figures.
    """

    run_id: str
    tag: str | None = None
    stage: str
    profile: str
    dataset: str
    status: str
    study: str | None = None
    started_at: datetime
    seconds: float
    cost_usd: float | None = None
    tokens: int | None = None
    rows: int
    train_loss: float | None = None
    eval_loss: float | None = None
    voice_gain: float | None = None
    sense_share: float | None = None
    voice_figure: float | None = None
    voice_margin: float | None = None
    copied_share: float | None = None
    refusal_rate: float | None = None
    hyperparameters: str


def record_run(
    lake: Lake,
    settings: Settings,
    job: TrainingJob,
    status: Status = "finished",
    error: str | None = None,
    study: str | None = None,
    trial: int | None = None,
) -> ExperimentRow | None:
    """Write the record of a job's latest run; the same run, the same record.

    A finished job whose run was elsewhere (a pulled model) leaves none: None is returned.
    """
    row = _row(settings, job, status, error)
    if row is None:
        return None
    row = row.model_copy(update={"study": study, "trial": trial, "tag": None if study else row.tag})
    write_experiment(lake, row)
    return row


def read_experiments(warehouse: Path, persona: str) -> list[Experiment]:
    """The runs of a persona, oldest first; what the mart of an older home lacks is None. Raises TwinError when it was never
    built."""
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            result = connection.execute(
                "select * from experiments where persona = ? order by started_at, run_id", [persona]
            )
            names = [column[0] for column in result.description or []]
            rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
            return [
                Experiment(**{name: row[name] for name in Experiment.model_fields if name in row})
                for row in rows
            ]
    except (duckdb.CatalogException, duckdb.IOException):
        raise TwinError(
            f"{warehouse.name} has no experiments that can be read.", "materialise `experiments`."
        ) from None


def _row(settings: Settings, job: TrainingJob, status: Status, error: str | None) -> ExperimentRow | None:
    if status == "finished":
        result = read_result(job)
        if result is None:
            return None
        metrics, seconds = result.metrics, result.metrics["seconds"]
        started = _changed_at(job.folder / "result.json") - timedelta(seconds=seconds)
    else:
        metrics = point_metrics(read_history(job))
        started = _changed_at(job.file)  # the job is written right before it runs
        seconds = (datetime.now(UTC) - started).total_seconds()
    tokens = read_tokens(job)
    passes = float(job.config.get("num_epochs", 1))
    price = settings.hardware_usd_per_hour
    lineage = job.lineage
    return ExperimentRow(
        run_id=f"{started:%Y%m%dT%H%M%S}-{lineage.stage}-{lineage.inputs_hash}",
        tag=lineage.tag,
        **lineage.model_dump(
            include={
                "persona",
                "stage",
                "profile",
                "parent",
                "datasets",
                "config_hash",
                "code_version",
                "seed",
            }
        ),
        hyperparameters=_flat(job),
        metrics=metrics,
        rows=job.rows["train"],
        tokens=round(tokens * passes) if tokens and status == "finished" else None,
        seconds=round(seconds, 1),
        cost_usd=round(seconds / 3600 * price, 6) if price else None,
        host=socket.gethostname(),
        status=status,
        error=error,
        started_at=started,
    )


def _flat(job: TrainingJob) -> dict[str, object]:
    """Single values of the configuration; lists as text, so that every one is a column or a label."""
    learnt = {k: v for k, v in learnt_config(job.config).items() if k not in ("formats", "plugins")}
    return {k: v if isinstance(v, str | int | float | bool) else str(v) for k, v in learnt.items()}


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
