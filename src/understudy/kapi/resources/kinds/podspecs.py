"""The pod's spec and the template that workloads embed: defaults and validity.

Source: pkg/apis/core/{v1,validation} @1.36.
"""

from __future__ import annotations

from collections.abc import Iterator

from understudy.kapi.resources.kinds import (
    containers,
    podresources,
    podsystems,
    requirements,
    scheduling,
    security,
    volumes,
)
from understudy.kube import addresses, causes, names, objects, statuses

Causes = list[statuses.Cause]

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_SPEC_DEFAULTS = (
    ("dnsPolicy", "ClusterFirst"),
    ("restartPolicy", "Always"),
    ("schedulerName", "default-scheduler"),
)
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PREEMPTION = frozenset({None, "PreemptLowerPriority", "Never"})
_PLAIN = frozenset({
    "containers", "dnsPolicy", "restartPolicy", "schedulerName", "securityContext",
    "terminationGracePeriodSeconds", "enableServiceLinks", "priority", "preemptionPolicy",
    "tolerations", "serviceAccountName", "serviceAccount", "volumes", "nodeName",
    "automountServiceAccountToken", "hostNetwork", "imagePullSecrets", "setHostnameAsFQDN",
    "hostUsers",
})  # fmt: skip


def default(spec: objects.Object) -> None:
    """Fill in, in place, what SetDefaults_PodSpec and those below it fill in."""
    for key, value in _SPEC_DEFAULTS:
        if not spec.get(key):
            spec[key] = value
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if account := spec.get("serviceAccountName"):
        spec["serviceAccount"] = account
    elif account := spec.get("serviceAccount"):
        spec["serviceAccountName"] = account
    for key in _CONTAINER_LISTS:
        for one in spec.get(key) or ():
            containers.default(one)
    if listed := spec.get("volumes"):
        volumes.default(listed)
    if overhead := spec.get("overhead"):
        requirements.round_up_millis(overhead)
    if affinity := spec.get("affinity"):
        _default_affinity(affinity)


def _default_affinity(affinity: objects.Object) -> None:
    node = affinity.get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None and required.get("nodeSelectorTerms") is None:
        required["nodeSelectorTerms"] = None


def default_template(template: objects.Object) -> None:
    """Fill in a pod template, in place."""
    if template.get("metadata") is None:
        template["metadata"] = {}
    if template.get("spec") is None:
        template["spec"] = {}
    default(template["spec"])


def validate_template(template: objects.Object, field: str) -> Causes:
    """Return every reason why a pod template is not valid."""
    spec = template.get("spec") or {}
    out = validate_metadata(template, field)
    out += validate(spec, f"{field}.spec")
    if annotations := (template.get("metadata") or {}).get("annotations"):
        out += podsystems.profiles_match(annotations, spec, f"{field}.spec")
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        out.append(causes.forbidden(f"{field}.spec.ephemeralContainers", text))
    return out


def validate_metadata(template: objects.Object, field: str) -> Causes:
    """Return every reason why a pod template's labels and annotations are not valid."""
    meta = template.get("metadata") or {}
    out: Causes = []
    if labels := meta.get("labels"):
        out += names.validate_labels(labels, f"{field}.labels")
    if annotations := meta.get("annotations"):
        out += names.validate_annotations(annotations, f"{field}.annotations")
        out += validate_annotations(annotations, template.get("spec") or {}, f"{field}.annotations")
    return out


