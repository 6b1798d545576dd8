"""What controllers ask of pods: ready, available, active, in which order to delete."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from understudy.kube import objects


def phase_of(pod: objects.Object) -> str:
    """Return status.phase, or an empty string."""
    return str((pod.get("status") or {}).get("phase") or "")


def is_terminating(pod: objects.Object) -> bool:
    """Whether deletion has begun."""
    return bool(objects.metadata(pod).get("deletionTimestamp"))


def is_over(pod: objects.Object) -> bool:
    """Whether every container ended for good."""
    return phase_of(pod) in {"Succeeded", "Failed"}


def is_active(pod: objects.Object) -> bool:
    """Whether a workload counts it: neither over nor terminating."""
    return not is_over(pod) and not is_terminating(pod)


def condition_of(obj: objects.Object, type: str) -> objects.Object | None:
    """Return a condition of the status, or None."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == type:
            found: objects.Object = condition
            return found
    return None


def is_ready(pod: objects.Object) -> bool:
    """Whether its Ready condition is True."""
    ready = condition_of(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def available_in_s(pod: objects.Object, min_ready_s: int, now: dt.datetime) -> float | None:
    """Return seconds until the pod counts as available: 0 now, None never as it is."""
    ready = condition_of(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    if min_ready_s == 0:
        return 0.0
    since = ready.get("lastTransitionTime")
    if not since:
        return None
    left_s = (parse_time(since) - now).total_seconds() + min_ready_s
    return max(0.0, left_s)


def is_available(pod: objects.Object, min_ready_s: int, now: dt.datetime) -> bool:
    """Whether the pod has been ready for long enough."""
    return available_in_s(pod, min_ready_s, now) == 0.0


def lasting_containers(pod: objects.Object) -> list[objects.Object]:
    """Return the containers that run as long as the pod does: its own and the sidecars."""
    spec = pod.get("spec") or {}
    initial = spec.get("initContainers") or ()
    sidecars = [one for one in initial if one.get("restartPolicy") == "Always"]
    return [*(spec.get("containers") or ()), *sidecars]


def parse_time(text: str) -> dt.datetime:
    """Parse a metav1.Time or MicroTime."""
    return dt.datetime.fromisoformat(text)


def creation_of(obj: objects.Object) -> str:
    """Return metadata.creationTimestamp; such texts sort as the times they name."""
    return str(objects.metadata(obj).get("creationTimestamp") or "")


def restarts_of(pod: objects.Object) -> int:
    """Return the highest restart count of its containers."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)


def deletion_order(
    pods: Iterable[objects.Object], related_by_node: Mapping[str, int]
) -> list[objects.Object]:
    """Order pods so that the first are the first to go when a set shrinks.

    Unassigned, then pending, then not ready, then those with a lower deletion cost, then those on
    the node with more pods of the set, then ready for a shorter time, more
    restarts, younger.

    Source: ActivePodsWithRanks in pkg/controller/controller_utils.go.
    """
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}

    def rank(pod: objects.Object) -> tuple[objects.Json, ...]:
        node = (pod.get("spec") or {}).get("nodeName") or ""
        ready = condition_of(pod, "Ready")
        is_up = ready is not None and ready.get("status") == "True"
        since = str(ready.get("lastTransitionTime") or "") if ready is not None and is_up else ""
        return (
            bool(node),
            phases.get(phase_of(pod), 2),
            is_up,
            _deletion_cost(pod),
            -related_by_node.get(str(node), 0),
            _Later(since),
            -restarts_of(pod),
            _Later(creation_of(pod)),
            objects.name_of(pod),
        )

    return sorted(pods, key=rank)


class _Later:
    """Sorts later times before earlier ones."""

    __slots__ = ("moment",)

    def __init__(self, moment: str) -> None:
        self.moment = moment

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Later) and self.moment == other.moment

    def __hash__(self) -> int:
        return hash(self.moment)

    def __lt__(self, other: _Later) -> bool:
        return self.moment > other.moment


def _deletion_cost(pod: objects.Object) -> int:
    text = objects.annotations_of(pod).get("controller.kubernetes.io/pod-deletion-cost") or "0"
    try:
        return int(text)
    except ValueError:
        return 0


def from_template(
    template: objects.Object, namespace: str, owner: objects.Object
) -> objects.Object:
    """Build a pod from a template: its labels, annotations, finalizers and spec, and the owner."""
    from_meta = template.get("metadata") or {}
    meta: objects.Object = {"namespace": namespace}
    for field in ("labels", "annotations", "finalizers"):
        if from_meta.get(field):
            meta[field] = objects.copy(from_meta[field])
    meta["ownerReferences"] = [owner]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": objects.copy(template.get("spec") or {}),
    }


def name_prefix(owner_name: str) -> str:
    """Return the generateName of an owner's pods: its name and a dash, where that is valid."""
    return f"{owner_name}-" if len(owner_name) < 253 else owner_name
