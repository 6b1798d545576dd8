"""The payload of an app, a container or a pod, as the pod part of a Revision template."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from understudy.apps import records, settings
from understudy.kube import objects, quantities

APP_CONTAINER = "app"
_STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_FLYTE = "abcdefghijklmnopqrstuvwxyz123456"
_TO_FLYTE = str.maketrans(_STANDARD, _FLYTE)
_RESOURCE_NAMES = {
    records.ResourceName.CPU: "cpu",
    records.ResourceName.MEMORY: "memory",
    records.ResourceName.STORAGE: "storage",
    records.ResourceName.EPHEMERAL_STORAGE: "ephemeral-storage",
}


@dataclass(slots=True, kw_only=True)
class Payload:
    """A pod template in the making.

    Attributes:
        primary: Index of the container that the app's environment goes to.
    """

    pod_spec: objects.Object
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    primary: int = 0


def pod_template(
    spec: records.Spec, config: settings.AppSettings, problems: list[tuple[str, str]]
) -> Payload:
    """Build the pod part of a template, noting in `problems` what cannot be honoured."""
    if spec.container is not None and spec.pod is not None:
        problems.append(("spec", "needs either a container or a pod, not both"))
    if spec.container is not None:
        payload = _from_container(spec.container, config, problems)
    elif spec.pod is not None:
        payload = _from_pod(spec.pod, problems)
    else:
        problems.append(("spec", "app spec has no payload (container or pod required)"))
        return Payload(pod_spec={"containers": []})
    if spec.extended_resources is not None:
        _extend(payload, spec.extended_resources, config, problems)
    return payload


def secret_annotations(secrets: Sequence[records.Secret]) -> dict[str, str]:
    """Return the annotations by which Flyte's webhook finds the secrets to put into the pod."""
    return {f"flyte.secrets/s{index}": _encoded(one) for index, one in enumerate(secrets)}


def same_quantity(one: objects.Json, other: objects.Json) -> bool:
    """Say whether two values are one quantity written differently, e.g. `1000m` and `1`."""
    try:
        return bool(quantities.canonical(str(one)) == quantities.canonical(str(other)))
    except ValueError:
        return False


def _from_container(
    container: records.Container,
    config: settings.AppSettings,
    problems: list[tuple[str, str]],
) -> Payload:
    out: objects.Object = {"name": APP_CONTAINER, "image": container.image}
    if container.command:
        out["command"] = list(container.command)
    if container.args:
        out["args"] = list(container.args)
    if container.working_dir:
        out["workingDir"] = container.working_dir
    if container.env:
        out["env"] = [{"name": one.key, "value": one.value} for one in container.env]
    if container.ports:
        out["ports"] = [
            {"containerPort": one.container_port} | ({"name": one.name} if one.name else {})
            for one in container.ports
        ]
    if container.resources is not None:
        resources = {
            kind: amounts
            for kind, entries in (
                ("requests", container.resources.requests),
                ("limits", container.resources.limits),
            )
            if (amounts := _amounts(entries, f"spec.container.resources.{kind}", config, problems))
        }
        if resources:
            out["resources"] = resources
    return Payload(pod_spec={"enableServiceLinks": False, "containers": [out]})


def _amounts(
    entries: Sequence[records.ResourceEntry],
    path: str,
    config: settings.AppSettings,
    problems: list[tuple[str, str]],
) -> dict[str, str]:
    out: dict[str, str] = {}
    for index, entry in enumerate(entries):
        at = f"{path}[{index}]"
        if entry.name is records.ResourceName.GPU:
            name = config.gpu_resource
        elif entry.name in _RESOURCE_NAMES:
            name = _RESOURCE_NAMES[entry.name]
        else:
            problems.append((f"{at}.name", "must name a resource"))
            continue
        try:
            quantities.canonical(entry.value)
        except ValueError as error:
            problems.append((f"{at}.value", f"{entry.value!r} is not a quantity: {error}"))
            continue
        out[name] = entry.value
    return out


