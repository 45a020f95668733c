"""The pod that trains: a Kubernetes pod spec made from settings.

The pod sees the platform's home at the same path as the process that starts it, on one shared volume:
the job's folder, the dataset, the parent model, and later the checkpoints and the result lie there.
"""

from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings
from twin_assets.training.configs.job import TrainingJob

_VOLUME = "home"
_SHARED_MEMORY = "shared-memory"
# Between SIGTERM and SIGKILL: run.py gives Axolotl 10 seconds, and then says what is kept.
_GRACE_SECONDS = 30


def command(job: TrainingJob) -> list[str]:
    """What the container runs."""
    return ["python", "-m", "twin_assets.training.axolotl.run", str(job.file)]


def pod_spec(settings: Settings, job: TrainingJob) -> dict[str, Any]:
    """The spec (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1) of the pod.

    Raises TwinError when image or volume claim are not set.
    """
    if not settings.kubernetes_image or not settings.kubernetes_volume_claim:
        raise TwinError(
            "Training on Kubernetes needs an image with this code, and a volume that holds TWIN_HOME.",
            "set TWIN_KUBERNETES_IMAGE and TWIN_KUBERNETES_VOLUME_CLAIM, or TWIN_TRAINING_RUNNER=local.",
        )
    home = str(settings.home.resolve())
    container: dict[str, Any] = {
        "name": "axolotl",
        "image": settings.kubernetes_image,
        "command": command(job),
        "resources": {
            "requests": settings.kubernetes_requests,
            "limits": {settings.kubernetes_gpu_resource: str(settings.kubernetes_gpus)}
            if settings.kubernetes_gpus
            else {},
        },
        "volumeMounts": [
            {"name": _VOLUME, "mountPath": home},
            # Several GPUs exchange gradients through it, and a container's own has 64 MB.
            {"name": _SHARED_MEMORY, "mountPath": "/dev/shm"},  # noqa: S108
        ],
    }
    if settings.kubernetes_secret:
        container["envFrom"] = [{"secretRef": {"name": settings.kubernetes_secret}}]
    spec: dict[str, Any] = {
        "containers": [container],
        "restartPolicy": "Never",  # a retry is Dagster's to decide; it resumes from the checkpoint
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "volumes": [
            {"name": _VOLUME, "persistentVolumeClaim": {"claimName": settings.kubernetes_volume_claim}},
            {"name": _SHARED_MEMORY, "emptyDir": {"medium": "Memory"}},
        ],
        "nodeSelector": settings.kubernetes_node_selector,
        "tolerations": settings.kubernetes_tolerations,
    }
    if settings.kubernetes_service_account:
        spec["serviceAccountName"] = settings.kubernetes_service_account
    return spec
