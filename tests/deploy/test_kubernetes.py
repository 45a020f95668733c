"""The manifests hold against Kubernetes' own classes, against one another, and against our settings."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.kubernetes.mounts import on_volume
from tests.support.kubernetes.pod_security import violations
from twin_assets.core.models.version import Lineage
from twin_assets.settings import ROOT, Settings
from twin_assets.training.axolotl.pod import Image, job_paths, pod_labels, pod_spec
from twin_assets.training.configs.job import TrainingJob

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
CLASSES = {
    "Namespace": "V1Namespace", "PersistentVolumeClaim": "V1PersistentVolumeClaim", "Deployment": "V1Deployment",
    "Service": "V1Service", "HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler", "ConfigMap": "V1ConfigMap",
    "PodDisruptionBudget": "V1PodDisruptionBudget", "ServiceAccount": "V1ServiceAccount", "Role": "V1Role",
    "RoleBinding": "V1RoleBinding", "NetworkPolicy": "V1NetworkPolicy",
}  # fmt: skip


@cache
def base() -> list[dict[str, Any]]:
    """What base/kustomization.yaml lists, as it stands."""
    kustomization = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())
    return [
        thing
        for file in kustomization["resources"]
        for thing in yaml.safe_load_all((KUBERNETES / "base" / file).read_text())
    ]


def rendered(folder: str) -> list[dict[str, Any]]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the overlays were NOT rendered")
    done = subprocess.run(["kubectl", "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(things: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {t["metadata"]["name"]: t for t in things if t["kind"] == kind}


def containers(deployment: dict[str, Any]) -> Iterator[dict[str, Any]]:
    spec = deployment["spec"]["template"]["spec"]
    yield from [*spec.get("initContainers", []), *spec["containers"]]


def check_schema(thing: dict[str, Any]) -> None:
    """Every field is one of Kubernetes' (the client drops those that it does not know), and has its type."""
    if thing["apiVersion"].startswith("monitoring.coreos.com/"):
        return  # an operator's own kinds, which the client has no classes for: test_monitoring.py reads them
    from kubernetes import client

    class Response:
        data = json.dumps(thing)

    api = client.ApiClient()
    known = api.sanitize_for_serialization(api.deserialize(Response(), CLASSES[thing["kind"]]))
    assert known == thing


def check_whole(things: list[dict[str, Any]]) -> None:
    """Names that one thing uses of another are there."""
    deployments, services = of_kind(things, "Deployment"), of_kind(things, "Service")
    claims, accounts = of_kind(things, "PersistentVolumeClaim"), of_kind(things, "ServiceAccount")
    for name, deployment in deployments.items():
        template = deployment["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert services[name]["spec"]["selector"].items() <= labels.items()
        ports = {p["name"] for c in containers(deployment) for p in c.get("ports", [])}
        assert {p["targetPort"] for p in services[name]["spec"]["ports"]} <= ports
        volumes = {v["name"]: v for v in template["spec"]["volumes"]}
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {"claimName": "twin-data"})["claimName"] in claims
        assert template["spec"].get("serviceAccountName", "dagster") in accounts
        for container in containers(deployment):
            assert {m["name"] for m in container["volumeMounts"]} <= set(volumes)
            secrets = [ref["secretRef"]["name"] for ref in container.get("envFrom", []) if "secretRef" in ref]
            # vLLM gets its own key and nothing else.
            assert secrets == {"llm": ["llm-secrets"], "vllm": []}.get(name, ["twin-secrets"])
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert container.get(probe, {}).get("httpGet", {"port": "http"})["port"] in ports
    for scaler in of_kind(things, "HorizontalPodAutoscaler").values():
        assert scaler["spec"]["scaleTargetRef"]["name"] in deployments
        assert "replicas" not in deployments[scaler["spec"]["scaleTargetRef"]["name"]]["spec"], (
            "they would fight"
        )
    for policy in of_kind(things, "NetworkPolicy").values():
        wanted = policy["spec"]["podSelector"].get("matchLabels", {})
        assert any(
            wanted.items() <= d["spec"]["template"]["metadata"]["labels"].items()
            for d in deployments.values()
        )


