"""Containers of every sort: defaults and validity.

Checks look only at what is there, and build paths only for what is wrong: this runs for every
write of a pod. Source: pkg/apis/core/{v1,validation} @1.36.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field as attribute

from understudy.kapi.resources.kinds import images, mounts, probes, requirements, security
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESIZE_RESOURCES = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_EPHEMERAL_FORBIDDEN = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe",
    "readinessProbe", "startupProbe", "lifecycle",
)  # fmt: skip
_ENV_FIELDS = frozenset({
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
})  # fmt: skip
_FIELD_LABELS = _ENV_FIELDS | {
    "metadata.annotations", "metadata.labels", "spec.restartPolicy", "status.phase", "spec.host",
}  # fmt: skip
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu",
    "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_BYTE_DIVISORS = (
    "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
)  # fmt: skip
_BYTES_TEXT = "only divisor's values " + ", ".join(_BYTE_DIVISORS) + " are supported with the"


@dataclass(slots=True)
class Surroundings:
    """What a container's validity depends on besides itself.

    Attributes:
        volumes: The pod's valid volumes by name.
        claims: Names of the pod's resource claims.
        restart_policy: The pod's.
        host_users: False when the pod has its own user namespace.
        grace_s: The pod's termination grace period, None where it is not valid.
    """

    volumes: Mapping[str, objects.Object] = attribute(default_factory=dict)
    claims: tuple[str, ...] = ()
    restart_policy: str = "Always"
    host_users: bool = True
    grace_s: int | None = None


def default(container: objects.Object) -> None:
    """Fill in, in place, what SetDefaults fills in for a container."""
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = images.pull_policy(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    if resources := container.get("resources"):
        requirements.default(resources)
    else:
        container["resources"] = {}
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    if env := container.get("env"):
        _default_env(env)
    for key in _PROBES:
        probe = container.get(key)
        if probe is not None:
            probes.default(probe)
    if lifecycle := container.get("lifecycle"):
        for handler in (lifecycle.get("postStart"), lifecycle.get("preStop")):
            if handler is not None:
                probes.default_http(handler)


def _default_env(env: list[objects.Object]) -> None:
    for variable in env:
        source = variable.get("valueFrom")
        if source:
            default_field_ref(source.get("fieldRef"))
            file_ref = source.get("fileKeyRef")
            if file_ref is not None and file_ref.get("optional") is None:
                file_ref["optional"] = False


def default_field_ref(reference: objects.Object | None) -> None:
    """Fill in the apiVersion of a downward API reference, in place."""
    if reference is not None and not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def validate(containers: list[objects.Object], field: str, around: Surroundings) -> Causes:
    """Check a pod's regular containers."""
    if not containers:
        return [causes.required(field)]
    out: Causes = []
    seen: set[str] = set()
    for index, one in enumerate(containers):
        path = f"{field}[{index}]"
        _common(one, path, around, out)
        name = one.get("name") or ""
        if name in seen:
            out.append(causes.duplicate(f"{path}.name", name))
        seen.add(name)
        _running(one, path, around, out)
        if one.get("restartPolicy") is not None or one.get("restartPolicyRules"):
            out += _restart_rules(one, path)
    out += host_ports(containers, field)
    return out


def validate_init(
    containers: list[objects.Object],
    regular: list[objects.Object],
    field: str,
    around: Surroundings,
) -> Causes:
    """Check init containers; those that restart always may have probes and lifecycle hooks."""
    out: Causes = []
    seen = {one.get("name") or "" for one in regular}
    for index, one in enumerate(containers):
        path = f"{field}[{index}]"
        _common(one, path, around, out)
        name, policy = one.get("name") or "", one.get("restartPolicy")
        if policy is not None or one.get("restartPolicyRules"):
            out += _restart_rules(one, path)
        if name in seen:
            out.append(causes.duplicate(f"{path}.name", name))
        elif name:
            seen.add(name)
        out += host_ports([one], field)
        if policy == "Always":
            _running(one, path, around, out)
            continue
        text = "may not be set for init containers without restartPolicy=Always"
        out += [
            causes.forbidden(f"{path}.{key}", text)
            for key in ("lifecycle", *_PROBES)
            if one.get(key) is not None
        ]
    return out


