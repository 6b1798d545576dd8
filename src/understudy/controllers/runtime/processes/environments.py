"""The environment and the command line of a container, as a kubelet makes them. Pure.

Beside what the pod says, a process finds:

    PORT                    the local port of the container's first declared port
    UNDERSTUDY_PORT_8080    the local port of any port that the pod declares
    UNDERSTUDY_ROOT         the directory under which its volumes are mounted
    UNDERSTUDY_MOUNT_DATA   where the volume `data` is mounted
    UNDERSTUDY_TERMINATION_LOG   the file for a last message (terminationMessagePath)
    UNDERSTUDY_GATEWAY      where the gateway leads the cluster's own host names from
    HOSTNAME                the pod's name, or its spec.hostname
    PATH, HOME, LANG, ...   the server's own, nothing else of its environment

Source: pkg/kubelet/kubelet_pods.go makeEnvironmentVariables; third_party/forked/golang/expansion.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from understudy.kube import objects, quantities

INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
"""What of the server's environment a process gets; a container would find the image's."""
OWN: Final = "UNDERSTUDY_"
"""Names that a pod cannot set: they say where things are on this machine."""

_REFERENCE: Final = re.compile(r"\$(?:\$|\(([^)]*)\))")
_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")

Find = Callable[[str, str], objects.Object | None]
"""Returns a ConfigMap or Secret of the pod's namespace by resource and name."""


class ContainerConfigError(Exception):
    """The environment cannot be made; the message is the kubelet's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the environment is made of, beside the pod.

    Attributes:
        base: Variables that the pod's own may override.
        own: Variables that they may not.
        ports: Local ports by declared ones.
        allocatable: What the node has, where the pod sets no limit.
        find: Looks up what is referred to.
    """

    base: Mapping[str, str]
    own: Mapping[str, str]
    ports: Mapping[int, int]
    allocatable: Mapping[str, str]
    find: Find


def environment(
    pod: objects.Object, container: objects.Object, around: Surroundings
) -> dict[str, str]:
    """Return a container's variables.

    Raises:
        ContainerConfigError: Something referred to is not there.
    """
    hostname = (pod.get("spec") or {}).get("hostname") or objects.name_of(pod)
    found = {**around.base, "HOSTNAME": str(hostname)}
    first = next((int(one["containerPort"]) for one in container.get("ports") or ()), 0)
    if first in around.ports:
        found["PORT"] = str(around.ports[first])
    found |= {f"{OWN}PORT_{port}": str(local) for port, local in around.ports.items()}
    found |= around.own
    for source in container.get("envFrom") or ():
        given = _all_of(source, around.find)
        found |= {name: value for name, value in given.items() if not name.startswith(OWN)}
    for variable in container.get("env") or ():
        name = str(variable["name"])
        value = _value_of(variable, pod, container, found, around)
        if value is None or name.startswith(OWN):
            continue
        if name == "PORT" and value.isdigit():
            value = str(around.ports.get(int(value), found.get("PORT", value)))
        found[name] = value
    return found


