"""A pod's status: what a write to it keeps, fills in, and may not do.

Source: pkg/registry/core/pod/strategy.go, pkg/apis/core/validation @1.36.
"""

from __future__ import annotations

from understudy.kapi.resources.kinds import rules
from understudy.kube import addresses, causes, names, objects, statuses

Causes = list[statuses.Cause]

_SYSTEM_CONDITIONS = frozenset({"PodScheduled", "Ready", "Initialized"})
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def default(status: objects.Object) -> None:
    """Let podIP and podIPs (hostIP and hostIPs stay apart) say the same, in place."""
    address, listed = status.get("podIP") or "", status.get("podIPs")
    if address and (not listed or (listed[0].get("ip") or "") != address):
        status["podIPs"] = [{"ip": address}]
    elif listed and not address:
        status["podIP"] = listed[0].get("ip") or ""


def prepare(obj: objects.Object, old: objects.Object) -> None:
    """Keep what a status write may not clear, in place."""
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    old_status = old.get("status") or {}
    if not status.get("qosClass"):
        rules.restore(status, old_status, "qosClass")
    if not status.get("observedGeneration"):
        rules.restore(status, old_status, "observedGeneration")
    known: dict[str, list[int]] = {}
    for one in old_status.get("conditions") or ():
        generation = one.get("observedGeneration") or 0
        known.setdefault(one.get("type") or "", []).append(generation)
    for one in status.get("conditions") or ():
        before = known.get(one.get("type") or "")
        generation = before.pop(0) if before else 0
        if generation and not one.get("observedGeneration"):
            one["observedGeneration"] = generation


def validate(pod: objects.Object, old: objects.Object) -> Causes:
    """Return every reason why a status write is not valid."""
    status, before = pod.get("status") or {}, old.get("status") or {}
    out: Causes = []
    for index, one in enumerate(status.get("conditions") or ()):
        kind = one.get("type") or ""
        if kind not in _SYSTEM_CONDITIONS:
            at = f"metadata.conditions[{index}].Type"
            out += causes.complaints(at, kind, names.qualified_name(kind))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        at = "status.nominatedNodeName"
        out += causes.complaints(at, nominated, names.dns_subdomain(nominated))
    out += rules.immutable(
        status.get("qosClass") or "", before.get("qosClass") or "", "status.qosClass"
    )
    spec = old.get("spec") or {}
    policy = spec.get("restartPolicy")
    sidecars = {
        one.get("name")
        for one in spec.get("initContainers") or ()
        if one.get("restartPolicy") == "Always"
    }
    for key in _LISTS:
        if before.get(key):
            own = "Never" if key.startswith("ephemeral") else policy
            out += _transitions(status.get(key) or [], before[key], key, own, sidecars)
        out += _users_and_resources(status.get(key) or [], key, spec)
    out += _claims(status.get("resourceClaimStatuses") or [], spec)
    return out + _addresses(status, "podIPs") + _addresses(status, "hostIPs")


def _transitions(
    new: list[objects.Object],
    old: list[objects.Object],
    key: str,
    policy: str | None,
    sidecars: set[str | None],
) -> Causes:
    """Complain about containers that come back although they may not restart."""
    if policy == "Always":
        return []
    out: Causes = []
    for index, before in enumerate(old):
        ended = (before.get("state") or {}).get("terminated")
        name = before.get("name")
        failed = bool(ended and ended.get("exitCode"))
        if ended is None or (failed and policy == "OnFailure"):
            continue
        if key == "initContainerStatuses" and name in sidecars:
            continue
        for one in new:
            if one.get("name") == name and (one.get("state") or {}).get("terminated") is None:
                text = "may not be transitioned to non-terminated state"
                out.append(causes.forbidden(f"status.{key}[{index}].state", text))
    return out


def _users_and_resources(listed: list[objects.Object], key: str, spec: objects.Object) -> Causes:
    windows = (spec.get("os") or {}).get("name") == "windows"
    out: Causes = []
    for index, one in enumerate(listed):
        at = f"status.{key}[{index}]"
        linux = (one.get("user") or {}).get("linux")
        if linux is not None and windows:
            out.append(causes.forbidden(f"{at}.linux", "cannot be set for a windows pod"))
        elif linux is not None:
            ids = [(linux.get("uid") or 0, f"{at}.linux.uid"),
                   (linux.get("gid") or 0, f"{at}.linux.gid")]  # fmt: skip
            ids += [
                (gid, f"{at}.linux.supplementalGroups[{number}]")
                for number, gid in enumerate(linux.get("supplementalGroups") or ())
            ]
            for number, where in ids:
                out += causes.complaints(where, number, names.user_id(number))
        allocated = one.get("allocatedResourcesStatus") or ()
        if allocated and key.startswith("ephemeral"):
            text = "must not be specified in container status"
            out.append(causes.forbidden(f"{at}.allocatedResourcesStatus", text))
        for number, resource in enumerate(allocated):
            for last, health in enumerate(resource.get("resources") or ()):
                value = health.get("health") or ""
                if value not in _HEALTH:
                    where = f"{at}.allocatedResourcesStatus[{number}].resources[{last}].health"
                    out.append(causes.unsupported(where, value, _HEALTH))
    return out


def _claims(listed: list[objects.Object], spec: objects.Object) -> Causes:
    known = {one.get("name") for one in spec.get("resourceClaims") or ()}
    out: Causes = []
    seen: set[str] = set()
    for index, one in enumerate(listed):
        at, name = f"status.resourceClaimStatuses[{index}].name", one.get("name") or ""
        if name not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            out.append(causes.invalid(at, name, text))
        if name in seen:
            out.append(causes.duplicate(at, name))
        seen.add(name)
        claim = one.get("resourceClaimName")
        if claim is not None:
            out += causes.complaints(at, claim, names.dns_subdomain(claim))
    return out


def _addresses(status: objects.Object, key: str) -> Causes:
    listed = [one.get("ip") or "" for one in status.get(key) or ()]
    if not listed:
        return []
    field = f"status.{key}"
    out: Causes = []
    if key == "hostIPs" and (status.get("hostIP") or "") != listed[0]:
        out.append(causes.invalid(f"{field}[0].ip", listed[0], "must be equal to `hostIP`"))
    for index, address in enumerate(listed):
        out += causes.complaints(f"{field}[{index}]", address, addresses.legacy_ip(address))
    if len(listed) > 1:
        families = {a.version for a in map(addresses.parse_ip, listed) if a is not None}
        shown = [{"IP": address} for address in listed]
        if len(families) != 2 or len(listed) > 2:
            text = "may specify no more than one IP for each IP family"
            out.append(causes.invalid(field, shown, text))
        out += [
            causes.duplicate(f"{field}[{index}]", shown[index])
            for index, address in enumerate(listed)
            if address in listed[:index]
        ]
    return out
