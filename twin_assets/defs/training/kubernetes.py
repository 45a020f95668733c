"""Runs a training job in a pod: dagster-k8s carries the log, and the wait for the pod's start says what it waits for."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster_k8s import PipesK8sClient
from dagster_k8s.client import DagsterKubernetesClient
from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings
from twin_assets.training.axolotl.pod import Image, pod_labels, pod_spec
from twin_assets.training.axolotl.pod_start import refusal, wait_for_start
from twin_assets.training.configs.job import TrainingJob

_POLL = 2.0  # seconds between two looks at the pod
_POD = "TWIN_KUBERNETES_POD"


class TrainingPods(PipesK8sClient):
    """Makes a pod a training, in the cluster of the settings."""

    def __init__(self, settings: Settings) -> None:
        kubeconfig = settings.kubernetes_kubeconfig
        super().__init__(kubeconfig_file=str(kubeconfig) if kubeconfig else None, poll_interval=_POLL)
        self._settings = settings

    def train(self, context: dg.OpExecutionContext, job: TrainingJob) -> None:
        """Train to the end. Raises what Pipes raises when the run fails, TwinError when it can't start."""
        namespace = self._settings.kubernetes_namespace
        self._load_k8s_config()
        try:
            self.run(
                context=context,
                namespace=namespace,
                base_pod_meta={"labels": pod_labels(job)},
                base_pod_spec=pod_spec(self._settings, job, self._image()),
                pod_wait_timeout=(job.hours + 1) * 3600,  # the training itself ends an hour before
            )
        except ApiException as error:
            # Removing a pod that somebody removed fails, and hides what its removal broke off.
            if error.status == 404 and error.__context__:
                raise error.__context__ from None
            raise refusal(error, namespace) from None

    @contextmanager
    def consume_pod_logs(
        self,
        context: dg.OpExecutionContext | dg.AssetExecutionContext,
        client: DagsterKubernetesClient,
        namespace: str,
        pod_name: str,
        enable_multi_container_logs: bool = False,
        ignore_containers: set[str] | None = None,
    ) -> Iterator[None]:
        patience = self._settings.kubernetes_start_minutes * 60
        wait_for_start(client.core_api, namespace, pod_name, patience, context.log.info)
        with super().consume_pod_logs(
            context, client, namespace, pod_name, enable_multi_container_logs, ignore_containers
        ):
            yield

    def _image(self) -> Image | None:
        """The one that the settings name, or the one of the pod that this process runs in."""
        settings = self._settings
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
