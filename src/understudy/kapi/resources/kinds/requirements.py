"""Resource names and amounts: what may be asked for, in containers, pods, quotas and limits.

Source: pkg/apis/core/helper and pkg/apis/core/validation @1.36.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

from understudy.kube import causes, names, objects, quantities, statuses

Causes = list[statuses.Cause]
NameCheck = Callable[[str, str], Causes]

_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_QUOTA = frozenset({
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
    "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
    "persistentvolumeclaims", "configmaps", "services.nodeports", "services.loadbalancers",
})  # fmt: skip
_STANDARD = _QUOTA | {"storage", "requests.storage"}
_INTEGER = frozenset({
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
    "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
})  # fmt: skip
_HUGE = "hugepages-"
_PLAIN_INTEGERS = frozenset("0123456789")


def is_huge_page(name: str) -> bool:
    """Say whether a resource is huge pages of some size."""
    return name.startswith(_HUGE)


def is_native(name: str) -> bool:
    """Say whether Kubernetes itself defines a resource: no prefix, or one under kubernetes.io."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Say whether a resource is a node's own, such as `nvidia.com/gpu`."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.label_key("requests." + name)


def may_overcommit(name: str) -> bool:
    """Say whether requests may be below limits."""
    return is_native(name) and not is_huge_page(name)


def resource_name(name: str, field: str) -> Causes:
    """Check a resource's name: standard, or with a domain prefix."""
    if name in _CONTAINER:
        return []
    if complaints := names.qualified_name(name):
        return causes.complaints(field, name, complaints)
    if "/" not in name and name not in _STANDARD and not is_huge_page(name):
        text = "must be a standard resource type or fully qualified"
        return [causes.invalid(field, name, text)]
    return []


