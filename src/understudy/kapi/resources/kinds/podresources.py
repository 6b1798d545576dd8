"""Resources that a pod asks for as a whole, its resource claims, and its quality of service.

Source: pkg/apis/core/validation, pkg/apis/core/helper/qos, component-helpers/resource @1.36.
"""

from __future__ import annotations

from collections.abc import Mapping

from understudy.kapi.resources.kinds import requirements
from understudy.kube import causes, names, objects, quantities, statuses

Causes = list[statuses.Cause]
Amounts = dict[str, quantities.Quantity]

_QOS_RESOURCES = ("cpu", "memory")


def claims(values: list[objects.Object], field: str) -> Causes:
    """Check a pod's resourceClaims."""
    out: Causes = []
    seen: set[str] = set()
    for index, claim in enumerate(values):
        path, name = f"{field}[{index}]", claim.get("name") or ""
        if not name:
            out.append(causes.required(f"{path}.name"))
        elif name in seen:
            out.append(causes.duplicate(f"{path}.name", name))
        else:
            out += causes.complaints(f"{path}.name", name, names.dns_label(name))
            seen.add(name)
        named, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        shown = {"Name": name, "ResourceClaimName": named, "ResourceClaimTemplateName": template}
        if named is not None and template is not None:
            text = (
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            )
            out.append(causes.invalid(path, shown, text))
        if named is None and template is None:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            out.append(causes.invalid(path, shown, text))
        for key in ("resourceClaimName", "resourceClaimTemplateName"):
            if (value := claim.get(key)) is not None:
                out += causes.complaints(f"{path}.{key}", value, names.dns_subdomain(value))
    return out


def validate(resources: objects.Object, spec: objects.Object, field: str) -> Causes:
    """Check pod-level resources, also against what the containers ask for."""
    out: Causes = []
    if resources.get("claims"):
        text = "claims cannot be set for Resources at pod-level"
        out.append(causes.forbidden(f"{field}.claims", text))
    out += requirements.requirements(
        resources, field, (), check_name=requirements.pod_resource_name
    )
    asked = resources.get("requests") or {}
    for name, total in container_requests(spec).items():
        if not _is_pod_level(name):
            continue
        own = requirements.parse(asked.get(name, "0"))
        if total > own:
            text = f"must be greater than or equal to aggregate container requests of {total}"
            out.append(causes.invalid(f"{field}.requests[{name}]", str(own), text))
    limits = resources.get("limits") or {}
    for index, one in enumerate(spec.get("containers") or ()):
        for name, limit in ((one.get("resources") or {}).get("limits") or {}).items():
            if name in limits and requirements.parse(limit) > requirements.parse(limits[name]):
                at = f"{field}.containers[{index}][{name}].limits"
                text = f"must be less than or equal to pod limits of {limits[name]}"
                out.append(causes.invalid(at, str(limit), text))
    return out


def _is_pod_level(name: str) -> bool:
    return name in _QOS_RESOURCES or requirements.is_huge_page(name)


def _requests(container: objects.Object) -> Mapping[str, objects.Json]:
    return (container.get("resources") or {}).get("requests") or {}


def container_requests(spec: objects.Object) -> Amounts:
    """Return what a pod's containers need together, at the worst moment of its start."""
    total: Amounts = {}
    for one in spec.get("containers") or ():
        _add(total, _requests(one))
    sidecars: Amounts = {}
    worst: Amounts = {}
    for one in spec.get("initContainers") or ():
        now = dict(sidecars)
        _add(now, _requests(one))
        if one.get("restartPolicy") == "Always":
            _add(total, _requests(one))
            _add(sidecars, _requests(one))
        for name, amount in now.items():
            if name not in worst or amount > worst[name]:
                worst[name] = amount
    for name, amount in worst.items():
        if name not in total or amount > total[name]:
            total[name] = amount
    return total


def _add(total: Amounts, more: Mapping[str, objects.Json]) -> None:
    for name, value in more.items():
        amount = requirements.parse(value)
        total[name] = total[name] + amount if name in total else amount


def default(spec: objects.Object) -> None:
    """Fill in pod-level requests and limits, in place, where some are given.

    Limits of huge pages come from the containers; requests come from the containers' where those
    may be below the limits, else from the limits.
    """
    resources = spec.get("resources")
    if not resources:
        return
    limits = resources.get("limits") or {}
    _default_huge_page_limits(spec, resources, limits)
    limits = resources.get("limits") or {}
    if not limits:
        return
    requests = dict(resources.get("requests") or {})
    for name, amount in container_requests(spec).items():
        overcommits = requirements.may_overcommit(name)
        if name not in requests and _is_pod_level(name) and overcommits:
            requests[name] = str(amount)
    for name, limit in limits.items():
        if _is_pod_level(name):
            requests.setdefault(name, limit)
    if requests:
        resources["requests"] = requests


def _default_huge_page_limits(
    spec: objects.Object, resources: objects.Object, limits: Mapping[str, objects.Json]
) -> None:
    if not limits and not resources.get("requests"):
        return
    totals: Amounts = {}
    for one in spec.get("containers") or ():
        own = (one.get("resources") or {}).get("limits") or {}
        _add(totals, {name: own[name] for name in own if requirements.is_huge_page(name)})
    extra = {name: str(amount) for name, amount in totals.items() if name not in limits}
    if extra:
        resources["limits"] = {**limits, **extra}


def quality_of_service(spec: objects.Object) -> str:
    """Return the pod's QoS class: `Guaranteed`, `Burstable` or `BestEffort`."""
    overall = spec.get("resources")
    if overall and (overall.get("requests") or overall.get("limits")):
        return _class([overall])
    every = [
        one.get("resources") or {}
        for key in ("containers", "initContainers")
        for one in spec.get(key) or ()
    ]
    return _class(every)


def _class(every: list[objects.Object]) -> str:
    some, guaranteed = False, True
    for one in every:
        asked, capped = one.get("requests") or {}, one.get("limits") or {}
        if not asked and not capped:
            guaranteed = False
        for name in _QOS_RESOURCES:
            has_limit = _positive(capped.get(name))
            some = some or has_limit or _positive(asked.get(name))
            guaranteed = guaranteed and has_limit
        if some and not guaranteed:
            return "Burstable"
    if not some:
        return "BestEffort"
    # A pod with a request above its limit is refused, so that the sums need not be compared.
    for one in every:
        asked, capped = one.get("requests") or {}, one["limits"]
        for name in _QOS_RESOURCES:
            request = asked.get(name)
            if request != capped[name] and (
                request is None or requirements.parse(request) != requirements.parse(capped[name])
            ):
                return "Burstable"
    return "Guaranteed"


def _positive(value: objects.Json) -> bool:
    return value is not None and requirements.parse(value).sign > 0
