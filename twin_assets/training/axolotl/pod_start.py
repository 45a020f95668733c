"""Waits until a pod runs: its events are told as they come, and one that can never start ends with the reason."""

import json
import time
from collections.abc import Callable, Iterator

from kubernetes.client import CoreV1Api, V1Pod
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from twin_assets.core.errors import TwinError

_POLL = 2.0  # seconds
# What only a person mends (a secret, a claim) may still be on its way when everything is applied at once.
_MENDED_SECONDS = 60.0
_MOST_TOLD = 100

_NEVER = ("InvalidImageName", "ErrImageNeverPull")
_PULL = ("ErrImagePull", "ImagePullBackOff")
# Registries and runtimes say it in words of their own.
_NO_SUCH_IMAGE = ("not found", "manifest unknown", "denied", "unauthorized", "forbidden", "does not exist")
_NO_CONTAINER = ("CreateContainerConfigError", "CreateContainerError")
_ROOT = "runAsNonRoot"


def wait_for_start(
    api: CoreV1Api, namespace: str, name: str, patience: float, tell: Callable[[str], None]
) -> None:
    """Return when the pod's container runs or has run; `tell` gets each event of the pod, once.

    `patience` is in seconds. Raises TwinError with the cluster's own words for a pod that can't start, that the node
    turned away, that was removed, or that has not begun in time.
    """
    began, news = time.monotonic(), _News(api, namespace, tell)
    while True:
        waited = time.monotonic() - began
        if pod := _read(api, namespace, name):
            news.tell(pod)
            if _begun(pod):
                return
            for reason, after in _hindrances(pod):
                if waited >= min(after, patience):
                    raise TwinError(f"The training pod can't start: {reason.rstrip('.')}.", _fix(reason))
        if waited >= patience:
            said = "; ".join(_hold_ups(pod) if pod else []) or news.last or "the cluster says nothing of it"
            raise TwinError(
                f"The training pod has not begun after {patience / 60:g} minutes: {said.rstrip('.')}.",
                "mend what hinders it, or raise TWIN_KUBERNETES_START_MINUTES.",
            )
        time.sleep(_POLL)


def refusal(error: ApiException, namespace: str) -> TwinError:
    """What an API server's refusal means."""
    said = _message(error)
    if "violates PodSecurity" in said:
        fix = "an admission changes the pod, or the namespace asks for more than `restricted`: see what it names."
    elif "exceeded quota" in said:
        fix = "raise the namespace's quota, or ask for less with TWIN_KUBERNETES_REQUESTS."
    elif error.status == 401:
        fix = "give TWIN_KUBERNETES_KUBECONFIG a credential that the cluster knows."
    elif error.status == 403:
        fix = "let the role of this account do it, as deploy/kubernetes/base/dagster.yaml does."
    elif error.status == 404:
        fix = f"see that the namespace {namespace} (TWIN_KUBERNETES_NAMESPACE) is there."
    else:
        fix = "see what it names; the pod is made from the settings TWIN_KUBERNETES_…"
    return TwinError(f"Kubernetes refuses: {said}", fix)


class _News:
    """Tells what the cluster says of a pod, each thing once."""

    def __init__(self, api: CoreV1Api, namespace: str, tell: Callable[[str], None]) -> None:
        self._api, self._namespace, self._tell = api, namespace, tell
        self._told: set[str] = set()
        self.last = ""

    def tell(self, pod: V1Pod) -> None:
        for line in self._events(pod):
            if line in self._told or len(self._told) >= _MOST_TOLD:
                continue
            self._told.add(line)
            self.last = line
            self._tell(f"pod {pod.metadata.name}: {line}")

    def _events(self, pod: V1Pod) -> Iterator[str]:
        selector = f"involvedObject.name={pod.metadata.name},involvedObject.uid={pod.metadata.uid}"
        try:
            events = self._api.list_namespaced_event(self._namespace, field_selector=selector).items
        except ApiException as error:
            if error.status == 403:
                yield f"its events can't be read, so less is told here: {_message(error)}"
                yield from _hold_ups(pod)
            return
        except HTTPError:
            return
        for event in sorted(events, key=lambda event: str(event.metadata.creation_timestamp)):
            yield f"{event.reason}: {event.message}"


def _read(api: CoreV1Api, namespace: str, name: str) -> V1Pod | None:
    """The pod; None while the server doesn't answer, which it may do again."""
    try:
        return api.read_namespaced_pod(name, namespace)
    except HTTPError:
        return None
    except ApiException as error:
        if error.status >= 500 or error.status == 429:
            return None
        if error.status != 404:
            raise
        raise TwinError(
            f"The training pod {name} was removed before it began.",
            "see who removes pods there, and run again.",
        ) from None


def _begun(pod: V1Pod) -> bool:
    return any(s.state.running or s.state.terminated for s in pod.status.container_statuses or [])


def _hold_ups(pod: V1Pod) -> Iterator[str]:
    """What stands in the pod itself."""
    for condition in pod.status.conditions or []:
        if condition.status == "False" and condition.type == "PodScheduled":
            yield f"{condition.reason}: {condition.message}"
    for container in pod.status.container_statuses or []:
        if (waiting := container.state.waiting) and waiting.message:
            yield f"{waiting.reason}: {waiting.message}"


def _hindrances(pod: V1Pod) -> Iterator[tuple[str, float]]:
    """Why the pod can't start, and after how many seconds that is certain."""
    status = pod.status
    if status.phase == "Failed":
        yield f"{status.reason or 'Failed'}: {status.message or 'the node turned it away'}", 0
    for condition in status.conditions or []:
        message = condition.message or ""
        if (
            condition.type == "PodScheduled"
            and condition.status == "False"
            and "persistentvolumeclaim" in message
        ):
            yield f"{condition.reason}: {message}", _MENDED_SECONDS
    for container in status.container_statuses or []:
        if (waiting := container.state.waiting) is None:
            continue
        reason, message = waiting.reason or "", waiting.message or ""
        told = f"{reason}: {message}" if message else reason
        missing = reason in _PULL and any(word in message.lower() for word in _NO_SUCH_IMAGE)
        if reason in _NEVER or missing or _ROOT in message:
            yield told, 0
        elif reason in _NO_CONTAINER:
            yield told, _MENDED_SECONDS


def _fix(reason: str) -> str:
    if _ROOT in reason:
        return "give the image a user of its own by number (USER 10001), or start the pod from a process that isn't root."
    if reason.startswith(_NEVER + _PULL):
        return "see that TWIN_KUBERNETES_IMAGE is there and that the service account's imagePullSecrets may pull it."
    return "mend what it names, and run again: the training goes on from its last checkpoint."


def _message(error: ApiException) -> str:
    """The `message` of the Status that an API server answers with."""
    try:
        return str(json.loads(error.body)["message"])
    except (KeyError, TypeError, ValueError):
        return f"{error.status} {error.reason}"
