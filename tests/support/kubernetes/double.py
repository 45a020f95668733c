"""A Kubernetes API server of one node, for the calls that a pod's life takes: create, read, list, log, events, delete.

It speaks the API's wire format (https://kubernetes.io/docs/reference/kubernetes-api/) on loopback. It lets an account do
what the role in deploy/kubernetes says and nothing else, enforces the Pod Security Standard of the namespace there, and
runs the pod's command as a process of this machine. A claim is a folder of this machine: a path of the command is followed
through the pod's mounts to the file that lies there. A `fate` is what the cluster does with pods instead of running them.
"""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.support.kubernetes.mounts import on_volume
from tests.support.kubernetes.pod_security import refusal
from twin_assets.settings import ROOT

Json = dict[str, Any]

BASE = ROOT / "deploy" / "kubernetes" / "base"
ACCOUNT = "system:serviceaccount:{namespace}:dagster"


@dataclass
class Fate:
    """What becomes of a pod that never runs: its status, and (reason, message) of its events in their order."""

    status: Json
    events: list[tuple[str, str]] = field(default_factory=list)


def unschedulable(message: str) -> Fate:
    """As the scheduler leaves a pod that fits nowhere."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return Fate({"phase": "Pending", "conditions": [condition]}, [("FailedScheduling", message)])


def waiting(reason: str, message: str, *events: tuple[str, str]) -> Fate:
    """As the kubelet leaves a pod whose container it can't make."""
    container = {
        "name": "axolotl", "image": "image", "imageID": "", "restartCount": 0, "ready": False, "started": False,
        "state": {"waiting": {"reason": reason, "message": message}},
    }  # fmt: skip
    return Fate({"phase": "Pending", "containerStatuses": [container]}, list(events))


def turned_away(reason: str, message: str) -> Fate:
    """As the kubelet leaves a pod that it doesn't admit to its node."""
    return Fate({"phase": "Failed", "reason": reason, "message": message})


class Pod:
    """One pod with one container; its log has a time before every line, as the kubelet keeps it."""

    def __init__(self, body: Json, folder: Path, claims: Mapping[str, Path]) -> None:
        self.body = body
        [container] = body["spec"]["containers"]
        self.container, self.log = container["name"], folder / f"{body['metadata']['name']}.log"
        self.log.touch()
        command = [self._found(word, claims) for word in container["command"]]
        given = {variable["name"]: variable["value"] for variable in container["env"]}
        # A home and a user's name are the image's affair; here the machine's own stand.
        given = {name: value for name, value in given.items() if name not in ("HOME", "USER")}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | given, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.logged = threading.Thread(target=self._keep_log, daemon=True)
        self.logged.start()

    def _found(self, word: str, claims: Mapping[str, Path]) -> str:
        if word == "python":
            return sys.executable
        if not word.startswith("/"):
            return word
        source, inside = on_volume(self.body["spec"], self.container, word)
        claim = source.get("persistentVolumeClaim", {}).get("claimName")
        return f"{claims[claim]}{inside}" if claim in claims else word

    def _keep_log(self) -> None:
        assert self.process.stdout is not None
        with self.log.open("a") as log:
            for line in self.process.stdout:
                log.write(f"{_now()} {line.rstrip()}\n")
                log.flush()

    def status(self) -> Json:
        ended = self.process.poll()
        if ended is None:
            state: Json = {"running": {"startedAt": "2025-01-01T00:00:00Z"}}
        else:
            reason = "Error" if ended else "Completed"
            state = {"terminated": {"exitCode": ended if ended >= 0 else 128 - ended, "reason": reason}}
        container = {
            "name": self.container, "image": "image", "imageID": "image", "restartCount": 0,
            "ready": ended is None, "started": ended is None, "state": state,
        }  # fmt: skip
        phase = "Running" if ended is None else "Failed" if ended else "Succeeded"
        return {"phase": phase, "containerStatuses": [container]}

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(self.body["spec"]["terminationGracePeriodSeconds"])