def container_resource_name(name: str, field: str) -> Causes:
    """Check the name of a resource that a container asks for."""
    if name in _CONTAINER:
        return []
    out = resource_name(name, field)
    if "/" not in name:
        if not is_huge_page(name):
            out.append(causes.invalid(field, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        text = "doesn't follow extended resource name standard"
        out.append(causes.invalid(field, name, text))
    return out


def pod_resource_name(name: str, field: str) -> Causes:
    """Check the name of a resource that a pod asks for as a whole."""
    if out := resource_name(name, field):
        return out
    if name not in {"cpu", "memory"} and not is_huge_page(name):
        return [causes.unsupported(field, name, ("cpu", "hugepages-", "memory"))]
    return []


def quota_resource_name(name: str, field: str) -> Causes:
    """Check the name of what a ResourceQuota counts."""
    out = _quota_syntax(name, field)
    if "/" not in name and not is_quota_name(name):
        out.append(causes.invalid(field, name, "must be a standard resource for quota"))
    return out


def _quota_syntax(name: str, field: str) -> Causes:
    if complaints := names.qualified_name(name):
        return causes.complaints(field, name, complaints)
    if "/" not in name and name not in _STANDARD and not is_quota_name(name):
        text = "must be a standard resource type or fully qualified"
        return [causes.invalid(field, name, text)]
    return []


def is_quota_name(name: str) -> bool:
    """Say whether a ResourceQuota knows the resource without a prefix."""
    return name in _QUOTA or is_huge_page(name) or name.startswith("requests.hugepages-")


def is_integer_name(name: str) -> bool:
    """Say whether amounts of a resource must be whole numbers."""
    return name in _INTEGER or is_extended(name)


@functools.lru_cache(maxsize=4096)
def parse(amount: objects.Json) -> quantities.Quantity:
    """Return a quantity that decoding has already found well-formed."""
    return quantities.parse(str(amount))


def amount(name: str, value: objects.Json, field: str) -> Causes:
    """Check the amount of a resource: not negative, and whole where the kind asks for it."""
    text = str(value)
    if _PLAIN_INTEGERS.issuperset(text):
        return []
    quantity = quantities.parse(text)
    out: Causes = []
    if quantity.sign < 0:
        out.append(causes.invalid(field, str(quantity), causes.NEGATIVE))
    if is_integer_name(name) and quantity.milli_value % 1000:
        out.append(causes.invalid(field, str(quantity), "must be an integer"))
    return out


def _huge_page_complaint(name: str, value: objects.Json) -> str:
    """Return what is wrong with an amount of huge pages, or nothing."""
    try:
        size = quantities.parse(name.removeprefix(_HUGE)).value
    except quantities.QuantityError:
        size = 0
    quantity = parse(value)
    if size > 0 and quantity.value % size == 0:
        return ""
    return f"{quantity} is not positive integer multiple of {name}"


def requirements(
    value: objects.Object,
    field: str,
    claims: Iterable[str] = (),
    check_name: NameCheck = container_resource_name,
) -> Causes:
    """Check a ResourceRequirements: names, amounts, requests within limits, known claims."""
    limits: Mapping[str, objects.Json] = value.get("limits") or {}
    requests: Mapping[str, objects.Json] = value.get("requests") or {}
    out: Causes = []
    if check_name is not container_resource_name or not _are_fine(limits, requests):
        out = _amounts(limits, requests, field, check_name)
    if asked := value.get("claims"):
        out += _claims(asked, list(claims), f"{field}.claims")
    return out


def _are_fine(limits: Mapping[str, objects.Json], requests: Mapping[str, objects.Json]) -> bool:
    """Say whether nothing is wrong with a container's amounts; false if it takes a closer look."""
    for name, limit in limits.items():
        if not _is_fine(name, limit, requests.get(name)):
            return False
    return all(
        name in limits or _is_fine(name, None, request) for name, request in requests.items()
    )


@functools.lru_cache(maxsize=4096)
def _is_fine(name: str, limit: objects.Json, request: objects.Json) -> bool:
    limits = {} if limit is None else {name: limit}
    requests = {} if request is None else {name: request}
    if is_huge_page(name):
        return False
    return not _amounts(limits, requests, "", container_resource_name)


def _amounts(
    limits: Mapping[str, objects.Json],
    requests: Mapping[str, objects.Json],
    field: str,
    check_name: NameCheck,
) -> Causes:
    out: Causes = []
    huge = False
    for name, limit in limits.items():
        path = f"{field}.limits[{name}]"
        out += check_name(name, path)
        out += amount(name, limit, path)
        if is_huge_page(name):
            huge = True
            if text := _huge_page_complaint(name, limit):
                out.append(causes.invalid(path, str(limit), text))
    for name, request in requests.items():
        path = f"{field}.requests[{name}]"
        out += check_name(name, path)
        out += amount(name, request, path)
        out += _within_limit(name, request, limits, field)
        if is_huge_page(name):
            huge = True
            if text := _huge_page_complaint(name, request):
                out.append(causes.invalid(path, str(request), text))
    if huge and not any(name in limits or name in requests for name in ("cpu", "memory")):
        out.append(causes.forbidden(field, "HugePages require cpu or memory"))
    return out


def _within_limit(
    name: str, request: objects.Json, limits: Mapping[str, objects.Json], field: str
) -> Causes:
    limit = limits.get(name)
    if limit is None:
        if may_overcommit(name):
            return []
        text = "Limit must be set for non overcommitable resources"
        return [causes.required(f"{field}.limits", text)]
    if limit == request:
        return []
    order = parse(request).compare(parse(limit))
    if order and not may_overcommit(name):
        text = f"must be equal to {name} limit of {limit}"
    elif order > 0:
        text = f"must be less than or equal to {name} limit of {limit}"
    else:
        return []
    return [causes.invalid(f"{field}.requests", str(request), text)]


def _claims(asked: list[objects.Object], known: list[str], field: str) -> Causes:
    out: Causes = []
    seen: set[str] = set()
    for index, claim in enumerate(asked):
        path, name, request = f"{field}[{index}]", claim.get("name"), claim.get("request")
        if not name:
            out.append(causes.required(path))
            continue
        key = f"{name}/{request}" if request else name
        if name in seen:
            out.append(causes.duplicate(path, name))
        else:
            if request:
                path_of = f"{path}.request"
                out += causes.complaints(path_of, request, names.dns_label(request))
            if key in seen:
                out.append(causes.duplicate(path, key))
            elif not request and any(other.startswith(f"{name}/") for other in seen):
                out.append(causes.duplicate(path, name))
            seen.add(key)
        if name not in known:
            text = "must be one of the names in pod.spec.resourceClaims"
            text += ": " + ", ".join(sorted(known)) if known else " which is empty"
            cause = causes.not_found(path, name)
            out.append(statuses.Cause(path, cause.reason, f"{cause.message}: {text}"))
    return out


def round_up_millis(amounts: objects.Object) -> None:
    """Round amounts finer than a thousandth up, in place, as SetDefaults_ResourceList does."""
    for name, value in amounts.items():
        text = str(value)
        if text and text[-1] in "nu":
            quantity = quantities.parse(text)
            if quantity.exponent < -3:
                amounts[name] = str(quantities.of(quantity.milli_value, -3, quantity.format))


def default(resources: objects.Object) -> None:
    """Round what a ResourceRequirements asks for, in place."""
    for amounts in (resources.get("limits"), resources.get("requests")):
        if amounts:
            round_up_millis(amounts)
