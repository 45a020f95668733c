"""Runs a training job in a pod: dagster-k8s carries the log, and the wait for the pod's start says what it waits for.

dagster-k8s and Kubernetes' own library are an extra, and slow to import: they are, when a training goes to a pod. Dagster
imports this file with the others of `defs`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings
from twin_assets.training.axolotl.pod import Image, pod_labels, pod_spec
from twin_assets.training.configs.job import TrainingJob

if TYPE_CHECKING:
    from dagster_k8s import PipesK8sClient

_POLL = 2.0  # seconds between two looks at the pod
_POD = "TWIN_KUBERNETES_POD"


def train_in_pod(context: dg.OpExecutionContext, settings: Settings, job: TrainingJob) -> None:
    """Train to the end in a pod of the settings' cluster.

    Raises what Pipes raises when the run fails, TwinError when it can't start.
    """
    from kubernetes.client.exceptions import ApiException

    from twin_assets.training.axolotl.pod_start import refusal

    namespace, pods = settings.kubernetes_namespace, _pods(settings)
    pods._load_k8s_config()
    try:
        pods.run(
            context=context,
            namespace=namespace,
            base_pod_meta={"labels": pod_labels(job)},
            base_pod_spec=pod_spec(settings, job, _image(settings)),
            pod_wait_timeout=(job.hours + 1) * 3600,  # the training itself ends an hour before
        )
    except ApiException as error:
        # Removing a pod that somebody removed fails, and hides what its removal broke off.
        if error.status == 404 and error.__context__:
            raise error.__context__ from None
        raise refusal(error, namespace) from None


def _pods(settings: Settings) -> "PipesK8sClient":
    """The client that makes a pod and follows its log, from when the pod has started."""
    from dagster_k8s import PipesK8sClient

    from twin_assets.training.axolotl.pod_start import wait_for_start

    class StartedPods(PipesK8sClient):
        @contextmanager
        def consume_pod_logs(
            self, context: Any, client: Any, namespace: str, pod_name: str, *others: Any, **named: Any
        ) -> Iterator[None]:
            patience = settings.kubernetes_start_minutes * 60
            wait_for_start(client.core_api, namespace, pod_name, patience, context.log.info)
            with super().consume_pod_logs(context, client, namespace, pod_name, *others, **named):
                yield

    kubeconfig = settings.kubernetes_kubeconfig
    return StartedPods(kubeconfig_file=str(kubeconfig) if kubeconfig else None, poll_interval=_POLL)


def _image(settings: Settings) -> Image | None:
    """The one that the settings name, or the one of the pod that this process runs in."""
    from kubernetes.client import CoreV1Api

    if settings.kubernetes_image or not settings.kubernetes_pod:
        return Image(name=settings.kubernetes_image) if settings.kubernetes_image else None
    pod = CoreV1Api().read_namespaced_pod(settings.kubernetes_pod, settings.kubernetes_namespace)
    ours = [c for c in pod.spec.containers if any(v.name == _POD for v in c.env or [])]
    if not ours:
        raise TwinError(
            f"No container of the pod {settings.kubernetes_pod} has the variable {_POD}, so none is ours.",
            "set TWIN_KUBERNETES_IMAGE, or the variable as deploy/kubernetes/base/dagster.yaml does.",
        )
    secrets = [secret.name for secret in pod.spec.image_pull_secrets or []]
    return Image(name=ours[0].image, pull_secrets=secrets)
