"""Volume mounts and block devices of a container.

Source: pkg/apis/core/validation @1.36. Some paths name the list, not the item, as Kubernetes does.
"""

from __future__ import annotations

from collections.abc import Mapping

from understudy.kapi.resources.kinds import paths
from understudy.kube import causes, objects, statuses

Causes = list[statuses.Cause]

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def validate(container: objects.Object, path: str, volumes: Mapping[str, objects.Object]) -> Causes:
    """Check volumeMounts and volumeDevices against the pod's volumes and each other."""
    mounts = container.get("volumeMounts") or []
    devices = container.get("volumeDevices") or []
    out: Causes = []
    seen: set[str] = set()
    device_names = {one.get("name") for one in devices}
    device_paths = {one.get("devicePath") for one in devices}
    for index, mount in enumerate(mounts):
        name, where = mount.get("name") or "", mount.get("mountPath") or ""
        if name in volumes and where and where not in seen and not devices and len(mount) <= 2:
            seen.add(where)
            continue
        at = f"{path}.volumeMounts[{index}]"
        if not name:
            out.append(causes.required(f"{at}.name"))
        if name not in volumes:
            out.append(causes.not_found(f"{at}.name", name))
        if not where:
            out.append(causes.required(f"{at}.mountPath"))
        if where in seen:
            out.append(causes.invalid(f"{at}.mountPath", where, "must be unique"))
        seen.add(where)
        if name in device_names:
            text = "must not already exist in volumeDevices"
            out.append(causes.invalid(f"{at}.name", name, text))
        if where in device_paths:
            text = "must not already exist as a path in volumeDevices"
            out.append(causes.invalid(f"{at}.mountPath", where, text))
        out += _sub_paths(mount, at, f"{path}.volumeMounts")
        out += _modes(mount, container, f"{path}.volumeMounts")
    if devices:
        out += _devices(devices, mounts, volumes, f"{path}.volumeDevices")
    return out


def _sub_paths(mount: objects.Object, at: str, field: str) -> Causes:
    sub, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    out: Causes = []
    if sub:
        out += paths.descending(sub, f"{field}.subPath")
    if expression:
        if sub:
            text = "subPathExpr and subPath are mutually exclusive"
            out.append(causes.invalid(f"{at}.subPathExpr", expression, text))
        out += paths.descending(expression, f"{field}.subPathExpr")
    return out


def _modes(mount: objects.Object, container: objects.Object, field: str) -> Causes:
    propagation, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    out: Causes = []
    if propagation is not None:
        at = f"{field}.mountPropagation"
        if propagation not in _PROPAGATIONS:
            out.append(causes.unsupported(at, propagation, _PROPAGATIONS))
        privileged = (container.get("securityContext") or {}).get("privileged")
        if propagation == "Bidirectional" and not privileged:
            text = "Bidirectional mount propagation is available only to privileged containers"
            out.append(causes.forbidden(at, text))
    if recursive in {"Enabled", "IfPossible"}:
        at = f"{field}.recursiveReadOnly"
        if not mount.get("readOnly"):
            out.append(causes.forbidden(at, "may only be specified when readOnly is true"))
        if propagation not in {None, "None"}:
            text = "may only be specified when mountPropagation is None or not specified"
            out.append(causes.forbidden(at, text))
    elif recursive is not None and recursive != "Disabled":
        out.append(causes.unsupported(f"{field}.recursiveReadOnly", recursive, _RECURSIVE))
    return out


def _devices(
    devices: list[objects.Object],
    mounts: list[objects.Object],
    volumes: Mapping[str, objects.Object],
    field: str,
) -> Causes:
    out: Causes = []
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    mounted_names = {one.get("name") for one in mounts}
    mounted_paths = {one.get("mountPath") for one in mounts}
    for index, device in enumerate(devices):
        at = f"{field}[{index}]"
        name, where = device.get("name") or "", device.get("devicePath") or ""
        volume = volumes.get(name)
        if not name:
            out.append(causes.required(f"{at}.name"))
        if name in seen_names:
            out.append(causes.invalid(f"{at}.name", name, "must be unique"))
        if volume is None:
            out.append(causes.not_found(f"{at}.name", name))
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            text = (
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for"
                " block mode"
            )
            out.append(causes.invalid(f"{at}.name", name, text))
        if not where:
            out.append(causes.required(f"{at}.devicePath"))
        if where in seen_paths:
            out.append(causes.invalid(f"{at}.devicePath", where, "must be unique"))
        if where and paths.no_backsteps(where, at):
            text = "can not contain backsteps ('..')"
            out.append(causes.invalid(f"{at}.devicePath", where, text))
        else:
            seen_paths.add(where)
        if name in mounted_names:
            text = "must not already exist in volumeMounts"
            out.append(causes.invalid(f"{at}.name", name, text))
        if where in mounted_paths:
            text = "must not already exist as a path in volumeMounts"
            out.append(causes.invalid(f"{at}.devicePath", where, text))
        if name:
            seen_names.add(name)
    return out