def validate_ephemeral(
    containers: list[objects.Object],
    others: list[objects.Object],
    field: str,
    around: Surroundings,
) -> Causes:
    """Check ephemeral containers, which may have little more than an image and a command."""
    out: Causes = []
    other_names = {one.get("name") or "" for one in others}
    seen = set(other_names)
    for index, one in enumerate(containers):
        path = f"{field}[{index}]"
        _common(one, path, around, out)
        out += untrimmed(one, path)
        name, target = one.get("name") or "", one.get("targetContainerName")
        if name in seen:
            out.append(causes.duplicate(f"{path}.name", name))
        seen.add(name)
        if target and target not in other_names:
            out.append(causes.not_found(f"{path}.targetContainerName", target))
        text = "cannot be set for an Ephemeral Container"
        out += [
            causes.forbidden(f"{path}.{key}", text) for key in _EPHEMERAL_FORBIDDEN if one.get(key)
        ]
        out += [
            causes.forbidden(f"{path}.volumeMounts[{number}].{key}", text)
            for number, mount in enumerate(one.get("volumeMounts") or ())
            for key in ("subPath", "subPathExpr")
            if mount.get(key)
        ]
    return out


def untrimmed(container: objects.Object, field: str) -> Causes:
    """Complain about spaces around an image, which only templates may have."""
    image = container.get("image") or ""
    if image == image.strip():
        return []
    text = "must not have leading or trailing whitespace"
    return [causes.invalid(f"{field}.image", image, text)]


def _common(one: objects.Object, path: str, around: Surroundings, out: Causes) -> None:
    """Check what all sorts of containers have in common."""
    name = one.get("name")
    if not name:
        out.append(causes.required(f"{path}.name"))
    elif complaints := names.dns_label(name):
        out += causes.complaints(f"{path}.name", name, complaints)
    if not one.get("image"):
        out.append(causes.required(f"{path}.image"))
    policy = one.get("terminationMessagePolicy")
    if policy not in _MESSAGE_POLICIES:
        at = f"{path}.terminationMessagePolicy"
        out.append(
            causes.unsupported(at, policy, _MESSAGE_POLICIES) if policy else causes.required(at)
        )
    if one.get("imagePullPolicy") not in PULL_POLICIES:
        out += pull_policy(one.get("imagePullPolicy") or "", f"{path}.imagePullPolicy")
    if ports := one.get("ports"):
        _ports(ports, path, out)
    if env := one.get("env"):
        _env(env, path, out)
    if env_from := one.get("envFrom"):
        out += _env_from(env_from, f"{path}.envFrom")
    if one.get("volumeMounts") or one.get("volumeDevices"):
        out += mounts.validate(one, path, around.volumes)
    if resources := one.get("resources"):
        out += requirements.requirements(resources, f"{path}.resources", around.claims)
    if resize := one.get("resizePolicy"):
        out += _resize_policy(resize, f"{path}.resizePolicy", around.restart_policy)
    if context := one.get("securityContext"):
        out += security.container(context, f"{path}.securityContext", host_users=around.host_users)


def _running(one: objects.Object, path: str, around: Surroundings, out: Causes) -> None:
    """Check what only containers that keep running may have."""
    if lifecycle := one.get("lifecycle"):
        out += probes.validate_lifecycle(lifecycle, f"{path}.lifecycle", around.grace_s)
    for key in _PROBES:
        probe = one.get(key)
        if probe is not None:
            out += probes.validate(probe, f"{path}.{key}", kind=key)


def pull_policy(policy: str, field: str) -> Causes:
    """Check an image pull policy."""
    if policy in PULL_POLICIES:
        return []
    if not policy:
        return [causes.required(field)]
    return [causes.unsupported(field, policy, PULL_POLICIES)]


def _ports(ports: list[objects.Object], path: str, out: Causes) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name")
        if name:
            if complaints := names.port_name(name):
                out += causes.complaints(f"{path}.ports[{index}].name", name, complaints)
            elif name in seen:
                out.append(causes.duplicate(f"{path}.ports[{index}].name", name))
            seen.add(name)
        for key in ("containerPort", "hostPort"):
            number = port.get(key) or 0
            at = f"{path}.ports[{index}].{key}"
            if not number and key == "containerPort":
                out.append(causes.required(at))
            elif number and not 1 <= number <= 65535:
                out.append(causes.invalid(at, number, names.between(1, 65535)))
        protocol = port.get("protocol")
        if protocol not in PROTOCOLS:
            at = f"{path}.ports[{index}].protocol"
            out.append(
                causes.unsupported(at, protocol, PROTOCOLS) if protocol else causes.required(at)
            )


def host_ports(containers: list[objects.Object], field: str) -> Causes:
    """Complain about host ports taken twice."""
    out: Causes = []
    seen: set[str] = set()
    for index, one in enumerate(containers):
        for number, port in enumerate(one.get("ports") or ()):
            if not (host_port := port.get("hostPort")):
                continue
            key = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{host_port}"
            if key in seen:
                out.append(causes.duplicate(f"{field}[{index}].ports[{number}].hostPort", key))
            seen.add(key)
    return out


