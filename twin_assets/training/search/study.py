"""Hyperparameter search with Optuna: every trial is a real training run, and bad ones are ended early.

The study lives under TWIN_HOME, so that a search that was stopped goes on. What it finds is a proposal; see
`tuned.py` for how a person takes it over.
"""

import math
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from twin_assets.core.datasets.rows import Manifest
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint
from twin_assets.core.models.profiles import Profile
from twin_assets.core.models.registry import ModelVersion
from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake
from twin_assets.settings import Settings
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.configs.overlays import TrainingStage, compose_config, config_hash
from twin_assets.training.configs.tuned import write_proposal
from twin_assets.training.experiments.records import record_run
from twin_assets.training.jobs import prepare_job
from twin_assets.training.search.data import tuning_dataset
from twin_assets.training.search.space import Space, load_space, shipped_values
from twin_assets.training.search.trials import Pruned, evaluation_plan, run_trial

STAGE: TrainingStage = "sft"
STARTUP_TRIALS = 3  # are never ended early: with fewer there is no telling what falls behind
MIN_GAIN = 0.01  # of the shipped loss; another seed moves it by as much
_SHIPPED = "shipped"  # marks the trial of the shipped values
_RETRIES = "retries"  # marks a trial that takes the place of one whose process died


class TrialFacts(Record):
    """One trial. `state` is complete, pruned or fail; `loss` the last evaluation loss that it reached."""

    number: int
    state: str
    values: dict[str, int | float]
    loss: float | None
    seconds: float
    shipped: bool = False


class SearchResult(Record):
    """What a study knows. `gain` is the share by which `best` beats the shipped values' loss; `proposal` is None when there is nothing better to propose."""

    study: str
    trials: list[TrialFacts]
    best: TrialFacts
    shipped: TrialFacts
    gain: float
    proposal: Path | None


def search(
    settings: Settings,
    lake: Lake,
    profile: Profile,
    base: ModelVersion,
    manifest: Manifest,
    trials: int,
    minutes: float,
    say: Callable[[str], None],
    space: Space | None = None,
    startup_trials: int = STARTUP_TRIALS,
) -> SearchResult:
    """Search for better SFT values of `profile` on an instruct dataset, for `trials` in all or `minutes` now.

    The first trial has the shipped values. A study of the same dataset, base, configuration and choices goes on where
    it was. Raises TwinError when the shipped values can't be trained, or the space varies what the profile doesn't set.
    """
    folder = settings.cache_dir / "search" / manifest.persona
    data = folder / f"data-{manifest.version}"
    tuning = tuning_dataset(lake, manifest, data)
    config = compose_config(profile, STAGE, base.path, data, folder, settings, tuning.counts)
    dimensions = space or load_space(STAGE)
    shipped = shipped_values(dimensions, config)
    if space and (unset := sorted(space.keys() - shipped.keys())):
        raise TwinError(
            f"The profile {profile.name} sets no number for {', '.join(unset)}.",
            f"vary what it sets, such as {', '.join(load_space(STAGE))}.",
        )
    parts = [
        manifest.persona,
        profile.name,
        STAGE,
        manifest.version,
        base.lineage.inputs_hash,
        config_hash(config),
    ]
    if choices := {name: one.choices for name, one in (space or {}).items() if one.choices}:
        parts.append(fingerprint(choices, 8))  # Optuna lets no study have other choices than it began with
    deadline = time.monotonic() + 60 * minutes

    def prepare(values: dict[str, Any]) -> TrainingJob:
        plan = evaluation_plan(tuning.counts["train"], config | values)
        return prepare_job(
            settings, profile, STAGE, base, tuning, data, manifest.persona, values | plan, runs="search/runs"
        )

    with FileLock(folder / "search.lock"):
        study = _open_study(settings, "-".join(parts), shipped, startup_trials)
        while (number := len(_ended(study))) < max(trials, 1):
            spent = [t.duration.total_seconds() for t in _ended(study) if t.duration]
            if spent and time.monotonic() + statistics.fmean(spent) > deadline:
                say(f"the time is up after {number} of {trials} trials; the next search goes on from here")
                break
            trial = study.ask()
            values = {
                dimension: dimensions[dimension].suggest(trial, dimension, value)
                for dimension, value in shipped.items()
            }
            state = _try(lake, settings, study, trial, prepare(values))
            say(f"trial {number + 1} of {trials}: {_shown(values)}: {state}")
    return _result(settings, manifest, profile, study)


