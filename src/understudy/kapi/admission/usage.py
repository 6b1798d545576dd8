"""What an object uses up of a quota, and which quotas it counts against.

Shared by admission (usage rises before the object exists) and by the controller that counts again.
Source: pkg/quota/v1 @1.36.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from understudy.kube import identities, objects, quantities

Amounts = dict[str, quantities.Quantity]
_ONE = quantities.of(1)
_PLAIN = frozenset(
    ["configmaps", "replicationcontrollers", "resourcequotas", "secrets", "services"]
)
_BARE = ("cpu", "memory", "ephemeral-storage")


def used_by(storage: identities.GroupResource, obj: objects.Object) -> Amounts:
    """Return what one object uses, by the resource names that quotas have."""
    out: Amounts = {f"count/{storage}": _ONE}
    if storage.group:
        return out
    if storage.resource in _PLAIN:
        out[storage.resource] = _ONE
    if storage.resource == "pods":
        return _pod(obj, out)
    if storage.resource == "services":
        _service(obj.get("spec") or {}, out)
    elif storage.resource == "persistentvolumeclaims":
        _claim(obj, out)
    return out


def _pod(pod: objects.Object, out: Amounts) -> Amounts:
    if objects.lookup(pod, ("status", "phase")) in {"Succeeded", "Failed"}:
        return out
    out["pods"] = _ONE
    for key, amount in pod_amounts(pod, "requests").items():
        if key in _BARE:
            out[key] = amount
        out[f"requests.{key}"] = amount
    for key, amount in pod_amounts(pod, "limits").items():
        out[f"limits.{key}"] = amount
    return out


def pod_amounts(pod: objects.Object, which: str) -> Amounts:
    """Return a pod's requests or limits: its containers' and, of requests, its overhead."""
    total = container_amounts(pod, which)
    overhead = (pod.get("spec") or {}).get("overhead") or {}
    if overhead and which == "requests":
        _add(total, {key: quantities.parse(text) for key, text in overhead.items()})
    return total


def container_amounts(pod: objects.Object, which: str) -> Amounts:
    """Return what a pod's containers need: their sum, or the largest init container's.

    Sidecars (init containers that restart always) run beside the containers and add to them.
    """
    spec = pod.get("spec") or {}
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts(container, which))
    beside: Amounts = {}
    largest: Amounts = {}
    for container in spec.get("initContainers") or ():
        amounts = _amounts(container, which)
        if container.get("restartPolicy") == "Always":
            _add(total, amounts)
            _add(beside, amounts)
            _raise(largest, beside)
        else:
            together = dict(beside)
            _add(together, amounts)
            _raise(largest, together)
    _raise(total, largest)
    return total


def _amounts(container: objects.Object, which: str) -> Amounts:
    found = (container.get("resources") or {}).get(which) or {}
    return {key: quantities.parse(str(text)) for key, text in found.items()}


def _add(total: Amounts, more: Amounts) -> None:
    for key, amount in more.items():
        total[key] = total[key] + amount if key in total else amount


def _raise(total: Amounts, other: Amounts) -> None:
    for key, amount in other.items():
        if key not in total or total[key] < amount:
            total[key] = amount


def _service(spec: objects.Object, out: Amounts) -> None:
    ports = spec.get("ports") or []
    kind = spec.get("type")
    if kind == "NodePort":
        out["services.nodeports"] = quantities.of(len(ports))
    elif kind == "LoadBalancer":
        out["services.loadbalancers"] = _ONE
        given = spec.get("allocateLoadBalancerNodePorts")
        count = len(ports) if given is not False else sum(1 for p in ports if p.get("nodePort"))
        out["services.nodeports"] = quantities.of(count)


def _claim(claim: objects.Object, out: Amounts) -> None:
    out["persistentvolumeclaims"] = _ONE
    storage = objects.lookup(claim, ("spec", "resources", "requests", "storage"))
    amount = quantities.parse(str(storage)) if storage is not None else None
    if amount is not None:
        out["requests.storage"] = amount
    name = objects.lookup(claim, ("spec", "storageClassName"))
    if name:
        prefix = f"{name}.storageclass.storage.k8s.io"
        out[f"{prefix}/persistentvolumeclaims"] = _ONE
        if amount is not None:
            out[f"{prefix}/requests.storage"] = amount


def matches_scopes(quota: objects.Object, obj: objects.Object, *, is_pod: bool) -> bool:
    """Say whether a quota's scopes let an object count; only pods have scopes."""
    spec = quota.get("spec") or {}
    wanted = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    wanted += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    if not wanted:
        return True
    return is_pod and all(_in_scope(one, obj) for one in wanted)


def _in_scope(wanted: objects.Object, pod: objects.Object) -> bool:
    spec = pod.get("spec") or {}
    scope = wanted.get("scopeName")
    if scope == "PriorityClass":
        return _matches(wanted, spec.get("priorityClassName") or "")
    deadline = spec.get("activeDeadlineSeconds")
    affinity = spec.get("affinity") or {}
    best_effort = not pod_amounts(pod, "requests") and not pod_amounts(pod, "limits")
    answers = {
        "Terminating": deadline is not None and deadline >= 0,
        "NotTerminating": deadline is None,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "CrossNamespacePodAffinity": _crosses(affinity),
    }
    return answers.get(str(scope), False)


def _matches(wanted: objects.Object, value: str) -> bool:
    operator, values = wanted.get("operator"), wanted.get("values") or []
    return {
        "Exists": bool(value),
        "DoesNotExist": not value,
        "In": value in values,
        "NotIn": value not in values,
    }.get(str(operator), False)


def _crosses(affinity: objects.Object) -> bool:
    for side in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(side) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [
            one.get("podAffinityTerm") or {}
            for one in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") for term in terms):
            return True
    return False


def missing_of(pod: objects.Object, hard: Iterable[str]) -> dict[str, list[str]]:
    """Return the compute resources a quota bounds that some container does not state.

    By quota name, the containers that lack it: a pod under such a quota must state them.
    """
    out: dict[str, list[str]] = {}
    for name in sorted(hard):
        which, key = "requests", name
        if name.startswith("requests."):
            key = name.removeprefix("requests.")
        elif name.startswith("limits."):
            which, key = "limits", name.removeprefix("limits.")
        if key not in ("cpu", "memory"):
            continue
        spec = pod.get("spec") or {}
        lacking = [
            str(container.get("name"))
            for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
            if key not in ((container.get("resources") or {}).get(which) or {})
        ]
        if lacking:
            out[name] = sorted(set(lacking))
    return out


def shown(amounts: Mapping[str, object]) -> str:
    """Print amounts as Kubernetes does: `cpu=1,memory=2Gi`, sorted by name."""
    return ",".join(f"{key}={amounts[key]}" for key in sorted(amounts))