def _from_pod(pod: records.K8sPod, problems: list[tuple[str, str]]) -> Payload:
    if pod.pod_spec is None:
        problems.append(("spec.pod.podSpec", "K8sPod app payload has no pod spec"))
        return Payload(pod_spec={"containers": []})
    spec = objects.copy(pod.pod_spec)
    containers = spec.get("containers")
    if not isinstance(containers, list) or not all(isinstance(one, dict) for one in containers):
        problems.append(("spec.pod.podSpec.containers", "must be a list of containers"))
        return Payload(pod_spec={"containers": []})
    for index, container in enumerate(containers):
        _check_quantities(container, f"spec.pod.podSpec.containers[{index}]", problems)
    spec.setdefault("enableServiceLinks", False)
    primary = _primary(containers, pod.primary_container_name, problems)
    metadata = pod.metadata or records.K8sObjectMetadata()
    return Payload(
        pod_spec=spec,
        labels=dict(metadata.labels),
        annotations=dict(metadata.annotations),
        primary=primary,
    )


def _primary(containers: list[objects.Object], name: str, problems: list[tuple[str, str]]) -> int:
    """Return the index of the named container, else of the one with a port, else the first."""
    for index, container in enumerate(containers):
        if name and container.get("name") == name:
            return index
    if name:
        problems.append(
            ("spec.pod.primaryContainerName", f"there is no container named {name!r} in the pod")
        )
    serving = [index for index, one in enumerate(containers) if one.get("ports")]
    return serving[0] if serving else 0


def _check_quantities(
    container: objects.Object, path: str, problems: list[tuple[str, str]]
) -> None:
    for kind in ("requests", "limits"):
        amounts = objects.lookup(container, ("resources", kind))
        for name, value in amounts.items() if isinstance(amounts, dict) else ():
            try:
                quantities.canonical(str(value))
            except ValueError as error:
                problems.append(
                    (f"{path}.resources.{kind}.{name}", f"{value!r} is not a quantity: {error}")
                )


def _extend(
    payload: Payload,
    extended: records.ExtendedResources,
    config: settings.AppSettings,
    problems: list[tuple[str, str]],
) -> None:
    containers = payload.pod_spec["containers"]
    if payload.primary >= len(containers):
        return
    container = containers[payload.primary]
    accelerator = extended.gpu_accelerator
    if accelerator is not None and accelerator.device:
        selector = payload.pod_spec.setdefault("nodeSelector", {})
        selector[config.gpu_node_label] = accelerator.device
        if accelerator.partition_size:
            problems.append(
                (
                    "spec.extendedResources.gpuAccelerator.partitionSize",
                    "is not supported; ask for the partition as a resource of a pod payload",
                )
            )
    shared = extended.shared_memory
    if shared is not None:
        name = shared.mount_name or "shared-memory"
        volume: objects.Object = {"name": name, "emptyDir": {"medium": "Memory"}}
        if shared.size_limit:
            volume["emptyDir"]["sizeLimit"] = shared.size_limit
        payload.pod_spec.setdefault("volumes", []).append(volume)
        mount = {"name": name, "mountPath": shared.mount_path or "/dev/shm"}  # noqa: S108 (in the pod)
        container.setdefault("volumeMounts", []).append(mount)


def _encoded(secret: records.Secret) -> str:
    """Encode as Flyte's marshaler does: protobuf text in a base32 of its own, unpadded."""
    lines = []
    for key, value in (
        ("group", secret.group),
        ("group_version", secret.group_version),
        ("key", secret.key),
    ):
        if value:
            lines.append(f"{key}: {_quoted(value)}\n")
    if secret.mount_requirement is not records.MountRequirement.ANY:
        lines.append(f"mount_requirement: {secret.mount_requirement.value}\n")
    if secret.env_var:
        lines.append(f"env_var: {_quoted(secret.env_var)}\n")
    text = base64.b32encode("".join(lines).encode()).decode().rstrip("=")
    return text.translate(_TO_FLYTE)


def _quoted(text: str) -> str:
    out = []
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\':
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif 32 <= byte < 127:
            out.append(char)
        else:
            out.append(f"\\{byte:03o}")
    return '"' + "".join(out) + '"'
