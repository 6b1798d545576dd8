"""LimitRanger: defaults for containers, and bounds for containers, pods and claims.

Source: plugin/pkg/admission/limitranger @1.36.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from understudy.kapi.admission import chain, pods, usage
from understudy.kube import identities, objects, quantities

CLAIMS = identities.GroupResource("", "persistentvolumeclaims")
ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, str]


class LimitRanger:
    """Applies a namespace's LimitRanges to new pods and to claims."""

    name = "LimitRanger"

    def handles(self, attributes: chain.Attributes) -> bool:
        if objects.metadata(attributes.obj or {}).get("deletionTimestamp"):
            return False
        storage, operation = attributes.resource.storage, attributes.operation
        if attributes.subresource:
            resizes = attributes.subresource == "resize" and operation == "UPDATE"
            return resizes and storage == pods.PODS
        if storage == CLAIMS:
            return operation in {"CREATE", "UPDATE"}
        return pods.is_pod(attributes, "CREATE")

    def mutate(self, attributes: chain.Attributes) -> None:
        if attributes.resource.storage == CLAIMS:
            return
        pod = attributes.obj or {}
        for limit_range in _ranges(attributes):
            _default(pod, limit_range)

    def validate(self, attributes: chain.Attributes) -> None:
        obj = attributes.obj or {}
        judge = _claim if attributes.resource.storage == CLAIMS else _pod
        for limit_range in _ranges(attributes):
            found: dict[str, None] = {}
            for limit in (limit_range.get("spec") or {}).get("limits") or ():
                found |= dict.fromkeys(judge(obj, limit))
            if found:
                # The first range that is not met refuses; what it says twice is said once.
                text = ", ".join(found)
                raise pods.refuse(attributes, text if len(found) == 1 else f"[{text}]")


def _ranges(attributes: chain.Attributes) -> Iterable[objects.Object]:
    if attributes.namespace not in pods.bounded_namespaces(attributes.reader, "limitranges"):
        return ()
    return attributes.reader.each("limitranges", attributes.namespace)


def _containers(pod: objects.Object) -> Iterator[tuple[str, objects.Object]]:
    spec = pod.get("spec") or {}
    for word, key in (("container", "containers"), ("init container", "initContainers")):
        for container in spec.get(key) or ():
            yield word, container


def _default(pod: objects.Object, limit_range: objects.Object) -> None:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for limit in (limit_range.get("spec") or {}).get("limits") or ():
        if limit.get("type") == "Container":
            requests |= limit.get("defaultRequest") or {}
            limits |= limit.get("default") or {}
    notes: list[str] = []
    for word, container in _containers(pod):
        resources = container.setdefault("resources", {})
        for name, defaults in (("request", requests), ("limit", limits)):
            present = resources.get(f"{name}s") or {}
            missing = sorted(key for key in defaults if key not in present)
            if missing:
                resources[f"{name}s"] = present | {key: defaults[key] for key in missing}
                notes.append(f"{', '.join(missing)} {name} for {word} {container.get('name')}")
    if notes:
        meta = pod["metadata"]
        text = "LimitRanger plugin set: " + "; ".join(notes)
        meta["annotations"] = (meta.get("annotations") or {}) | {ANNOTATION: text}


class Usage(NamedTuple):
    """What is requested and limited, by resource."""

    requests: Amounts
    limits: Amounts


def _pod(pod: objects.Object, limit: objects.Object) -> list[str]:
    kind = limit.get("type")
    if kind == "Container":
        problems: list[str] = []
        for _, container in _containers(pod):
            resources = container.get("resources") or {}
            needed = Usage(resources.get("requests") or {}, resources.get("limits") or {})
            problems += _bounds("Container", limit, needed)
        return problems
    if kind == "Pod":
        return _bounds("Pod", limit, _total(pod))
    return []


def _total(pod: objects.Object) -> Usage:
    """Return what a pod's containers need as a whole."""
    amounts = (usage.container_amounts(pod, which) for which in ("requests", "limits"))
    return Usage(*({key: str(value) for key, value in one.items()} for one in amounts))


def _bounds(kind: str, limit: objects.Object, needed: Usage) -> list[str]:
    problems: list[str] = []
    for key, bound in sorted((limit.get("min") or {}).items()):
        problems += _minimum(kind, key, bound, needed)
    for key, bound in sorted((limit.get("max") or {}).items()):
        problems += _maximum(kind, key, bound, needed)
    for key, bound in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        problems += _ratio(kind, key, bound, needed)
    return problems


def _minimum(kind: str, key: str, bound: str, needed: Usage) -> list[str]:
    start = f"minimum {key} usage per {kind} is {bound}"
    request, limit = needed.requests.get(key), needed.limits.get(key)
    if request is None:
        return [f"{start}.  No request is specified"]
    if _less(request, bound):
        return [f"{start}, but request is {request}"]
    if limit is not None and _less(limit, bound):
        return [f"{start}, but limit is {limit}"]
    return []


def _maximum(kind: str, key: str, bound: str, needed: Usage) -> list[str]:
    start = f"maximum {key} usage per {kind} is {bound}"
    request, limit = needed.requests.get(key), needed.limits.get(key)
    if limit is None:
        return [f"{start}.  No limit is specified"]
    if _less(bound, limit):
        return [f"{start}, but limit is {limit}"]
    if request is not None and _less(bound, request):
        return [f"{start}, but request is {request}"]
    return []


def _ratio(kind: str, key: str, bound: str, needed: Usage) -> list[str]:
    start = f"{key} max limit to request ratio per {kind} is {bound}"
    request, limit = needed.requests.get(key), needed.limits.get(key)
    zero = quantities.of(0)
    if request is None or quantities.parse(request) == zero:
        return [f"{start}, but no request is specified or request is 0"]
    if limit is None or quantities.parse(limit) == zero:
        return [f"{start}, but no limit is specified or limit is 0"]
    above = quantities.parse(limit).milli_value
    below = quantities.parse(request).milli_value
    if above * 1000 > quantities.parse(bound).milli_value * below:
        try:
            ratio = above / below
        except OverflowError:
            ratio = math.inf
        return [f"{start}, but provided ratio is {ratio:f}"]
    return []


def _claim(claim: objects.Object, limit: objects.Object) -> list[str]:
    if limit.get("type") != "PersistentVolumeClaim":
        return []
    kind = "PersistentVolumeClaim"
    requests = objects.lookup(claim, ("spec", "resources", "requests")) or {}
    problems: list[str] = []
    for key, bound in sorted((limit.get("min") or {}).items()):
        problems += _minimum(kind, key, bound, Usage(requests, {}))
    for key, bound in sorted((limit.get("max") or {}).items()):
        start = f"maximum {key} usage per {kind} is {bound}"
        request = requests.get(key)
        if request is None:
            problems.append(f"{start}.  No request is specified")
        elif _less(bound, request):
            problems.append(f"{start}, but request is {request}")
    return problems


def _less(one: str, other: str) -> bool:
    return quantities.parse(one) < quantities.parse(other)
