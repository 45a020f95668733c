"""Where a path of a container really lies: which volume it is on, and where there."""

from pathlib import PurePosixPath
from typing import Any

Json = dict[str, Any]


def on_volume(spec: Json, container: str, path: str | PurePosixPath) -> tuple[Json, str]:
    """The volume's source (its entry in the pod's spec less the name), and the path from its root.

    ({}, path) for what lies in the image itself.
    """
    path = PurePosixPath(path)
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    [mounts] = [c.get("volumeMounts", []) for c in containers if c["name"] == container]
    over = [mount for mount in mounts if path.is_relative_to(mount["mountPath"])]
    if not over:
        return {}, str(path)
    mount = max(over, key=lambda mount: len(PurePosixPath(mount["mountPath"]).parts))
    [volume] = [v for v in spec["volumes"] if v["name"] == mount["name"]]
    inside = PurePosixPath("/", mount.get("subPath", "")) / path.relative_to(mount["mountPath"])
    return {key: value for key, value in volume.items() if key != "name"}, str(inside)
