"""The pod that trains: a Kubernetes pod spec made from settings.

The pod sees the volume at the same path as the process that starts it, so job, dataset, parent model, and later the
checkpoints and the result, are the same files for both. It asks for no more rights than the namespace of
`deploy/kubernetes` allows, which enforces the standard `restricted`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record
from twin_assets.settings import Settings
from twin_assets.training.configs.job import TrainingJob

_VOLUME = "data"
_SHARED_MEMORY = "shared-memory"
_TEMPORARY = "tmp"
# Between SIGTERM and SIGKILL: run.py gives Axolotl 10 seconds, and then says what is kept.
_GRACE_SECONDS = 30


class Image(Record):
    """A container image, and the secrets of the namespace that it is pulled with."""

    name: str
    pull_secrets: list[str] = []


def command(job: TrainingJob) -> list[str]:
    """What the container runs."""
    return ["python", "-m", "twin_assets.training.axolotl.run", str(job.file)]


def pod_labels(job: TrainingJob) -> dict[str, str]:
    """The name takes the place of `dagster`, which dagster-k8s gives: services and policies of Dagster's own pods go by it."""
    return {
        "app.kubernetes.io/name": "twin-training",
        "twin/persona": job.lineage.persona.rstrip("-"),  # a label ends with a letter or digit
        "twin/stage": job.stage,
    }


def pod_spec(settings: Settings, job: TrainingJob, image: Image | None) -> dict[str, Any]:
    """The spec (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1) of the pod.

    Raises TwinError when image or volume claim are not known, or the volume doesn't hold what the job needs.
    """
    if image is None or not settings.kubernetes_volume_claim:
        raise TwinError(
            "Training on Kubernetes needs an image with this code, and a volume that holds TWIN_HOME.",
            "set TWIN_KUBERNETES_IMAGE and TWIN_KUBERNETES_VOLUME_CLAIM, or TWIN_TRAINING_RUNNER=local.",
        )
    container: dict[str, Any] = {
        "name": "axolotl",
        "image": image.name,
        "command": command(job),
        # Libraries keep caches there, and ask for the name of a user that the image may not know.
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "USER", "value": "twin"}],  # noqa: S108
        "resources": {
            "requests": settings.kubernetes_requests,
            "limits": {settings.kubernetes_gpu_resource: str(settings.kubernetes_gpus)}
            if settings.kubernetes_gpus
            else {},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": _VOLUME, "mountPath": str(_mount(settings, job))},
            {"name": _TEMPORARY, "mountPath": "/tmp"},  # noqa: S108
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
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **_user(),
        },
        "volumes": [
            {"name": _VOLUME, "persistentVolumeClaim": {"claimName": settings.kubernetes_volume_claim}},
            {"name": _TEMPORARY, "emptyDir": {}},
            {"name": _SHARED_MEMORY, "emptyDir": {"medium": "Memory"}},
        ],
        "nodeSelector": settings.kubernetes_node_selector,
        "tolerations": settings.kubernetes_tolerations,
    }
    if image.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in image.pull_secrets]
    if settings.kubernetes_service_account:
        spec["serviceAccountName"] = settings.kubernetes_service_account
    return spec


def _user() -> dict[str, Any]:
    """The user that this process is, so that both may read and remove what the other wrote; root can't be asked for, and
    the image's own user stands in."""
    if os.getuid() == 0:
        return {}
    group = {"fsGroup": os.getgid(), "fsGroupChangePolicy": "OnRootMismatch"}
    return {"runAsUser": os.getuid(), "runAsGroup": os.getgid(), **group}


def _mount(settings: Settings, job: TrainingJob) -> Path:
    mount = settings.kubernetes_mount or settings.home.absolute()
    for path in job_paths(job):
        if not path.is_relative_to(mount):
            raise TwinError(
                f"The training needs {path}, which the pod would not see: its volume "
                f"{settings.kubernetes_volume_claim} is at {mount}.",
                "let TWIN_HOME lie below TWIN_KUBERNETES_MOUNT, where the volume is mounted here and in the pod.",
            )
    return mount


def job_paths(job: TrainingJob) -> Iterator[Path]:
    """The files and folders of a job that the process that trains opens."""
    yield from (job.file, job.parent_path, job.dataset_dir)
    found = list(job.config.values())
    while found:
        value = found.pop()
        if isinstance(value, str) and value.startswith("/"):
            yield Path(value)
        elif isinstance(value, dict | list):
            found += value.values() if isinstance(value, dict) else value