def validate(
    spec: objects.Object, field: str, *, pod_name: str = "", is_pod: bool = False
) -> Causes:
    """Return every reason why a pod's spec is not valid."""
    grace_s = spec.get("terminationGracePeriodSeconds")
    listed = spec.get("volumes")
    known: dict[str, objects.Object] = {}
    out: Causes = []
    if listed:
        known, out = volumes.validate(listed, f"{field}.volumes", pod_name=pod_name, is_pod=is_pod)
    claims = spec.get("resourceClaims") or ()
    around = containers.Surroundings(
        volumes=known,
        claims=tuple(claim.get("name") or "" for claim in claims),
        restart_policy=spec.get("restartPolicy") or "",
        host_users=spec.get("hostUsers") is not False,
        grace_s=grace_s,
    )
    regular = spec.get("containers") or []
    out += containers.validate(regular, f"{field}.containers", around)
    init = spec.get("initContainers") or []
    if init:
        out += containers.validate_init(init, regular, f"{field}.initContainers", around)
    if ephemeral := spec.get("ephemeralContainers"):
        out += containers.validate_ephemeral(
            ephemeral, [*regular, *init], f"{field}.ephemeralContainers", around
        )
    policy = spec.get("restartPolicy")
    if policy not in RESTART_POLICIES:
        at = f"{field}.restartPolicy"
        out.append(
            causes.unsupported(at, policy, RESTART_POLICIES) if policy else causes.required(at)
        )
    policy = spec.get("dnsPolicy")
    if policy not in DNS_POLICIES:
        out.append(causes.unsupported(f"{field}.dnsPolicy", policy, DNS_POLICIES))
    if policy == "None" or spec.get("dnsConfig") is not None:
        out += _dns_config(spec.get("dnsConfig"), policy or "", f"{field}.dnsConfig")
    if context := spec.get("securityContext"):
        out += security.pod(context, spec, f"{field}.securityContext")
    if tolerations := spec.get("tolerations"):
        out += scheduling.tolerations(tolerations, f"{field}.tolerations")
    for key, check in (
        ("serviceAccountName", names.dns_subdomain),
        ("nodeName", names.dns_subdomain),
    ):
        if value := spec.get(key):
            out += causes.complaints(f"{field}.{key}", value, check(value))
    unusual = not _PLAIN.issuperset(spec) or spec.get("preemptionPolicy") not in _PREEMPTION
    if unusual or spec.get("hostNetwork") or spec.get("hostUsers") is False:
        _rare(spec, field, is_pod, out)
    return out


def _rare(spec: objects.Object, field: str, is_pod: bool, out: Causes) -> None:
    """Check what few pods have."""
    if claims := spec.get("resourceClaims"):
        out += podresources.claims(claims, f"{field}.resourceClaims")
    if (resources := spec.get("resources")) is not None:
        out += podresources.validate(resources, spec, f"{field}.resources")
    if spec.get("hostNetwork"):
        out += _host_network_ports(spec, field, is_pod)
    if selector := spec.get("nodeSelector"):
        out += names.validate_labels(selector, f"{field}.nodeSelector")
    if affinity := spec.get("affinity"):
        out += scheduling.affinity(affinity, f"{field}.affinity")
    if constraints := spec.get("topologySpreadConstraints"):
        at = f"{field}.topologySpreadConstraints"
        out += scheduling.spread_constraints(constraints, at)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        at, kind = f"{field}.readinessGates[{index}].conditionType", gate.get("conditionType") or ""
        out += causes.complaints(at, kind, names.qualified_name(kind))
    if gates := spec.get("schedulingGates"):
        out += _scheduling_gates(gates, f"{field}.schedulingGates")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2147483647:
        at = f"{field}.activeDeadlineSeconds"
        out.append(causes.invalid(at, deadline, names.between(1, 2147483647)))
    out += _host_names(spec, field)
    if value := spec.get("priorityClassName"):
        out += causes.complaints(f"{field}.priorityClassName", value, names.dns_subdomain(value))
    if (value := spec.get("runtimeClassName")) is not None:
        out += causes.complaints(f"{field}.runtimeClassName", value, names.dns_subdomain(value))
    preemption = spec.get("preemptionPolicy")
    if preemption not in _PREEMPTION:
        at, known = f"{field}.preemptionPolicy", ("PreemptLowerPriority", "Never")
        out.append(causes.unsupported(at, preemption, known))
    if overhead := spec.get("overhead"):
        out += requirements.requirements({"limits": overhead}, f"{field}.overhead")
    out += podsystems.validate(spec, field)


