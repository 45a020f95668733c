"""Trains a model version again from what was kept of it, and says whether the same came out.

Goes in: a tag of the registry. Comes out: a comparison of dataset, configuration, code, weights and metrics.
The registry is left as it is: the new model lies in the run's folder under the cache.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from twin_assets.core.datasets.erasure import erased_rows
from twin_assets.core.datasets.rows import Manifest, dataset_folder, kind_for
from twin_assets.core.datasets.store import read_manifest, stored_version
from twin_assets.core.errors import TwinError
from twin_assets.core.models.environment import environment
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.models.registry import Registry
from twin_assets.core.models.version import REWARD_FILE, Lineage, ModelVersion
from twin_assets.core.processes import run_within
from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake
from twin_assets.settings import WORK_DIR, Settings
from twin_assets.training.axolotl.failures import name_stop
from twin_assets.training.configs.job import TrainingJob, TrainingResult
from twin_assets.training.configs.overlays import config_hash, learnt_config, write_config
from twin_assets.training.jobs import TRAINING_CODE_VERSION, job_folder, prepare_job, read_result

# How far a metric may move between two trainings of the same inputs, relative to its value. The same machine
# repeats itself to the last digit; other hardware sums in another order, and a loss moves in its third digit.
NOISE = {"train_loss": 0.05, "eval_loss": 0.02}


class MetricChange(Record):
    """A metric of both trainings. `tolerance` is absolute, and None where a change means nothing (seconds)."""

    before: float
    after: float
    tolerance: float | None = None

    @property
    def within_noise(self) -> bool:
        return self.tolerance is None or abs(self.after - self.before) <= self.tolerance


class Rebuild(Record):
    """What came of training a version again, from the same dataset version and configuration.

    `environment` holds what differs: (then, now) by name.
    """

    tag: str
    folder: Path
    dataset: str
    config_hash: str
    same_code: bool
    metrics: dict[str, MetricChange]
    environment: dict[str, tuple[str, str]]

    @property
    def same(self) -> bool:
        """Whether every metric is within noise."""
        return all(change.within_noise for change in self.metrics.values())


def rebuild(
    settings: Settings, lake: Lake, tag: str, run: Callable[[TrainingJob], None] | None = None
) -> Rebuild:
    """Train the version again from its stored dataset version and configuration, and compare.

    `run` trains a prepared job; in a process of its own unless given. Raises TwinError before training when
    the version, its parent, its dataset or its configuration is not there, or is not what it was; and when
    the training fails.
    """
    registry = Registry(settings)
    version = registry.get(tag)
    manifest = _manifest(lake, version)
    parent = registry.get(version.lineage.parent or "")
    data = lake.local(dataset_folder(manifest.persona, manifest.kind, manifest.version))
    job = _as_it_was(settings, version, parent, manifest, data)
    (job.folder / "result.json").unlink(missing_ok=True)
    (run or run_here)(job)
    result = read_result(job)
    if result is None:
        raise name_stop(job, "no result was left")
    return Rebuild(
        tag=tag,
        folder=job.folder,
        dataset=manifest.version,
        config_hash=config_hash(job.config),
        same_code=version.lineage.code_version == TRAINING_CODE_VERSION,
        metrics=_compare(version, result),
        environment=_differences(version.about.environment, environment() | result.environment),
    )


def run_here(job: TrainingJob) -> None:
    """Train in a process of its own on this machine, and wait for it. Raises TwinError that says why it failed."""
    command = [sys.executable, "-m", "twin_assets.training.axolotl.run", str(job.file)]
    ended = run_within(
        (job.hours + 1) * 3600, "The rebuild", "set TWIN_TRAINING_HOURS higher.", command, cwd=WORK_DIR
    )
    if ended.returncode:
        raise name_stop(job, f"status {ended.returncode}")


def _manifest(lake: Lake, version: ModelVersion) -> Manifest:
    lineage = version.lineage
    if lineage.stage == "base":
        raise TwinError(
            f"{version.tag} is a base model: it is fetched or built, not trained from a dataset.",
            "name a version trained from it.",
        )
    kind = kind_for(lineage.stage)
    dataset = lineage.datasets[kind]
    try:
        manifest = read_manifest(lake, lineage.persona, kind, dataset)
    except KeyError:
        raise TwinError(
            f"The {kind} dataset {dataset} that trained {version.tag} is not in the lake.",
            "set TWIN_LAKE_URL to the lake it was written to.",
        ) from None
    if erased := erased_rows(lake, lineage.persona, kind, dataset):
        raise TwinError(
            f"{len(erased.rows)} rows of the {kind} dataset {dataset} that trained {version.tag} were erased by {erased.at:%Y-%m-%d}.",
            "train a new version: what was erased is not to be learnt again.",
        )
    if stored_version(lake, manifest) != dataset:
        raise TwinError(
            f"The files of the {kind} dataset {dataset} are not those that trained {version.tag}.",
            "bring them back from a backup: a version never changes.",
        )
    return manifest


def _as_it_was(
    settings: Settings, version: ModelVersion, parent: ModelVersion, manifest: Manifest, data: Path
) -> TrainingJob:
    """The version's job in a folder of its own, with the configuration that it was trained with."""
    if not version.config_file.is_file():
        raise TwinError(
            f"{version.tag} has no training configuration with it.", "train it again from its dataset."
        )
    lineage = version.lineage
    # Only where things lie is taken from the profile: what is learnt comes from the stored file.
    job = prepare_job(
        settings.model_copy(update={"seed": lineage.seed}),
        load_profile(lineage.profile),
        lineage.stage,
        parent,
        manifest,
        data,
        lineage.persona,
        runs="rebuilds",
        reward=_reward(settings, lineage) if lineage.reward else None,
    )
    stored = yaml.safe_load(version.config_file.read_text())
    job = job.model_copy(update={"config": _with_learnt(job.config, stored), "lineage": lineage})
    if config_hash(job.config) != lineage.config_hash:
        raise TwinError(
            f"The configuration stored with {version.tag} is not the one that trained it.",
            "pull the version again.",
        )
    write_config(job.config, job.config_file)
    job.file.write_text(job.model_dump_json(indent=2))
    return job


def _reward(settings: Settings, lineage: Lineage) -> str:
    """What GRPO's reward was made of: the author's writing as it was, which only the training's own folder keeps."""
    path = job_folder(settings, lineage) / REWARD_FILE
    if not path.is_file():
        raise TwinError(
            f"What rewarded {lineage.tag} is not in {path.parent}.",
            "rebuild it where it was trained, or materialise dpo_model, which makes it of today's corpus.",
        )
    return path.read_text(encoding="utf-8")


def _with_learnt(composed: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """The stored values of what is learnt, and the composed ones of where and how the run happens."""
    learnt = learnt_config(composed)
    here = {name: value for name, value in composed.items() if name not in learnt}
    formats = stored["formats"]
    datasets = [f | {"path": d["path"]} for f, d in zip(formats, composed["datasets"], strict=True)]
    kept = {name: value for name, value in stored.items() if name != "formats"}
    return kept | here | {"datasets": datasets}


def _compare(version: ModelVersion, result: TrainingResult) -> dict[str, MetricChange]:
    return {
        name: MetricChange(
            before=before,
            after=result.metrics.get(name, math.nan),
            tolerance=NOISE[name] * abs(before) if name in NOISE else None,
        )
        for name, before in version.metrics.items()
    }


def _differences(then: dict[str, str], now: dict[str, str]) -> dict[str, tuple[str, str]]:
    names = sorted(then.keys() | now.keys()) if then else []
    pairs = {name: (then.get(name, "none"), now.get(name, "none")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
