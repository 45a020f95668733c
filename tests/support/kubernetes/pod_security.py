"""The Pod Security Standard `restricted`, as https://kubernetes.io/docs/concepts/security/pod-security-standards/ has it.

Takes a pod's spec as it goes over the wire; gives what an API server says against it, in its words and its order.
"""

from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

_VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
)  # fmt: skip
_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}  # fmt: skip
_SELINUX_TYPES = (None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def refusal(spec: Json, level: str = "restricted:latest") -> str:
    """What the API server answers after the pod's name; empty where the pod may be."""
    found = list(violations(spec))
    return f'violates PodSecurity "{level}": {", ".join(found)}' if found else ""


def violations(spec: Json) -> Iterator[str]:
    """Each rule that the pod breaks."""
    pod, everyone = spec.get("securityContext", {}), _containers(spec)
    rootless = spec.get("hostUsers", True)  # in a user namespace root is nobody outside

    def each(breaks: Callable[[Json], object]) -> str:
        return _named([c["name"] for c in everyone if breaks(c.get("securityContext", {}))])

    def inherited(breaks: Callable[[Json], bool], says: Callable[[Json], bool]) -> str:
        """Containers for which neither they nor the pod say what they must."""
        good = says(pod) and not breaks(pod)
        return each(lambda c: breaks(c) or not (says(c) or good))

    yield from _of_host(spec)
    if bad := each(lambda c: c.get("privileged")):
        yield f"privileged ({bad} must not set securityContext.privileged=true)"
    if bad := each(lambda c: c.get("allowPrivilegeEscalation") is not False):
        yield f"allowPrivilegeEscalation != false ({bad} must set securityContext.allowPrivilegeEscalation=false)"
    if bad := each(lambda c: "ALL" not in c.get("capabilities", {}).get("drop", [])):
        yield f'unrestricted capabilities ({bad} must set securityContext.capabilities.drop=["ALL"])'
    if bad := each(lambda c: set(c.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}):
        yield f"unrestricted capabilities ({bad} must not add any in securityContext.capabilities.add)"
    if bad := each(lambda c: c.get("procMount", "Default") != "Default"):
        yield f"procMount ({bad} must not set securityContext.procMount)"
    for volume in spec.get("volumes", []):
        if wrong := [kind for kind in volume if kind != "name" and kind not in _VOLUMES]:
            yield f'restricted volume types (volume "{volume["name"]}" uses restricted volume type "{wrong[0]}")'
    if rootless and (
        bad := inherited(lambda c: c.get("runAsNonRoot") is False, lambda c: "runAsNonRoot" in c)
    ):
        yield f"runAsNonRoot != true (pod or {bad} must set securityContext.runAsNonRoot=true)"
    if rootless and (bad := each(lambda c: c.get("runAsUser", pod.get("runAsUser")) == 0)):
        yield f"runAsUser=0 ({bad} must not set runAsUser=0)"
    allowed = ("RuntimeDefault", "Localhost")
    if bad := inherited(
        lambda c: "seccompProfile" in c and c["seccompProfile"].get("type") not in allowed,
        lambda c: "seccompProfile" in c,
    ):
        yield (
            f'seccompProfile (pod or {bad} must set securityContext.seccompProfile.type to "RuntimeDefault" or '
            '"Localhost")'
        )
    for context in (pod, *(c.get("securityContext", {}) for c in everyone)):
        if context.get("windowsOptions", {}).get("hostProcess"):
            yield "hostProcess (securityContext.windowsOptions.hostProcess=true)"
        if context.get("appArmorProfile", {}).get("type", allowed[0]) not in allowed:
            yield "forbidden AppArmor profile"
        selinux = context.get("seLinuxOptions", {})
        if selinux.get("type") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
            yield "seLinuxOptions"
    if unsafe := [s["name"] for s in pod.get("sysctls", []) if s["name"] not in _SYSCTLS]:
        yield f"forbidden sysctls ({', '.join(unsafe)})"


def _of_host(spec: Json) -> Iterator[str]:
    """What would be the node's own: namespaces, ports, and addresses that probes ask."""
    if shared := [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]:
        yield f"host namespaces ({', '.join(shared)})"
    for container in _containers(spec):
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"hostPort ({_named([container['name']])} uses hostPorts)"
        asked = [container.get(f"{name}Probe", {}) for name in ("startup", "readiness", "liveness")]
        asked += container.get("lifecycle", {}).values()
        if any(ask.get(way, {}).get("host") for ask in asked for way in ("httpGet", "tcpSocket")):
            yield f"probe or lifecycle host ({_named([container['name']])} uses probe or lifecycle hosts)"


def _containers(spec: Json) -> list[Json]:
    return [c for kind in ("initContainers", "containers", "ephemeralContainers") for c in spec.get(kind, [])]


def _named(names: list[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"container{'s' if len(names) > 1 else ''} {quoted}" if names else ""
