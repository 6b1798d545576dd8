"""The number of replicas that one metric asks for, and what its status says.

Source: pkg/controller/podautoscaler/replica_calculator.go and horizontal.go. Metrics of other APIs
than that of resources (custom, external) are never there: their autoscalers find what they find
where those APIs are not registered.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from understudy.controllers.autoscaling import usages
from understudy.controllers.workloads import pods
from understudy.kube import goformats, objects, quantities

TOLERANCE: Final = 0.1
"""A ratio of use to target this near to 1 changes nothing."""
STARTING_S: Final = 300.0
"""While a pod is this young, its CPU counts only when it is ready."""
FIRST_READY_S: Final = 30.0
_NO_RESOURCES: Final = (
    "unable to fetch metrics from resource metrics API: the server could not find the requested "
    "resource (get pods.metrics.k8s.io)"
)
_NO_CUSTOM: Final = (
    "unable to fetch metrics from custom metrics API: no custom metrics API "
    "(custom.metrics.k8s.io) registered"
)


class UnknownError(Exception):
    """A metric cannot be had.

    Attributes:
        reason: Of the condition ScalingActive and of the event, e.g. `FailedGetResourceMetric`.
        cause: What both say.
        message: What the autoscaler's own failure says, which names the metric.
    """

    def __init__(self, reason: str, cause: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.cause = cause
        self.message = message


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a metric asks for: replicas, its name in reasons, and its status."""

    replicas: int
    name: str
    status: objects.Object


@dataclass(frozen=True, slots=True)
class Target:
    """The workload that is scaled: its replicas now, its pods, and what may be ignored."""

    namespace: str
    replicas: int
    found: list[objects.Object]
    behavior: objects.Object | None
    now: dt.datetime


def propose(metric: objects.Object, target: Target) -> Proposal:
    """Return what a metric of an autoscaler asks for.

    Raises:
        UnknownError: It cannot be had.
    """
    match metric.get("type"):
        case "Resource":
            source, container, reason = metric["resource"], "", "FailedGetResourceMetric"
            label, field = f"{source['name']} resource", "resource"
        case "ContainerResource":
            source, reason = metric["containerResource"], "FailedGetContainerResourceMetric"
            container, field = str(source["container"]), "containerResource"
            label = f"{container} container"
        case _:
            raise _unserved(metric, target.namespace)
    try:
        proposal = _of_resource(source, container, target)
    except _MissingError as missing:
        cause = str(missing)
        message = f"failed to get {label} metric value: {cause}"
        raise UnknownError(reason, cause, message) from missing
    shown: objects.Object = {"name": source["name"], "current": proposal.status}
    shown |= {"container": container} if container else {}
    return Proposal(proposal.replicas, proposal.name, {"type": metric["type"], field: shown})


def _unserved(metric: objects.Object, namespace: str) -> UnknownError:
    """Return why a metric of an API that is not served cannot be had."""
    match metric.get("type"):
        case "Pods":
            cause = f"unable to get metric {metric['pods']['metric']['name']}: {_NO_CUSTOM}"
            text = f"failed to get pods metric value: {cause}"
            return UnknownError("FailedGetPodsMetric", cause, text)
        case "Object":
            source = metric["object"]
            name, described = source["metric"]["name"], source["describedObject"]
            # As in the reference, whose words are out of order.
            cause = (
                f"unable to get metric {name}: {described['kind']} on {namespace} "
                f"{described['name']}/{_NO_CUSTOM}"
            )
            inner = cause
            if source["target"].get("type") == "AverageValue":
                inner = f"failed to get {name} object metric: {cause}"
            text = f"failed to get object metric value: {inner}"
            return UnknownError("FailedGetObjectMetric", cause, text)
    source = metric["external"]
    name = source["metric"]["name"]
    selector = goformats.label_selector(source["metric"].get("selector"))
    cause = (
        f"unable to get external metric {namespace}/{name}/{selector}: unable to fetch metrics "
        "from external metrics API: the server could not find the requested resource "
        f"(get {name}.external.metrics.k8s.io)"
    )
    by_pod = source["target"].get("averageValue") is not None
    inner = f"{name} external metric" if by_pod else f"external metric {name}"
    text = f"failed to get {name} external metric value: failed to get {inner}: {cause}"
    return UnknownError("FailedGetExternalMetric", cause, text)


# ---------------------------------------------------------------------- resources


class _MissingError(Exception):
    """The use of a resource cannot be told."""


def _of_resource(source: objects.Object, container: str, target: Target) -> Proposal:
    resource, aim = str(source["name"]), source["target"]
    by_value = aim.get("averageValue") is not None
    what = f"failed to get {resource} {'usage' if by_value else 'utilization'}: "
    used = usages.stated(target.found, resource, container)
    if not used:
        why = f"unable to get metrics for resource {resource}: {_NO_RESOURCES}"
        raise _MissingError(what + why)
    try:
        groups = _Groups(target, used, resource)
        if by_value:
            asked = quantities.parse(str(aim["averageValue"])).milli_value
            replicas, status = _by_value(groups, target, asked, resource)
            return Proposal(replicas, f"{resource} resource", status)
        requests = _requests(target.found, resource, container)
        percent = int(aim["averageUtilization"])
        replicas, status = _by_utilization(groups, target, requests, percent, resource)
    except _MissingError as missing:
        raise _MissingError(what + str(missing)) from missing
    kind = "container resource" if container else "resource"
    return Proposal(replicas, f"{resource} {kind} utilization (percentage of request)", status)


