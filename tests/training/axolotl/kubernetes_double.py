"""A Kubernetes API server of one node, for the calls that a pod's life takes: create, list, log, delete.

It speaks the API's wire format (https://kubernetes.io/docs/reference/kubernetes-api/) on loopback, and
runs the pod's command as a process of this machine, so what the pod mounts must lie where it mounts it.
"""

import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from twin_assets.settings import ROOT


class Pod:
    """One pod with one container; its log has a time before every line, as the kubelet keeps it."""

    def __init__(self, body: dict[str, Any], folder: Path) -> None:
        self.body = body
        [container] = body["spec"]["containers"]
        self.container, self.log = container["name"], folder / f"{body['metadata']['name']}.log"
        self.log.touch()
        command = [sys.executable if word == "python" else word for word in container["command"]]
        given = {variable["name"]: variable["value"] for variable in container["env"]}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | given, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.logged = threading.Thread(target=self._keep_log, daemon=True)
        self.logged.start()

    def _keep_log(self) -> None:
        assert self.process.stdout is not None
        with self.log.open("a") as log:
            for line in self.process.stdout:
                stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                log.write(f"{stamp} {line.rstrip()}\n")
                log.flush()

    def described(self) -> dict[str, Any]:
        status = self.process.poll()
        if status is None:
            state: dict[str, Any] = {"running": {"startedAt": "2025-01-01T00:00:00Z"}}
        else:
            reason = "Error" if status else "Completed"
            state = {"terminated": {"exitCode": status if status >= 0 else 128 - status, "reason": reason}}
        container = {
            "name": self.container, "image": "image", "imageID": "image", "restartCount": 0,
            "ready": status is None, "started": status is None, "state": state,
        }  # fmt: skip
        phase = "Running" if status is None else "Failed" if status else "Succeeded"
        return self.body | {"status": {"phase": phase, "containerStatuses": [container]}}


class KubernetesDouble:
    """A context manager; `kubeconfig` names it, `created` holds the pods that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pods: dict[str, Pod] = {}
        self.created: list[dict[str, Any]] = []
        self.deleted: list[str] = []

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

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.created.append(body)
        pod = self.pods[body["metadata"]["name"]] = Pod(body, self.folder)
        return pod.described()

    def delete(self, name: str) -> dict[str, Any]:
        """Ask the pod's process to end, as the kubelet does, and forget the pod when it has."""
        self.deleted.append(name)
        pod = self.pods[name]
        pod.process.terminate()
        pod.process.wait(pod.body["spec"]["terminationGracePeriodSeconds"])
        return self.pods.pop(name).described()


def _handler(double: KubernetesDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(double.create(body), 201)

        def do_DELETE(self) -> None:
            self._answer(double.delete(urlsplit(self.path).path.rsplit("/", 1)[1]))

        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            if path.endswith("/log"):
                self._follow(double.pods[path.split("/")[-2]])
            else:
                [selector] = query["fieldSelector"]
                name = selector.removeprefix("metadata.name=")
                items = [pod.described() for key, pod in double.pods.items() if key == name]
                self._answer({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})

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

        def _answer(self, value: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
