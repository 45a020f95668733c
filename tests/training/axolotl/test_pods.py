"""A training in a pod: what the pod is, what becomes of one that can't start, and a whole training."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

pytest.importorskip("dagster_k8s", reason="the extra k8s is not installed")

from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
from kubernetes import client, config

from tests.support.kubernetes.double import Fate, KubernetesDouble, turned_away, unschedulable, waiting
from tests.support.kubernetes.mounts import on_volume
from tests.support.kubernetes.pod_security import violations
from tests.support.machine import until
from tests.training.sft_asset import materialize_sft
from tests.training.training_factories import instruct_dataset, profile, settings, tiny_base
from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings
from twin_assets.training.axolotl.pod import Image, job_paths, pod_spec
from twin_assets.training.axolotl.pod_start import wait_for_start
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.jobs import prepare_job

IMAGE = "registry.example/twin:1"
KUBERNETES: dict[str, Any] = {
    "training_runner": "kubernetes",
    "kubernetes_image": IMAGE,
    "kubernetes_namespace": "twins",
    "kubernetes_volume_claim": "twin-data",
    "kubernetes_gpus": 2,
    "kubernetes_requests": {"cpu": "8", "memory": "64Gi"},
    "kubernetes_service_account": "trainer",
    "kubernetes_secret": "twin-keys",
    "kubernetes_node_selector": {"gpu": "h100"},
    "kubernetes_tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}


def job_in(platform: Settings) -> TrainingJob:
    manifest = instruct_dataset(platform.home / "instruct", 12)
    parent = tiny_base(platform)
    return prepare_job(platform, profile(), "sft", parent, manifest, platform.home / "instruct", "runa")


def test_a_pod_is_what_the_settings_say(tmp_path: Path) -> None:
    platform = settings(tmp_path / "home", **KUBERNETES, kubernetes_mount=tmp_path)
    job = job_in(platform)
    spec = pod_spec(platform, job, Image(name=IMAGE, pull_secrets=["registry"]))
    # Kubernetes' own classes know every name in it and every type: an unknown or missing one raises.
    pod = k8s_model_from_dict(client.V1PodSpec, k8s_snake_case_dict(client.V1PodSpec, spec))
    assert client.ApiClient().sanitize_for_serialization(pod) == spec
    [container] = pod.containers
    assert container.command == ["python", "-m", "twin_assets.training.axolotl.run", str(job.file)]
    assert container.resources.limits == {"nvidia.com/gpu": "2"}
    assert (pod.service_account_name, pod.node_selector) == ("trainer", {"gpu": "h100"})
    assert [secret.name for secret in pod.image_pull_secrets] == ["registry"]
    assert list(violations(spec)) == []
    for path in job_paths(job):
        source, inside = on_volume(spec, container.name, path)
        assert source == {"persistentVolumeClaim": {"claimName": "twin-data"}}
        assert inside == f"/{path.relative_to(tmp_path)}"
    assert {job.file, job.parent_path, job.dataset_dir, job.model_dir} <= set(job_paths(job))


def test_a_claim_that_is_the_home_itself_is_mounted_there(tmp_path: Path) -> None:
    platform = settings(tmp_path, **KUBERNETES)
    job = job_in(platform)
    source, inside = on_volume(pod_spec(platform, job, Image(name=IMAGE)), "axolotl", job.file)
    assert source == {"persistentVolumeClaim": {"claimName": "twin-data"}}
    assert inside == f"/{job.file.relative_to(tmp_path)}"


def test_a_pod_without_image_or_volume_or_without_its_files_is_refused(tmp_path: Path) -> None:
    platform = settings(tmp_path / "home", **KUBERNETES)
    job = job_in(platform)
    with pytest.raises(TwinError, match="TWIN_KUBERNETES_VOLUME_CLAIM"):
        pod_spec(platform.model_copy(update={"kubernetes_volume_claim": None}), job, Image(name=IMAGE))
    with pytest.raises(TwinError, match="TWIN_KUBERNETES_IMAGE"):
        pod_spec(platform, job, None)
    elsewhere = job.model_copy(update={"dataset_dir": tmp_path / "elsewhere"})
    with pytest.raises(TwinError, match=rf"needs {tmp_path}/elsewhere, which the pod would not see"):
        pod_spec(platform, elsewhere, Image(name=IMAGE))


CONFINED: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "a",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


@pytest.mark.parametrize(
    ("pod", "container", "words"),
    [
        ({}, {"allowPrivilegeEscalation": None}, "allowPrivilegeEscalation != false"),
        ({}, {"capabilities": {}}, 'container "a" must set securityContext.capabilities.drop=["ALL"]'),
        ({}, {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}, "unrestricted capabilities"),
        ({}, {"privileged": True}, "privileged"),
        ({}, {"runAsNonRoot": False}, "runAsNonRoot != true"),
        ({}, {"runAsUser": 0}, "runAsUser=0"),
        ({}, {"seccompProfile": {"type": "Unconfined"}}, "seccompProfile"),
        ({"securityContext": {"runAsNonRoot": True}}, {}, "seccompProfile"),
        ({"securityContext": {"seccompProfile": {"type": "Localhost"}}}, {}, "runAsNonRoot != true"),
        ({"hostNetwork": True}, {}, "host namespaces (hostNetwork=true)"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, {}, 'restricted volume type "hostPath"'),
    ],
)  # fmt: skip
def test_the_double_knows_the_restricted_standard(
    pod: dict[str, Any], container: dict[str, Any], words: str
) -> None:
    assert list(violations(CONFINED)) == []
    [confined] = CONFINED["containers"]
    spec = CONFINED | pod
    spec["containers"] = [confined | {"securityContext": confined["securityContext"] | container}]
    [said] = violations(spec)
    assert words in said


NO_IMAGE = (
    'rpc error: code = NotFound desc = failed to pull and unpack image "registry.example/twin:1": failed to resolve '
    'reference "registry.example/twin:1": registry.example/twin:1: not found'
)
# As the scheduler of Kubernetes 1.36 said it of a GPU that another pod holds.
NO_GPU = (
    "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 nodes are "
    "available: 1 No preemption victims found for incoming pod."
)
NO_CLAIM = '0/1 nodes are available: persistentvolumeclaim "twin-data" not found. not found'
BODY: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "training"},
    "spec": CONFINED
    | {"terminationGracePeriodSeconds": 1}
    | {"containers": [CONFINED["containers"][0] | {"image": IMAGE, "command": ["sleep", "60"], "env": []}]},
}


@pytest.fixture
def heard() -> list[str]:
    return []


def api_of(cluster: KubernetesDouble) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))


@pytest.mark.parametrize(
    ("fate", "words"),
    [
        (waiting("ErrImagePull", NO_IMAGE, ("Failed", f'Failed to pull image "{IMAGE}": {NO_IMAGE}')), "not found"),
        (waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {NO_IMAGE}'), "not found"),
        (waiting("InvalidImageName", 'Failed to apply default image tag "A:b:c": invalid'), "InvalidImageName"),
        (waiting("ErrImageNeverPull", f'Container image "{IMAGE}" is not present'), "ErrImageNeverPull"),
        (waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"), "USER 10001"),
        (turned_away("UnexpectedAdmissionError", "Allocate failed due to no healthy devices"), "no healthy devices"),
    ],
)  # fmt: skip
def test_a_pod_that_can_never_start_ends_with_the_reason(
    tmp_path: Path, heard: list[str], fate: Fate, words: str
) -> None:
    with KubernetesDouble(tmp_path, fate=fate) as cluster:
        api = api_of(cluster)
        api.create_namespaced_pod("twins", BODY)
        with pytest.raises(TwinError, match=f"The training pod can't start: .*{words}"):
            wait_for_start(api, "twins", "training", 86_400.0, heard.append)
    assert heard == [f"pod training: {reason}: {message}" for reason, message in fate.events]


@pytest.mark.parametrize(
    "fate",
    [
        unschedulable(NO_GPU),
        unschedulable(NO_CLAIM),
        waiting("CreateContainerConfigError", 'secret "twin-keys" not found'),
        waiting("ErrImagePull", "dial tcp: lookup registry.example: i/o timeout", ("Failed", "i/o timeout")),
    ],
)
def test_a_pod_that_may_yet_start_is_waited_for_and_ends_with_what_was_said(
    tmp_path: Path, heard: list[str], fate: Fate
) -> None:
    with KubernetesDouble(tmp_path, fate=fate) as cluster:
        api = api_of(cluster)
        api.create_namespaced_pod("twins", BODY)
        with pytest.raises(TwinError) as ended:
            wait_for_start(api, "twins", "training", 0.1, heard.append)
    said = [message for _, message in fate.events] or ['secret "twin-keys" not found']
    assert all(message.rstrip(".") in str(ended.value) for message in said)


def test_what_a_pod_waits_for_is_told_once_and_it_goes_on_when_there_is_room(
    tmp_path: Path, heard: list[str]
) -> None:
    with KubernetesDouble(tmp_path, fate=unschedulable(NO_GPU)) as cluster:
        api = api_of(cluster)
        api.create_namespaced_pod("twins", BODY)
        thread = threading.Thread(
            target=wait_for_start, args=(api, "twins", "training", 86_400.0, heard.append), daemon=True
        )
        thread.start()
        until(lambda: heard, "the event")
        asked = cluster.asked
        until(lambda: cluster.asked > asked + 4, "another look")
        assert thread.is_alive()
        cluster.start("training")
        until(lambda: not thread.is_alive(), "the end of the wait")
    assert heard == [f"pod training: FailedScheduling: {NO_GPU}"]


def test_without_the_right_to_read_events_the_pod_itself_is_read(tmp_path: Path, heard: list[str]) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get"]}]
    with KubernetesDouble(tmp_path, fate=unschedulable(NO_GPU), role=rules) as cluster:
        api = api_of(cluster)
        api.create_namespaced_pod("twins", BODY)
        with pytest.raises(TwinError, match="Insufficient nvidia"):
            wait_for_start(api, "twins", "training", 0.1, heard.append)
    assert 'cannot list resource "events"' in heard[0]
    assert heard[1] == f"pod training: Unschedulable: {NO_GPU}"


def test_a_pod_that_somebody_removes_is_said_to_be_gone(tmp_path: Path, heard: list[str]) -> None:
    with KubernetesDouble(tmp_path, fate=unschedulable(NO_GPU)) as cluster:
        api = api_of(cluster)
        api.create_namespaced_pod("twins", BODY)
        cluster.delete("training")
        with pytest.raises(TwinError, match="removed before it began"):
            wait_for_start(api, "twins", "training", 86_400.0, heard.append)


def failures(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error:
            yield event.step_failure_data.error.to_string()


@pytest.mark.e2e
def test_a_pod_trains_and_its_log_and_metrics_reach_dagster(tmp_path: Path) -> None:
    home = tmp_path / "home"
    manifest = instruct_dataset(home / "data", 12)
    with KubernetesDouble(tmp_path, claims={"twin-data": tmp_path}) as cluster:
        # The image comes from the pod that asks, as in deploy/kubernetes.
        told = {"name": "TWIN_KUBERNETES_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        containers = [
            {"name": "proxy", "image": "proxy:1"},
            {"name": "daemon", "image": IMAGE, "env": [told]},
        ]
        cluster.bodies["dagster-0"] = {"metadata": {"name": "dagster-0"}, "spec": {"containers": containers}}
        overrides = {name: value for name, value in KUBERNETES.items() if name != "kubernetes_image"} | {
            "kubernetes_kubeconfig": str(cluster.kubeconfig),
            "kubernetes_pod": "dagster-0",
            "kubernetes_mount": str(tmp_path),
        }
        instance, result = materialize_sft(home, overrides, manifest)
    assert result.success, list(failures(result))
    [pod] = cluster.created
    labels = pod["metadata"]["labels"]
    assert (labels["twin/persona"], labels["app.kubernetes.io/name"]) == ("runa", "twin-training")
    assert pod["spec"]["containers"][0]["image"] == IMAGE
    assert cluster.deleted == [pod["metadata"]["name"]]
    [made] = result.asset_materializations_for_node("sft_model")
    assert made.metadata["trained_now"].value is True
    assert made.metadata["resumed_from_step"].value == 0
    checks = result.get_asset_check_evaluations()
    assert {check.check_name for check in checks} == {"every_row_trained", "prompt_format_is_served"}
    assert all(check.passed for check in checks)
    log = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any("sft: step 2 of 2" in message for message in log), log


@pytest.mark.e2e
def test_a_run_whose_pod_never_starts_says_why_and_leaves_no_pod(tmp_path: Path) -> None:
    home = tmp_path / "home"
    manifest = instruct_dataset(home / "data", 12)
    event = ("Failed", f'Failed to pull image "{IMAGE}": {NO_IMAGE}')
    with KubernetesDouble(tmp_path, fate=waiting("ErrImagePull", NO_IMAGE, event)) as cluster:
        overrides = KUBERNETES | {
            "kubernetes_kubeconfig": str(cluster.kubeconfig),
            "kubernetes_mount": str(tmp_path),
        }
        instance, result = materialize_sft(home, overrides, manifest)
    assert not result.success
    [failure] = failures(result)
    assert f"The training pod can't start: ErrImagePull: {NO_IMAGE}. Fix:" in failure
    assert any(event[1] in entry.user_message for entry in instance.all_logs(result.run_id))
    assert not cluster.bodies


@pytest.mark.e2e
def test_a_pod_that_the_cluster_refuses_says_why(tmp_path: Path) -> None:
    home = tmp_path / "home"
    manifest = instruct_dataset(home / "data", 12)
    with KubernetesDouble(tmp_path, role=[]) as cluster:
        overrides = KUBERNETES | {
            "kubernetes_kubeconfig": str(cluster.kubeconfig),
            "kubernetes_mount": str(tmp_path),
        }
        _, result = materialize_sft(home, overrides, manifest)
    [failure] = failures(result)
    assert 'Kubernetes refuses: pods is forbidden: User "system:serviceaccount:twins:dagster"' in failure
    assert "Fix: let the role of this account do it" in failure
