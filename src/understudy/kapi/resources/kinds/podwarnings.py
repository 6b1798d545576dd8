"""Warnings about pods and pod templates: what is deprecated, duplicate or surprising.

Source: pkg/api/pod/warnings.go, pkg/api/node/util.go @1.36.
"""

from __future__ import annotations

from collections.abc import Iterator

from understudy.kapi.resources.kinds import podsystems, requirements
from understudy.kube import names, objects, series

_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": (
        'non-functional in v1.11+; use the "sysctls" field instead'
    ),
    "security.alpha.kubernetes.io/unsafe-sysctls": (
        'non-functional in v1.11+; use the "sysctls" field instead'
    ),
}
NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
}
_LISTS = ("initContainers", "containers", "ephemeralContainers")
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_TEXT = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_ARMOR_TEXT = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def of_pod(pod: objects.Object, quiet: series.Series[bool]) -> list[str]:
    """Return the warnings that creating a pod gives."""
    name = objects.name_of(pod)
    out: list[str] = []
    if complaints := names.dns_label(name):
        shown = "[" + " ".join(complaints) + "]"
        out.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising"
            f" behavior; a DNS label is recommended: {shown}"
        )
    spec, meta = pod.get("spec") or {}, objects.metadata(pod)
    key = quiet.key(spec)
    if quiet.get(key) is None:
        if of_spec(spec, {}, ""):
            return out + of_spec(spec, meta, "")
        quiet.put(key, True)
    if annotations := podsystems.meaningful(pod):
        # Nothing in the spec itself: what is left is what is said about annotations.
        out += _known_annotations(annotations, "") + _profiles(spec, annotations, "")
    return out


def of_template(template: objects.Object, field: str) -> list[str]:
    """Return the warnings about a template at a path such as `spec.template`."""
    return of_spec(template.get("spec") or {}, template.get("metadata") or {}, f"{field}.")


def of_spec(spec: objects.Object, meta: objects.Object, prefix: str) -> list[str]:
    """Return the warnings about a spec; `prefix` is empty, or a path with its dot."""
    at = f"{prefix}spec"
    out = [
        f"{at}.nodeSelector[{key}]: {NODE_LABELS[key]}"
        for key in spec.get("nodeSelector") or {}
        if key in NODE_LABELS
    ]
    if affinity := spec.get("affinity"):
        out += _node_affinity(affinity.get("nodeAffinity") or {}, f"{at}.affinity.nodeAffinity")
    for index, one in enumerate(spec.get("topologySpreadConstraints") or ()):
        path, key = f"{at}.topologySpreadConstraints[{index}]", one.get("topologyKey") or ""
        if key in NODE_LABELS:
            out.append(f"{path}.topologyKey: {key} is {NODE_LABELS[key]}")
        if one.get("labelSelector") is None:
            text = "a null labelSelector results in matching no pod"
            out.append(f"{path}.labelSelector: {text}")
    annotations = meta.get("annotations") or {}
    if annotations:
        out += _known_annotations(annotations, prefix)
    for index, volume in enumerate(spec.get("volumes") or ()):
        out += [
            f"{at}.volumes[{index}].{'storageOS' if key == 'storageos' else key}: {_VOLUMES[key]}"
            for key in volume
            if key in _VOLUMES
        ]
    out += _duplicates(spec, at)
    for name in ("memory", "ephemeral-storage"):
        out += fractional(spec.get("overhead") or {}, name, f"{at}.overhead")
    if annotations:
        out += _profiles(spec, annotations, prefix)
    for one, path in _visit(spec, at):
        out += _container(one, path)
    grace = spec.get("terminationGracePeriodSeconds")
    out += _ports(spec, at)
    if grace is not None and grace < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1."
        out.append(f"{at}.terminationGracePeriodSeconds: {text}")
    return out


def _known_annotations(annotations: objects.Object, prefix: str) -> list[str]:
    path = f"{prefix}metadata.annotations"
    return [f"{path}[{key}]: {text}" for key, text in _ANNOTATIONS.items() if key in annotations]


def _visit(spec: objects.Object, field: str) -> Iterator[tuple[objects.Object, str]]:
    for key in _LISTS:
        for index, one in enumerate(spec.get(key) or ()):
            yield one, f"{field}.{key}[{index}]"


def _each(spec: objects.Object) -> list[objects.Object]:
    return [one for key in _LISTS for one in spec.get(key) or ()]


