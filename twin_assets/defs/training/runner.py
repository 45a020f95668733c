"""Runs a training job where the setting says: as a process here (which may lead Ray workers), or as a
pod. Dagster Pipes carries the log and ends the run when it is cancelled."""

import importlib.util
import sys

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.defs.training.kubernetes import train_in_pod
from twin_assets.settings import WORK_DIR, Settings
from twin_assets.training.axolotl.failures import name_stop
from twin_assets.training.configs.job import TrainingJob

_EXTRAS = {"kubernetes": ("dagster_k8s", "k8s"), "ray": ("ray", "scale")}  # module, extra that brings it


def run_training(
    context: dg.OpExecutionContext, pipes: dg.PipesSubprocessClient, settings: Settings, job: TrainingJob
) -> None:
    """Train to the end. Raises TwinError that names why it could not start, or what it failed of."""
    _check_extra(settings.training_runner)
    try:
        _train(context, pipes, settings, job)
    except TwinError:
        raise
    except Exception as error:  # Dagster does not export what Pipes raises when the process failed
        raise name_stop(job, str(error)) from None


def _train(
    context: dg.OpExecutionContext, pipes: dg.PipesSubprocessClient, settings: Settings, job: TrainingJob
) -> None:
    key = settings.wandb_api_key
    env = {"WANDB_API_KEY": key.get_secret_value()} if key else {}
    if settings.training_runner == "kubernetes":
        train_in_pod(context, settings, job)
    else:
        command = [sys.executable, "-m", "twin_assets.training.axolotl.run", str(job.file)]
        pipes.run(context=context, command=command, env=env, cwd=str(WORK_DIR))


def _check_extra(runner: str) -> None:
    if runner not in _EXTRAS:
        return
    module, extra = _EXTRAS[runner]
    if importlib.util.find_spec(module) is None:
        raise TwinError(
            f"TWIN_TRAINING_RUNNER={runner} needs the package {module}, which is not installed.",
            f"pip install -c constraints.txt -e '.[{extra}]'",
        )