def _host_names(spec: objects.Object, field: str) -> Causes:
    out: Causes = []
    for key in ("hostname", "subdomain"):
        if value := spec.get(key):
            out += causes.complaints(f"{field}.{key}", value, names.dns_label(value))
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        at, address = f"{field}.hostAliases[{index}]", alias.get("ip") or ""
        out += causes.complaints(f"{at}.ip", address, addresses.legacy_ip(address))
        for number, host in enumerate(alias.get("hostnames") or ()):
            out += causes.complaints(f"{at}.hostnames[{number}]", host, names.dns_subdomain(host))
    return out


def _host_network_ports(spec: objects.Object, field: str, is_pod: bool) -> Causes:
    out: Causes = []
    for index, one in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(one.get("ports") or ()):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or host) and host != own:
                at = f"{field}.containers[{index}].ports[{number}].hostPort"
                text = "must match `containerPort` when `hostNetwork` is true"
                out.append(causes.invalid(at, host, text))
    return out


def _scheduling_gates(gates: list[objects.Object], field: str) -> Causes:
    out: Causes = []
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        out += causes.complaints(f"{field}[{index}]", name, names.qualified_name(name))
        if name in seen:
            out.append(causes.duplicate(f"{field}[{index}]", name))
        seen.add(name)
    return out


def _dns_config(config: objects.Object | None, policy: str, field: str) -> Causes:
    servers = (config or {}).get("nameservers") or []
    if policy == "None":
        if config is None:
            text = "must provide `dnsConfig` when `dnsPolicy` is None"
            return [causes.required(field, text)]
        if not servers:
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [causes.required(f"{field}.nameservers", text)]
    out: Causes = []
    if len(servers) > 3:
        text = "must not have more than 3 nameservers"
        out.append(causes.invalid(f"{field}.nameservers", servers, text))
    for index, server in enumerate(servers):
        at = f"{field}.nameservers[{index}]"
        out += causes.complaints(at, server, addresses.legacy_ip(server))
    searches = (config or {}).get("searches") or []
    if len(searches) > 32:
        text = "must not have more than 32 search paths"
        out.append(causes.invalid(f"{field}.searches", searches, text))
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        out.append(causes.invalid(f"{field}.searches", searches, text))
    for index, search in enumerate(searches):
        if search != ".":
            search = search.removesuffix(".")  # noqa: PLW2901 (as printed in the complaint)
            at = f"{field}.searches[{index}]"
            out += causes.complaints(at, search, names.dns_subdomain_underscore(search))
    for index, option in enumerate((config or {}).get("options") or ()):
        if not option.get("name"):
            out.append(causes.required(f"{field}.options[{index}]", "must not be empty"))
    return out


def validate_annotations(annotations: dict[str, str], spec: objects.Object, field: str) -> Causes:
    """Check the annotations that mean something to Kubernetes on a pod."""
    out: Causes = []
    mirror = "kubernetes.io/config.mirror"
    if mirror in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        out.append(causes.invalid(f"{field}[{mirror}]", annotations[mirror], text))
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not _is_int32(cost):
        text = "must be a 32bit integer"
        out.append(causes.invalid(f"{field}[{_DELETION_COST}]", cost, text))
    return out + podsystems.annotated_profiles(annotations, spec, field)


def _is_int32(text: str) -> bool:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or (len(digits) > 1 and digits[0] == "0"):
        return False
    return -(2**31) <= int(text) < 2**31


def all_containers(spec: objects.Object) -> Iterator[objects.Object]:
    """Yield init containers, containers and ephemeral containers."""
    for key in _CONTAINER_LISTS:
        yield from spec.get(key) or ()