def _node_affinity(affinity: objects.Object, field: str) -> list[str]:
    terms = [
        (term, f"{field}.{_REQUIRED}.nodeSelectorTerms[{index}]")
        for index, term in enumerate((affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ())
    ] + [
        (one.get("preference") or {}, f"{field}.{_PREFERRED}[{index}].preference")
        for index, one in enumerate(affinity.get(_PREFERRED) or ())
    ]
    return [text for term, path in terms for text in of_node_term(term, path)]


def of_node_term(term: objects.Object, field: str) -> list[str]:
    """Return the warnings about labels in a node selector term that nodes no longer get."""
    return [
        f"{field}.matchExpressions[{index}].key: {one['key']} is {NODE_LABELS[one['key']]}"
        for index, one in enumerate(term.get("matchExpressions") or ())
        if one.get("key") in NODE_LABELS
    ]


def _duplicates(spec: objects.Object, at: str) -> list[str]:
    out: list[str] = []
    for key, part, what in (("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")):
        seen: set[str] = set()
        for index, one in enumerate(spec.get(key) or ()):
            value = one.get(part) or ""
            if value in seen:
                out.append(f'{at}.{key}[{index}].{part}: duplicate {what} "{value}"')
            seen.add(value)
    for index, one in enumerate(spec.get("imagePullSecrets") or ()):
        if not one.get("name"):
            out.append(f'{at}.imagePullSecrets[{index}].name: invalid empty name ""')
    return out


def fractional(amounts: objects.Object, name: str, field: str) -> list[str]:
    """Return the warning about an amount of bytes that is not whole."""
    value = amounts.get(name)
    if value is None or str(value)[-1:] != "m":
        return []
    if requirements.parse(value).milli_value % 1000 == 0:
        return []
    text = f'fractional byte value "{value}" is invalid, must be an integer'
    return [f"{field}[{name}]: {text}"]


def _profiles(spec: objects.Object, annotations: dict[str, str], prefix: str) -> list[str]:
    context = spec.get("securityContext") or {}
    path = f"{prefix}metadata.annotations"
    out: list[str] = []
    if _SECCOMP_POD in annotations and context.get("seccompProfile") is None:
        out.append(f"{path}[{_SECCOMP_POD}]: {_SECCOMP_TEXT}")
    for one, _ in _visit(spec, ""):
        own, name = one.get("securityContext") or {}, one.get("name") or ""
        if own.get("seccompProfile") is None and _SECCOMP_CONTAINER + name in annotations:
            out.append(f"{path}[{_SECCOMP_CONTAINER}{name}]: {_SECCOMP_TEXT}")
        has_armor = own.get("appArmorProfile") or context.get("appArmorProfile")
        if has_armor is None and _ARMOR + name in annotations:
            out.append(f"{path}[{_ARMOR}{name}]: {_ARMOR_TEXT}")
    return out


def _container(one: objects.Object, path: str) -> list[str]:
    out: list[str] = []
    if resources := one.get("resources"):
        for name in ("memory", "ephemeral-storage"):
            for key in ("limits", "requests"):
                amounts = resources.get(key)
                if amounts:
                    out += fractional(amounts, name, f"{path}.resources.{key}")
    env = one.get("env") or ()
    if len(env) > 1 and len({variable.get("name") for variable in env}) != len(env):
        seen: set[str] = set()
        for index, variable in enumerate(env):
            name = variable.get("name") or ""
            if name in seen:
                value, reference = variable.get("value") or "", f"$({name})"
                harmless = reference in value and value != reference
                if variable.get("valueFrom") is not None or not harmless:
                    text = "which may be dropped when using apply"
                    out.append(
                        f'{path}.env[{index}]: hides previous definition of "{name}", {text}'
                    )
            seen.add(name)
    return out


def _ports(spec: objects.Object, at: str) -> list[str]:
    out: list[str] = []
    seen: dict[tuple[int, str], list[tuple[str, objects.Object]]] = {}
    every = [port for one in _each(spec) for port in one.get("ports") or ()]
    if len({port.get("containerPort") for port in every}) == len(every) and not any(
        "hostIP" in port for port in every
    ):
        return out
    for one, path in _visit(spec, at):
        for index, port in enumerate(one.get("ports") or ()):
            where = f"{path}.ports[{index}]"
            host = port.get("hostPort") or 0
            if port.get("hostIP") and not host:
                shown = (
                    f"{{Name:{port.get('name') or ''} HostPort:0"
                    f" ContainerPort:{port.get('containerPort') or 0}"
                    f" Protocol:{port.get('protocol') or ''} HostIP:{port['hostIP']}}}"
                )
                out.append(f"{where}: hostIP set without hostPort: {shown}")
            key = (port.get("containerPort") or 0, port.get("protocol") or "")
            for other_path, other in seen.get(key, ()):
                other_host = other.get("hostPort") or 0
                same_ip = (port.get("hostIP") or "") == (other.get("hostIP") or "")
                if same_ip and host == other_host:
                    out.append(f"{where}: duplicate port definition with {other_path}")
                elif not host or not other_host:
                    out.append(f"{where}: overlapping port definition with {other_path}")
                elif host == other_host and not (port.get("hostIP") and other.get("hostIP")):
                    out.append(f"{where}: dangerously ambiguous port definition with {other_path}")
            seen.setdefault(key, []).append((where, port))
    return out