def check_settings(given: dict[str, str]) -> Settings:
    """Variables are settings of ours, and their values fit."""
    for name in given:
        assert name.startswith("TWIN_")
        assert name.removeprefix("TWIN_").lower() in Settings.model_fields, f"{name} is no setting"
    values = {
        name.removeprefix("TWIN_").lower(): json.loads(value) if value.startswith(("[", "{")) else value
        for name, value in given.items()
    }
    return Settings.model_validate(values)


def test_base_is_kubernetes_and_fits_together() -> None:
    assert {t["kind"] for t in base()} == set(CLASSES) - {"ConfigMap"}
    for thing in base():
        check_schema(thing)
    check_whole(base())


def test_services_listen_where_the_settings_and_probes_look() -> None:
    settings = settings_of(base())
    deployments, services = of_kind(base(), "Deployment"), of_kind(base(), "Service")
    assert settings.llm_url == f"http://llm:{services['llm']['spec']['ports'][0]['port']}/v1"
    assert settings.dagster_url == f"http://dagster:{services['dagster']['spec']['ports'][0]['port']}"
    for name, port, metrics in (
        ("llm", settings.llm_port, settings.llm_metrics_port), ("twin", settings.twin_port, settings.twin_metrics_port),
    ):  # fmt: skip
        [container] = containers(deployments[name])
        assert [p["containerPort"] for p in container["ports"]] == [port, metrics]
        scraped = deployments[name]["spec"]["template"]["metadata"]["annotations"]
        assert scraped["prometheus.io/port"] == str(metrics)
        assert container["command"][container["command"].index("--port") + 1] == str(port)
        module, service = container["command"][-1].split(":")
        assert f"class {service}" in Path(import_file(module)).read_text()
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert settings.metrics_host == "0.0.0.0"
    assert settings.kubernetes_volume_claim in of_kind(base(), "PersistentVolumeClaim")
    assert settings.kubernetes_service_account in of_kind(base(), "ServiceAccount")
    homes = {m["mountPath"] for d in deployments.values() for c in containers(d) for m in c["volumeMounts"]}
    assert {str(settings.home.parts[0] + settings.home.parts[1])} <= homes