class _Groups:
    """The pods of a workload by what is known of them; `used` is of those that count."""

    __slots__ = ("missing", "ready", "unready", "used")

    def __init__(self, target: Target, used: dict[str, int], resource: str) -> None:
        self.used = dict(used)
        self.ready = 0
        self.unready: list[str] = []
        self.missing: list[str] = []
        for pod in target.found:
            name, phase = objects.name_of(pod), pods.phase_of(pod)
            if pods.is_terminating(pod) or phase == "Failed":
                self.used.pop(name, None)
            elif phase == "Pending" or (
                name in used and resource == "cpu" and _is_unready(pod, target.now)
            ):
                self.unready.append(name)
                self.used.pop(name, None)
            elif name not in used:
                self.missing.append(name)
            else:
                self.ready += 1
        if not self.used:
            raise _MissingError("did not receive metrics for targeted pods (pods might be unready)")


def _is_unready(pod: objects.Object, now: dt.datetime) -> bool:
    ready = pods.condition_of(pod, "Ready")
    started = (pod.get("status") or {}).get("startTime")
    if ready is None or not started:
        return True
    since = pods.parse_time(str(started))
    if (now - since).total_seconds() < STARTING_S:
        return ready.get("status") == "False"
    never = pods.parse_time(ready["lastTransitionTime"]) < since + dt.timedelta(
        seconds=FIRST_READY_S
    )
    return ready.get("status") == "False" and never


def _by_value(
    groups: _Groups, target: Target, asked: int, resource: str
) -> tuple[int, objects.Object]:
    def ratio(used: dict[str, int]) -> float:
        return (sum(used.values()) // len(used)) / asked

    usage = sum(groups.used.values()) // len(groups.used)
    replicas = _replicas(groups, target, ratio, dict.fromkeys(groups.missing, asked))
    return replicas, {"averageValue": _quantity(usage, resource)}


def _by_utilization(
    groups: _Groups, target: Target, requests: dict[str, int], percent: int, resource: str
) -> tuple[int, objects.Object]:
    def utilization(used: dict[str, int]) -> int:
        asked = sum(requests[name] for name in used)
        if asked == 0:
            raise _MissingError("no metrics returned matched known pods")
        return sum(used.values()) * 100 // asked

    def ratio(used: dict[str, int]) -> float:
        return utilization(used) / percent

    status: objects.Object = {
        "averageValue": _quantity(sum(groups.used.values()) // len(groups.used), resource),
        "averageUtilization": utilization(groups.used),
    }
    full = {name: requests[name] * max(100, percent) // 100 for name in groups.missing}
    return _replicas(groups, target, ratio, full), status


def _replicas(
    groups: _Groups,
    target: Target,
    ratio_of: Callable[[dict[str, int]], float],
    full: dict[str, int],
) -> int:
    """Return the replicas that bring the ratio to 1.

    Pods without metrics count as `full` on the way down and as idle on the way up, pods that are
    not ready as idle on the way up; neither may turn the direction.
    """
    ratio = ratio_of(groups.used)
    up_with_unready = bool(groups.unready) and ratio > 1.0
    if not up_with_unready and not groups.missing:
        if _is_near(ratio, target.behavior):
            return target.replicas
        return math.ceil(ratio * groups.ready)
    used = dict(groups.used)
    if ratio < 1.0:
        used |= full
    elif ratio > 1.0:
        used |= dict.fromkeys(groups.missing, 0)
    if up_with_unready:
        used |= dict.fromkeys(groups.unready, 0)
    again = ratio_of(used)
    if _is_near(again, target.behavior) or (ratio - 1.0) * (again - 1.0) < 0:
        return target.replicas
    replicas = math.ceil(again * len(used))
    if (again < 1.0 and replicas > target.replicas) or (again > 1.0 and replicas < target.replicas):
        return target.replicas
    return replicas


def _is_near(ratio: float, behavior: objects.Object | None) -> bool:
    return 1.0 - _tolerance(behavior, "scaleDown") <= ratio <= 1.0 + _tolerance(behavior, "scaleUp")


def _tolerance(behavior: objects.Object | None, rules: str) -> float:
    stated = ((behavior or {}).get(rules) or {}).get("tolerance")
    return TOLERANCE if stated is None else quantities.parse(str(stated)).milli_value / 1000


def _requests(found: list[objects.Object], resource: str, container: str) -> dict[str, int]:
    """Return what the pods ask for, in thousandths, by name."""
    return {objects.name_of(pod): _request(pod, resource, container) for pod in found}


def _request(pod: objects.Object, resource: str, container: str) -> int:
    spec, name = pod["spec"], objects.name_of(pod)
    overall = (spec.get("resources") or {}).get("requests")
    if overall and not container:
        if resource not in overall:
            raise _MissingError(f"missing pod-level request for {resource} in Pod {name}")
        return quantities.parse(str(overall[resource])).milli_value
    total, seen = 0, False
    for one in pods.lasting_containers(pod):
        if container not in {"", one["name"]}:
            continue
        asked = ((one.get("resources") or {}).get("requests") or {}).get(resource)
        if asked is None:
            raise _MissingError(
                f"missing request for {resource} in container {one['name']} of Pod {name}"
            )
        total, seen = total + quantities.parse(str(asked)).milli_value, True
    if container and not seen:
        raise _MissingError(f"container {container} not found in Pod {name}")
    return total


def _quantity(thousandths: int, resource: str) -> str:
    form = quantities.BINARY_SI if resource == "memory" else quantities.DECIMAL_SI
    return str(quantities.of(thousandths, -3, form))