def command_line(container: objects.Object, variables: Mapping[str, str]) -> list[str]:
    """Return command and arguments, with variables in place of their references."""
    words: Sequence[str] = [*(container.get("command") or ()), *(container.get("args") or ())]
    return [expand(word, variables) for word in words]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable; `$$` is a dollar; what is not known stays as it is.

    Example: `expand("$(HOST):$$(PORT)", {"HOST": "a"})` is `a:$(PORT)`.
    """

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(replacement, text)


def _all_of(source: objects.Object, find: Find) -> dict[str, str]:
    prefix = str(source.get("prefix") or "")
    for field, ref in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
        wanted = source.get(field)
        if not wanted:
            continue
        data = _data_of(find(ref, str(wanted.get("name"))), ref)
        if data is None:
            if wanted.get("optional"):
                return {}
            raise ContainerConfigError(f'{ref[:-1]} "{wanted.get("name")}" not found')
        return {prefix + key: value for key, value in data.items()}
    return {}


def _value_of(
    variable: objects.Object,
    pod: objects.Object,
    container: objects.Object,
    known: Mapping[str, str],
    around: Surroundings,
) -> str | None:
    """Return a variable's value, None where an optional source is not there."""
    source = variable.get("valueFrom")
    if not source:
        return expand(str(variable.get("value") or ""), known)
    if chosen := source.get("fieldRef"):
        return field_value(pod, str(chosen.get("fieldPath")))
    if chosen := source.get("resourceFieldRef"):
        return resource_value(pod, chosen, around.allocatable, str(container["name"]))
    for field, ref, kind in (("configMapKeyRef", "configmaps", "ConfigMap"),
                             ("secretKeyRef", "secrets", "Secret")):  # fmt: skip
        chosen = source.get(field)
        if not chosen:
            continue
        name, key = str(chosen.get("name")), str(chosen.get("key"))
        data = _data_of(around.find(ref, name), ref)
        if data is not None and key in data:
            return data[key]
        if chosen.get("optional"):
            return None
        if data is None:
            raise ContainerConfigError(f'{kind.lower()} "{name}" not found')
        namespace = objects.namespace_of(pod)
        raise ContainerConfigError(f"couldn't find key {key} in {kind} {namespace}/{name}")
    kinds = ", ".join(source)
    raise ContainerConfigError(f"variable {variable['name']}: {kinds} cannot be had by a process")


def _data_of(found: objects.Object | None, ref: str) -> dict[str, str] | None:
    """Return the texts in a ConfigMap or Secret, None where there is none."""
    if found is None:
        return None
    if ref == "configmaps":
        return {str(key): str(value) for key, value in (found.get("data") or {}).items()}
    return {
        str(key): binary(value).decode("utf-8", "surrogateescape")
        for key, value in (found.get("data") or {}).items()
    }


def binary(text: str | None) -> bytes:
    """Return the bytes of a base64 value of a Secret."""
    return base64.b64decode(text or "")


def field_value(pod: objects.Object, path: str) -> str:
    """Return a field of the pod as the downward API gives it.

    Raises:
        ContainerConfigError: It gives no such field.
    """
    if match := _SUBSCRIPT.fullmatch(path):
        return str((objects.metadata(pod).get(match[1]) or {}).get(match[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        held = objects.metadata(pod).get(path.partition(".")[2]) or {}
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(held.items()))
    status = pod.get("status") or {}
    if path == "status.podIPs":
        return ",".join(str(one["ip"]) for one in status.get("podIPs") or ())
    if path == "status.hostIPs":
        return ",".join(str(one["ip"]) for one in status.get("hostIPs") or ())
    if path not in _FIELDS:
        raise ContainerConfigError(f"unsupported fieldPath: {path}")
    return str(objects.lookup(pod, path.split("."), "") or "")


def resource_value(
    pod: objects.Object,
    chosen: objects.Object,
    allocatable: Mapping[str, str],
    container: str = "",
) -> str:
    """Return a container's request or limit in the wanted unit, rounded up.

    A limit that is not set is what the node has; a request that is not set is the limit, if any.

    Raises:
        ContainerConfigError: No such container or resource.
    """
    name = str(chosen.get("containerName") or container)
    spec = pod.get("spec") or {}
    every = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    found = next((one for one in every if one.get("name") == name), None)
    kind, _, resource = str(chosen.get("resource")).partition(".")
    if found is None or kind not in {"limits", "requests"}:
        raise ContainerConfigError(f"unsupported container resource: {chosen.get('resource')}")
    resources = found.get("resources") or {}
    limit = (resources.get("limits") or {}).get(resource)
    text = (resources.get("requests") or {}).get(resource) if kind == "requests" else limit
    if text is None:
        text = limit if kind == "requests" else None
    if text is None:
        text = allocatable.get(resource, "0") if kind == "limits" else "0"
    divisor = quantities.parse(str(chosen.get("divisor") or "1")).scaled(quantities.NANO)
    amount = quantities.parse(str(text)).scaled(quantities.NANO)
    return str(-(-amount // (divisor or 10**-quantities.NANO)))


_FIELDS: Final = frozenset({
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.podIP", "status.hostIP",
})  # fmt: skip


def _quoted(value: str) -> str:
    return json.dumps(str(value), ensure_ascii=False)