def test_metrics_are_for_prometheus_alone_and_prometheus_reaches_nothing_else() -> None:
    policies = of_kind(base(), "NetworkPolicy")
    for name in ("llm", "twin"):
        opened = {
            where["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] if "namespaceSelector" in where else "own": {p["port"] for p in rule["ports"]}
            for rule in policies[name]["spec"]["ingress"]
            for where in rule["from"]
        }  # fmt: skip
        assert opened.pop("monitoring") == {"metrics"}
        assert set(map(tuple, opened.values())) == {("http",)}
        ports = of_kind(base(), "Service")[name]["spec"]["ports"]
        assert [p["targetPort"] for p in ports] == ["http"]


def test_the_twin_and_the_llm_service_share_one_key_and_pods_that_train_get_neither_nor_the_password() -> (
    None
):
    [twin] = containers(of_kind(base(), "Deployment")["twin"])
    [key] = [v["valueFrom"]["secretKeyRef"] for v in twin["env"] if v["name"] == "TWIN_LLM_API_KEY"]
    assert (key["name"], key["key"]) == ("llm-secrets", "TWIN_LLM_API_KEY")
    settings = (KUBERNETES / "base" / "settings.env").read_text()
    assert "TWIN_KUBERNETES_SECRET=training-secrets\n" in settings


def test_dagster_stands_behind_its_front_and_services_answer_to_their_names() -> None:
    settings = settings_of(base())
    assert {"llm", "dagster"} == set(settings.allowed_hosts)
    commands = {
        c["name"]: c["command"] for d in of_kind(base(), "Deployment").values() for c in containers(d)
    }
    assert "dagster instance migrate" in commands["home"][-1], (
        "two processes would make the databases at once"
    )
    assert commands["webserver"][:3] == ["python", "-m", "serving.dagster_web"]
    assert Path(import_file(commands["webserver"][2])).exists()
    assert not any(command[0] in ("dagster-webserver", "dagster", "dg") for command in commands.values())


def test_actions_of_the_ci_are_pinned_by_commit() -> None:
    used = re.findall(r"uses: (\S+)", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used), used


def import_file(module: str) -> str:
    return str(ROOT / (module.replace(".", "/") + ".py"))


def training_pod(settings: Settings) -> tuple[dict[str, Any], TrainingJob]:
    """The spec of a pod that trains with these settings, and its job as `prepare_job` lays it out."""
    folder = settings.cache_dir / "training" / "runa" / "sft-1"
    parent, rows = settings.bentoml_home / "models" / "base" / "1", settings.lake_dir / "datasets" / "1"
    lineage = Lineage(
        persona="runa", stage="sft", profile="pocket", config_hash="", code_version="1", seed=1, prompts=""
    )
    job = TrainingJob(
        folder=folder, stage="sft", lineage=lineage, parent_path=parent, dataset_dir=rows, rows={}, wandb_mode="offline",
        config={"base_model": str(parent), "datasets": [{"path": str(rows)}], "output_dir": str(folder / "model")},
        checkpoint_seconds=60,
    )  # fmt: skip
    return pod_spec(settings, job, Image(name="registry.example/llm-twin:0.1.0")), job


def check_confined(things: list[dict[str, Any]]) -> None:
    """Every pod keeps to the namespace's `restricted` Pod Security Standard, and has a read-only root besides."""
    level = of_kind(things, "Namespace")["llm-twin"]["metadata"]["labels"][
        "pod-security.kubernetes.io/enforce"
    ]
    assert level == "restricted"
    pods = [d["spec"]["template"]["spec"] for d in of_kind(things, "Deployment").values()]
    for pod in (*pods, training_pod(settings_of(things))[0]):
        assert list(violations(pod)) == []
        assert all(
            container["securityContext"]["readOnlyRootFilesystem"]
            for container in (*pod.get("initContainers", []), *pod["containers"])
        )


def check_trains(things: list[dict[str, Any]]) -> None:
    """What Dagster writes for a training is what the training's pod reads, and the image is named nowhere else."""
    settings = settings_of(things)
    dagster = of_kind(things, "Deployment")["dagster"]["spec"]["template"]["spec"]
    pod, job = training_pod(settings)
    assert {job.file, job.parent_path, job.dataset_dir, job.model_dir} <= set(job_paths(job))
    for service in of_kind(things, "Service").values():
        assert not service["spec"]["selector"].items() <= pod_labels(job).items(), "a training answers nobody"
    for path in job_paths(job):
        source, inside = on_volume(pod, "axolotl", path)
        assert source == {"persistentVolumeClaim": {"claimName": "twin-data"}}
        for container in ("home", "webserver", "daemon"):
            assert on_volume(dagster, container, path) == (source, inside)
    for container in containers(of_kind(things, "Deployment")["dagster"]):
        [told] = [variable for variable in container["env"] if variable["name"] == "TWIN_KUBERNETES_POD"]
        assert told["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert settings.kubernetes_image is None


def settings_of(things: list[dict[str, Any]]) -> Settings:
    """Of rendered manifests, or of the base as it stands, whose config map is a file."""
    for found in of_kind(things, "ConfigMap").values():
        return check_settings(found["data"])
    lines = (KUBERNETES / "base" / "settings.env").read_text().splitlines()
    return check_settings(dict(line.split("=", 1) for line in lines))


def test_every_pod_is_confined_and_a_training_finds_its_files() -> None:
    check_confined(base())
    check_trains(base())


def test_bentoml_keeps_its_counters_in_memory_and_apart_from_the_volume() -> None:
    for name in ("llm", "twin"):
        [container] = containers(of_kind(base(), "Deployment")[name])
        home = next(v["value"] for v in container["env"] if v["name"] == "BENTOML_HOME")
        mount = next(m for m in container["volumeMounts"] if home.startswith(m["mountPath"] + "/"))
        volumes = of_kind(base(), "Deployment")[name]["spec"]["template"]["spec"]["volumes"]
        assert next(v for v in volumes if v["name"] == mount["name"])["emptyDir"]["medium"] == "Memory"


@pytest.mark.parametrize("folder", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_kustomize_renders_what_holds_too(folder: str) -> None:
    things = rendered(folder)
    for thing in things:
        check_schema(thing)
        assert thing["kind"] == "Namespace" or thing["metadata"]["namespace"] == "llm-twin"
    check_whole(things)
    check_confined(things)
    check_trains(things)
    images = {
        c["name"]: c["image"].rpartition("/")[2].partition(":")[0]
        for d in of_kind(things, "Deployment").values()
        for c in containers(d)
        if c["name"] != "vllm"
    }
    assert images.pop("twin") == "llm-twin-gateway"
    assert set(images.values()) == {"llm-twin"}, "what is named once"


def test_overlays_change_what_they_say() -> None:
    [gpu] = containers(of_kind(rendered("overlays/gpu"), "Deployment")["llm"])
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"
    with_gpus = settings_of(rendered("overlays/gpu"))
    [training] = training_pod(with_gpus)[0]["containers"]
    assert with_gpus.training_runner == "kubernetes"
    assert training["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert (
        training_pod(with_gpus)[0]["tolerations"]
        == of_kind(rendered("overlays/gpu"), "Deployment")["llm"]["spec"]["template"]["spec"]["tolerations"]
    )
    assert training_pod(settings_of(base()))[0]["containers"][0]["resources"]["limits"] == {}, "base has none"
    assert "llm" not in of_kind(rendered("overlays/vllm"), "Deployment")
    things = rendered("overlays/vllm-ledger")
    [vllm] = containers(of_kind(things, "Deployment")["vllm"])
    [settings] = of_kind(things, "ConfigMap").values()
    [port] = of_kind(things, "Service")["vllm"]["spec"]["ports"]
    assert settings["data"]["TWIN_VLLM_URL"] == f"http://vllm:{port['port']}"
    assert {"--enable-lora", f"--port={vllm['ports'][0]['containerPort']}"} <= set(vllm["command"])
    environment = {variable["name"]: variable for variable in vllm["env"]}
    assert environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"]["value"] == "True"
    assert environment["VLLM_API_KEY"]["valueFrom"]["secretKeyRef"] == {
        "name": "llm-secrets",
        "key": "TWIN_VLLM_API_KEY",
    }
    [llm] = containers(of_kind(things, "Deployment")["llm"])
    mounted = [next(m for m in c["volumeMounts"] if m["name"] == "data") for c in (vllm, llm)]
    assert {m["mountPath"] for m in mounted} == {"/data"}, "adapters are named by folder"
    assert mounted[0]["readOnly"], "vLLM only reads"
    [rule] = of_kind(things, "NetworkPolicy")["vllm"]["spec"]["ingress"]
    assert [w["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for w in rule["from"]] == ["llm"]
    [metric] = of_kind(rendered("overlays/queue-autoscaling"), "HorizontalPodAutoscaler")["llm"]["spec"]["metrics"]  # fmt: skip
    from serving.llm.metrics import EngineMetrics

    gauges = {family.name for family in EngineMetrics(list).collect() if family.type == "gauge"}
    assert metric["pods"]["metric"]["name"] in gauges


def test_the_container_file_copies_what_there_is_and_runs_as_nobody_special() -> None:
    text = (ROOT / "deploy" / "Containerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in line.split())
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == ["10001", "10001"], "of both images"
    assert re.findall(r"^FROM (\S+)(?: AS gateway)?$", text, re.MULTILINE) == ["run", "run"]
    [extras] = re.findall(r"deploy/install\.py (.+?) --venv", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.split()) <= set(project["optional-dependencies"])
    for command in map(json.loads, re.findall(r"^CMD (.+)$", text, re.MULTILINE)):
        assert Path(import_file(command[-1].split(":")[0])).exists()
    stage = next(part for part in text.split("FROM ") if " AS run\n" in part)
    environment = re.search(r"^ENV PATH=(?:.*\\\n)*.*$", stage, re.MULTILINE)
    assert environment
    given = dict(pair.split("=", 1) for pair in shlex.split(environment[0].replace("\\\n", " ")[4:]))
    check_settings({name: value for name, value in given.items() if name.startswith("TWIN_")})


@pytest.mark.parametrize(
    ("where", "wrong"), [("spec", {"minReplica": 1}), ("metadata", {"label": {}}), ("spec", {"metrics": [{"typ": "Pods"}]})]
)  # fmt: skip
def test_a_slip_in_a_manifest_is_noticed(where: str, wrong: dict[str, Any]) -> None:
    thing = json.loads(json.dumps(of_kind(base(), "HorizontalPodAutoscaler")["llm"]))
    thing[where] |= wrong
    with pytest.raises((AssertionError, ValueError)):
        check_schema(thing)
