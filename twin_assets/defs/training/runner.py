"""Runs a training job where the setting says: as a process here (which may lead Ray workers), or as a
pod. Dagster Pipes carries the log and ends the run when it is cancelled."""

import importlib.util
import sys

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.settings import ROOT, Settings
from twin_assets.training.axolotl import pod
from twin_assets.training.configs.job import TrainingJob

_EXTRAS = {"kubernetes": ("dagster_k8s", "k8s"), "ray": ("ray", "scale")}  # module, extra that brings it
_POLL = 2.0  # seconds between two looks at the pod


def run_training(
    context: dg.OpExecutionContext, pipes: dg.PipesSubprocessClient, settings: Settings, job: TrainingJob
) -> None:
    """Train to the end. Raises what Pipes raises when the run fails, TwinError when it can't start."""
    _check_extra(settings.training_runner)
    key = settings.wandb_api_key
    env = {"WANDB_API_KEY": key.get_secret_value()} if key else {}
    if settings.training_runner == "kubernetes":
        _run_pod(context, settings, job)
    else:
        command = [sys.executable, "-m", "twin_assets.training.axolotl.run", str(job.file)]
        pipes.run(context=context, command=command, env=env, cwd=str(ROOT))


def _run_pod(context: dg.OpExecutionContext, settings: Settings, job: TrainingJob) -> None:
    from dagster_k8s import PipesK8sClient

    kubeconfig = settings.kubernetes_kubeconfig
    client = PipesK8sClient(kubeconfig_file=str(kubeconfig) if kubeconfig else None, poll_interval=_POLL)
    client.run(
        context=context,
        namespace=settings.kubernetes_namespace,
        base_pod_meta={"labels": {"twin/persona": job.lineage.persona, "twin/stage": job.stage}},
        base_pod_spec=pod.pod_spec(settings, job),
        pod_wait_timeout=(job.hours + 1) * 3600,  # the training itself ends an hour before
    )


def _check_extra(runner: str) -> None:
    if runner not in _EXTRAS:
        return
    module, extra = _EXTRAS[runner]
    if importlib.util.find_spec(module) is None:
        raise TwinError(
            f"TWIN_TRAINING_RUNNER={runner} needs the package {module}, which is not installed.",
            f"pip install -c constraints.txt -e '.[{extra}]'",
        )