class KubernetesDouble:
    """A context manager; `kubeconfig` names it, `created` holds the pods that were made, `refused` what was answered to
    those that were not. `claims` are folders of this machine by the name of the claim, `level` the namespace's standard,
    `role` the rules of who asks, `fate` what becomes of new pods."""

    def __init__(
        self,
        folder: Path,
        claims: Mapping[str, Path] | None = None,
        fate: Fate | None = None,
        level: str = "restricted",
        role: list[Json] | None = None,
    ) -> None:
        self.folder, self.claims, self.fate, self.level = folder, claims or {}, fate, level
        self.role = shipped_role() if role is None else role
        self.bodies: dict[str, Json] = {}
        self.pods: dict[str, Pod] = {}
        self.created: list[Json] = []
        self.refused: list[str] = []
        self.deleted: list[str] = []
        self.asked = 0

    @property
    def kubeconfig(self) -> Path:
        port = self._server.server_address[1]
        path = self.folder / "kubeconfig.yaml"
        path.write_text(
            yaml.safe_dump({
                "apiVersion": "v1", "kind": "Config", "current-context": "here",
                "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "me", "user": {}}],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            })
        )  # fmt: skip
        return path

    def __enter__(self) -> "KubernetesDouble":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        for pod in self.pods.values():
            pod.process.kill()

    def forbidden(self, verb: str, resource: str, name: str, namespace: str) -> str:
        """Why the account may not; empty where it may."""
        for rule in self.role:
            if "" in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]:
                return ""
        kind, _, sub = resource.partition("/")
        shown = f'{kind} "{name}"' if name else kind
        return (
            f'{shown} is forbidden: User "{ACCOUNT.format(namespace=namespace)}" cannot {verb} resource "{kind}{"/" + sub if sub else ""}" '
            f'in API group "" in the namespace "{namespace}"'
        )

    def create(self, body: Json) -> Json:
        name = body["metadata"]["name"]
        body["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now()}
        self.created.append(body)
        self.bodies[name] = body
        if self.fate is None:
            self.start(name)
        return self.described(name)

    def start(self, name: str) -> None:
        """Run the pod's command, whatever its fate was."""
        self.pods[name] = Pod(self.bodies[name], self.folder, self.claims)

    def described(self, name: str) -> Json:
        pod = self.pods.get(name)
        if pod is None and self.fate is None:
            return self.bodies[name]
        return self.bodies[name] | {"status": pod.status() if pod else self.fate.status}  # type: ignore[union-attr]

    def delete(self, name: str) -> Json:
        """Ask the pod's process to end, as the kubelet does, and forget the pod when it has."""
        self.deleted.append(name)
        if name in self.pods:
            self.pods[name].end()
        described = self.described(name)
        self.pods.pop(name, None)
        del self.bodies[name]
        return described

    def events(self, name: str, uid: str) -> list[Json]:
        body = self.bodies.get(name)
        if body is None or body["metadata"]["uid"] != uid or self.fate is None:
            return []
        return [
            {
                "metadata": {"name": f"{name}.{number}", "creationTimestamp": _now()},
                "involvedObject": {"kind": "Pod", "name": name, "uid": uid},
                "reason": reason,
                "message": message,
                "type": "Warning",
            }
            for number, (reason, message) in enumerate(self.fate.events)
        ]


def shipped_role() -> list[Json]:
    """What Dagster's account may do, by deploy/kubernetes."""
    [role] = [t for t in yaml.safe_load_all((BASE / "dagster.yaml").read_text()) if t["kind"] == "Role"]
    return list(role["rules"])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_VERBS = {"POST": "create", "DELETE": "delete"}


def _handler(double: KubernetesDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._serve()

        def do_DELETE(self) -> None:
            self._serve()

        def do_GET(self) -> None:
            self._serve()

        def _serve(self) -> None:
            double.asked += 1
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            _, _, _, _, namespace, kind, *rest = path.split("/")  # /api/v1/namespaces/…
            name, sub = (*rest, "", "")[:2]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "{}")
            verb = _VERBS.get(self.command, "get" if name else "list")
            if said := double.forbidden(verb, f"{kind}/{sub}".rstrip("/"), name, namespace):
                self._refuse(403, "Forbidden", said)
            elif name and name not in double.bodies:
                self._refuse(404, "NotFound", f'{kind} "{name}" not found')
            elif verb == "create":
                self._create(body)
            elif verb == "delete":
                self._answer(double.delete(name))
            elif sub == "log":
                self._follow(double.pods[name])
            elif name:
                self._answer(double.described(name))
            else:
                self._list(kind, dict(pair.split("=") for pair in query["fieldSelector"][0].split(",")))

        def _create(self, body: Json) -> None:
            said = refusal(body["spec"], f"{double.level}:latest") if double.level == "restricted" else ""
            if said:
                said = f'pods "{body["metadata"]["name"]}" is forbidden: {said}'
                double.refused.append(said)
                self._refuse(403, "Forbidden", said)
            else:
                self._answer(double.create(body), 201)

        def _list(self, kind: str, selected: dict[str, str]) -> None:
            if kind == "pods":
                name = selected["metadata.name"]
                items = [double.described(name)] if name in double.bodies else []
            else:
                items = double.events(selected["involvedObject.name"], selected["involvedObject.uid"])
            self._answer({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})

        def _follow(self, pod: Pod) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            with pod.log.open("rb") as log:
                while True:
                    ended = not pod.logged.is_alive()
                    if data := log.read():
                        self.wfile.write(data)
                        self.wfile.flush()
                    elif ended:
                        return
                    time.sleep(0.1)

        def _refuse(self, status: int, reason: str, message: str) -> None:
            said = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
            self._answer(said | {"message": message, "reason": reason, "code": status}, status)

        def _answer(self, value: Json, status: int = 200) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