def storage(settings: Settings) -> str:
    """Where Optuna keeps the studies of this installation."""
    path = settings.home / "search" / "studies.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"


def _open_study(settings: Settings, name: str, shipped: dict[str, Any], startup_trials: int) -> Any:
    """The study of that name; trials of a process that died are tried again."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage(settings),
        study_name=name,
        load_if_exists=True,
        direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=startup_trials),
    )
    # The same seed would suggest the same values again after a pause.
    study.sampler = optuna.samplers.TPESampler(seed=settings.seed + len(study.trials))
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs | {_RETRIES: trial.number})
    if not any(t.user_attrs.get(_SHIPPED) and t.state.name != "FAIL" for t in study.trials):
        study.enqueue_trial(shipped, user_attrs={_SHIPPED: True})
    return study


def _try(lake: Lake, settings: Settings, study: Any, trial: Any, job: TrainingJob) -> str:
    """Run one trial and tell the study and the experiments how it ended; returns that in words."""
    from optuna.trial import TrialState

    def falls_behind(number: int, loss: float) -> bool:
        trial.report(loss, number)
        # The shipped values are what all others are held against.
        return not trial.user_attrs.get(_SHIPPED) and bool(trial.should_prune())

    record = {"study": study.study_name, "trial": trial.number}
    try:
        loss = run_trial(job, falls_behind)
    except Pruned:
        study.tell(trial, state=TrialState.PRUNED)
        record_run(lake, settings, job, "pruned", **record)
        shutil.rmtree(job.model_dir, ignore_errors=True)
        return "ended early, behind the median of the trials before it"
    except TwinError as error:
        study.tell(trial, state=TrialState.FAIL)
        record_run(lake, settings, job, "failed", str(error), **record)
        if trial.user_attrs.get(_SHIPPED):
            raise  # without it there is nothing to compare with
        return f"failed: {error}"
    study.tell(trial, loss)
    record_run(lake, settings, job, **record)
    shutil.rmtree(job.model_dir, ignore_errors=True)  # a trial is for its loss
    return f"evaluation loss {loss:.4f}, best {study.best_value:.4f}"


def _ended(study: Any) -> list[Any]:
    """Trials that count: those whose process died are tried again, and count then."""
    again = {t.user_attrs.get(_RETRIES) for t in study.trials}
    return [t for t in study.trials if t.state.is_finished() and t.number not in again]


def _result(settings: Settings, manifest: Manifest, profile: Profile, study: Any) -> SearchResult:
    facts = [_facts(trial) for trial in _ended(study)]
    complete = [fact for fact in facts if fact.state == "complete"]
    best = min(complete, key=_loss)
    shipped = next(fact for fact in complete if fact.shipped)
    result = SearchResult(
        study=study.study_name,
        trials=facts,
        best=best,
        shipped=shipped,
        gain=1 - _loss(best) / _loss(shipped),
        proposal=None,
    )
    if result.gain < MIN_GAIN:
        return result
    changed = {name: value for name, value in best.values.items() if value != shipped.values.get(name)}
    evidence = {
        "dataset": manifest.version, "study": result.study, "shipped_eval_loss": shipped.loss,
        "best_eval_loss": best.loss, "gain": round(result.gain, 4), "seed": settings.seed,
        "trials": [fact.model_dump(mode="json") for fact in facts],
    }  # fmt: skip
    path = write_proposal(settings, manifest.persona, profile.name, STAGE, changed, evidence)
    return result.model_copy(update={"proposal": path})


def _loss(fact: TrialFacts) -> float:
    return math.inf if fact.loss is None else fact.loss


def _facts(trial: Any) -> TrialFacts:
    reached = trial.intermediate_values
    return TrialFacts(
        number=trial.number,
        state=trial.state.name.lower(),
        values=trial.params,
        loss=trial.value if trial.value is not None else (reached[max(reached)] if reached else None),
        seconds=round(trial.duration.total_seconds(), 1) if trial.duration else 0.0,
        shipped=bool(trial.user_attrs.get(_SHIPPED)),
    )


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())