_ENV_NAMES = re.compile(r"[ -<>-~]+(\n[ -<>-~]+)*")
"""Names of variables, one a line, none of them empty, with `=` or with something unprintable."""


def _env(env: list[objects.Object], path: str, out: Causes) -> None:
    listed = "\n".join([variable.get("name") or "" for variable in env])
    is_plain = _ENV_NAMES.fullmatch(listed) is not None
    for index, variable in enumerate(env):
        if is_plain and "valueFrom" not in variable:
            continue
        name = variable.get("name") or ""
        if not (name.isascii() and name.isprintable() and "=" not in name and name):
            at = f"{path}.env[{index}].name"
            if not name:
                out.append(causes.required(at))
            else:
                out += causes.complaints(at, name, names.relaxed_env_name(name))
        source = variable.get("valueFrom")
        if source is not None:
            at = f"{path}.env[{index}].valueFrom"
            out += _value_from(source, variable.get("value") or "", at)


def _value_from(source: objects.Object, value: str, field: str) -> Causes:
    out: Causes = []
    count = 0
    if (reference := source.get("fieldRef")) is not None:
        count += 1
        out += field_ref(reference, _ENV_FIELDS, f"{field}.fieldRef")
    if (reference := source.get("resourceFieldRef")) is not None:
        count += 1
        out += resource_ref(reference, f"{field}.resourceFieldRef", in_volume=False)
    for key in ("configMapKeyRef", "secretKeyRef"):
        if (reference := source.get(key)) is not None:
            count += 1
            out += _key_ref(reference, f"{field}.{key}")
    if (reference := source.get("fileKeyRef")) is not None:
        count += 1
        out += _file_ref(reference, f"{field}.fileKeyRef")
    if not count:
        text = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`,"
            " `secretKeyRef` or `fileKeyRef`"
        )
        out.append(causes.invalid(field, "", text))
    elif value:
        out.append(causes.invalid(field, "", "may not be specified when `value` is not empty"))
    elif count > 1:
        text = "may not have more than one field specified at a time"
        out.append(causes.invalid(field, "", text))
    return out


def _key_ref(reference: objects.Object, field: str) -> Causes:
    name, key = reference.get("name") or "", reference.get("key") or ""
    out = causes.complaints(f"{field}.name", name, names.dns_subdomain(name))
    if not key:
        out.append(causes.required(f"{field}.key"))
    else:
        out += causes.complaints(f"{field}.key", key, names.config_map_key(key))
    return out


def _file_ref(reference: objects.Object, field: str) -> Causes:
    out: Causes = []
    for key, check in (("volumeName", names.dns_label), ("key", names.relaxed_env_name)):
        value = reference.get(key) or ""
        if not value:
            out.append(causes.required(f"{field}.{key}"))
        else:
            out += causes.complaints(f"{field}.{key}", value, check(value))
    path = reference.get("path") or ""
    if not path:
        out.append(causes.required(f"{field}.path"))
    return out


def field_ref(reference: objects.Object, known: frozenset[str], field: str) -> Causes:
    """Check a reference to a field of the pod itself, e.g. `metadata.labels['app']`."""
    path = reference.get("fieldPath") or ""
    if not reference.get("apiVersion"):
        return [causes.required(f"{field}.apiVersion")]
    if not path:
        return [causes.required(f"{field}.fieldPath")]
    base, bracket, rest = path.partition("['")
    subscripted = bool(bracket) and rest.endswith("']")
    version = reference["apiVersion"]
    if version != "v1" or (base if subscripted else path) not in _FIELD_LABELS:
        shown = base if subscripted else path
        if version != "v1":
            text = f"error converting fieldPath: unsupported pod version: {version}"
        elif subscripted:
            text = f"error converting fieldPath: field label does not support subscript: {path}"
        else:
            text = f"error converting fieldPath: field label not supported: {shown}"
        return [causes.invalid(f"{field}.fieldPath", path, text)]
    if subscripted:
        subscript = rest[:-2]
        if base == "metadata.annotations":
            subscript = subscript.lower()
        elif base != "metadata.labels":
            text = f"error converting fieldPath: field label does not support subscript: {path}"
            return [causes.invalid(f"{field}.fieldPath", path, text)]
        return causes.complaints(field, subscript, names.qualified_name(subscript))
    if path not in known:
        return [causes.unsupported(f"{field}.fieldPath", path, sorted(known))]
    return []


def resource_ref(reference: objects.Object, field: str, *, in_volume: bool) -> Causes:
    """Check a reference to a container's limits or requests."""
    resource = reference.get("resource") or ""
    out: Causes = []
    if in_volume and not reference.get("containerName"):
        out.append(causes.required(f"{field}.containerName"))
    elif not resource:
        out.append(causes.required(f"{field}.resource"))
    elif resource not in _RESOURCES and not _is_huge(resource):
        out.append(causes.unsupported(f"{field}.resource", resource, _RESOURCES))
    divisor = str(reference.get("divisor") or "0")
    if divisor == "0":
        return out
    at = f"{field}.divisor"
    if resource.endswith(".cpu"):
        if divisor not in {"1", "1m"}:
            text = "only divisor's values 1m and 1 are supported with the cpu resource"
            out.append(causes.invalid(at, resource, text))
    elif divisor not in _BYTE_DIVISORS:
        if resource.endswith(".memory"):
            out.append(causes.invalid(at, resource, f"{_BYTES_TEXT} memory resource"))
        elif resource.endswith(".ephemeral-storage"):
            text = f"{_BYTES_TEXT} local ephemeral storage resource"
            out.append(causes.invalid(at, resource, text))
        elif _is_huge(resource):
            out.append(causes.invalid(at, resource, f"{_BYTES_TEXT} hugepages resource"))
    return out


def _is_huge(resource: str) -> bool:
    return resource.startswith(("requests.hugepages-", "limits.hugepages-"))


def _env_from(values: list[objects.Object], field: str) -> Causes:
    out: Causes = []
    for index, one in enumerate(values):
        path = f"{field}[{index}]"
        if prefix := one.get("prefix"):
            out += causes.complaints(f"{path}.prefix", prefix, names.relaxed_env_name(prefix))
        count = 0
        for key in ("configMapRef", "secretRef"):
            if (reference := one.get(key)) is None:
                continue
            count += 1
            name, at = reference.get("name") or "", f"{path}.{key}.name"
            if not name:
                out.append(causes.required(at))
            else:
                checked = names.dns_subdomain(names.masked_prefix(name))
                out += causes.complaints(at, name, checked)
        if not count:
            text = "must specify one of: `configMapRef` or `secretRef`"
            out.append(causes.invalid(field, "", text))
        elif count > 1:
            text = "may not have more than one field specified at a time"
            out.append(causes.invalid(field, "", text))
    return out


def _resize_policy(values: list[objects.Object], field: str, restart_policy: str) -> Causes:
    out: Causes = []
    seen: set[str] = set()
    for index, one in enumerate(values):
        resource, policy = one.get("resourceName") or "", one.get("restartPolicy") or ""
        if resource in seen:
            out.append(causes.duplicate(f"{field}[{index}]", resource))
        seen.add(resource)
        for value, known in ((resource, _RESIZE_RESOURCES), (policy, _RESIZE_POLICIES)):
            if not value:
                out.append(causes.required(field))
            elif value not in known:
                out.append(causes.unsupported(field, value, known))
        if restart_policy == "Never" and policy != "NotRequired":
            text = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            out.append(causes.invalid(field, policy, text))
    return out


def _restart_rules(one: objects.Object, path: str) -> Causes:
    """Check a container's own restart policy and its rules by exit code."""
    out: Causes = []
    policy, rules = one.get("restartPolicy"), one.get("restartPolicyRules") or ()
    known = ("Always", "Never", "OnFailure")
    if policy is None:
        text = "must specify restartPolicy when restart rules are used"
        out.append(causes.required(f"{path}.restartPolicy", text))
    elif policy not in known:
        out.append(causes.unsupported(f"{path}.restartPolicy", policy, known))
    if len(rules) > 20:
        out.append(causes.too_long(f"{path}.restartPolicyRules", 20))
    for index, rule in enumerate(rules):
        at = f"{path}.restartPolicyRules[{index}]"
        action, codes = rule.get("action") or "", rule.get("exitCodes")
        actions = ("Restart", "RestartAllContainers")
        if action not in actions:
            out.append(causes.unsupported(f"{at}.action", action, actions))
        if codes is None:
            out.append(causes.required(f"{at}.exitCodes", "must be specified"))
            continue
        operator = codes.get("operator") or ""
        if operator not in {"In", "NotIn"}:
            out.append(causes.unsupported(f"{at}.exitCodes.operator", operator, ("In", "NotIn")))
        if len(codes.get("values") or ()) > 255:
            out.append(causes.too_long(f"{at}.exitCodes.values", 255))
    return out
