"""A pod's status out of its containers, as kubelets compute it. Pure.

Source: pkg/kubelet/kubelet_pods.go (getPhase, convertToAPIContainerStatuses) and
pkg/kubelet/status/generate.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from understudy.controllers.runtime.processes import containers
from understudy.controllers.workloads import pods
from understudy.kube import objects

PROTOCOL: Final = "process"
"""Of container ids: `process://<process id>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a status says beside the states of containers.

    Attributes:
        host: The node's address. has_address: The pod has its network.
        is_terminal: No container is started again, whatever its policy.
        reason, message: Why the pod failed as a whole; empty if it did not.
    """

    stamp: str
    host: str
    address: str
    has_address: bool
    started_at: str
    is_terminal: bool = False
    reason: str = ""
    message: str = ""


def status_of(
    pod: objects.Object, found: Sequence[containers.Container], facts: Facts
) -> objects.Object:
    """Return the whole status but for what others write (the scheduler, readiness gates)."""
    phase = "Failed" if facts.reason and facts.is_terminal else phase_of(pod, found, facts)
    status: objects.Object = {
        "phase": phase,
        "observedGeneration": objects.metadata(pod).get("generation", 1),
        "conditions": _conditions(pod, found, phase, facts),
        "hostIP": facts.host,
        "hostIPs": [{"ip": facts.host}],
        "startTime": facts.started_at,
        "containerStatuses": [_container(one) for one in found if one.kind is containers.Kind.MAIN],
    }
    initial = [_container(one) for one in found if one.kind is not containers.Kind.MAIN]
    if initial:
        status["initContainerStatuses"] = initial
    if facts.has_address:
        status |= {"podIP": facts.address, "podIPs": [{"ip": facts.address}]}
    if facts.reason:
        status |= {"reason": facts.reason, "message": facts.message}
    return status


def phase_of(pod: objects.Object, found: Sequence[containers.Container], facts: Facts) -> str:
    """Return the phase that the containers' states make.

    While anything of it runs a pod is not over.
    """
    phase = _phase_of(pod, found, facts)
    if phase in {"Succeeded", "Failed"} and any(one.is_alive for one in found):
        begun = any(one.kind is containers.Kind.MAIN and one.run >= 0 for one in found)
        return "Running" if begun else "Pending"
    return phase


def _phase_of(pod: objects.Object, found: Sequence[containers.Container], facts: Facts) -> str:
    policy = policy_of(pod)
    mains = [one for one in found if one.kind is containers.Kind.MAIN]
    if any(_has_failed_for_good(one, policy, facts) for one in found):
        return "Failed"
    if not is_initialized(found) and not any(one.run >= 0 for one in mains):
        return "Failed" if facts.is_terminal else "Pending"
    never_ran = [one for one in mains if not one.is_running and one.ended is None]
    if never_ran:
        return "Failed" if facts.is_terminal else "Pending"
    if any(one.is_running for one in mains):
        return "Running"
    return _ended_phase(mains, policy, facts)


def _has_failed_for_good(one: containers.Container, policy: str, facts: Facts) -> bool:
    """Whether an init container failed and is not tried again."""
    if one.kind is not containers.Kind.INIT or one.ended is None or one.is_alive:
        return False
    return not one.has_succeeded and (facts.is_terminal or not one.restarts_after_end(policy))


def _ended_phase(mains: Sequence[containers.Container], policy: str, facts: Facts) -> str:
    succeeded = all(one.has_succeeded for one in mains)
    if facts.is_terminal:
        return "Succeeded" if succeeded else "Failed"
    if any(one.restarts_after_end(policy) for one in mains):
        return "Running"
    return "Succeeded" if succeeded else "Failed"


def is_initialized(found: Sequence[containers.Container]) -> bool:
    """Whether every init container has done its part."""
    return not _incomplete(found)


def policy_of(pod: objects.Object) -> str:
    """Return the pod's restart policy."""
    return str((pod.get("spec") or {}).get("restartPolicy") or "Always")


def _incomplete(found: Sequence[containers.Container]) -> list[str]:
    return [
        one.name
        for one in found
        if (one.kind is containers.Kind.INIT and (one.is_alive or not one.has_succeeded))
        or (one.kind is containers.Kind.SIDECAR and not one.is_started)
    ]


def _container(one: containers.Container) -> objects.Object:
    is_ready = one.is_ready
    if one.kind is containers.Kind.INIT:
        is_ready = not one.is_alive and one.has_succeeded
    status: objects.Object = {
        "name": one.name,
        "image": str(one.spec.get("image") or ""),
        "imageID": "",
        "ready": is_ready,
        "started": one.is_started,
        "restartCount": one.restarts,
        "state": one.state,
        "lastState": one.last_state,
    }
    if one.is_running and one.process is not None:
        status["containerID"] = f"{PROTOCOL}://{one.process.pid}"
    elif one.ended is not None and one.ended.get("containerID"):
        status["containerID"] = one.ended["containerID"]
    return status


def _conditions(
    pod: objects.Object, found: Sequence[containers.Container], phase: str, facts: Facts
) -> list[objects.Object]:
    is_over = phase in {"Succeeded", "Failed"}
    table = [
        ("PodReadyToStartContainers", facts.has_address and not is_over, "", ""),
        ("Initialized", *_initialized(found, phase)),
        ("Ready", *_ready(pod, found, phase)),
        ("ContainersReady", *_containers_ready(found, phase)),
    ]
    return [_condition(pod, facts, *row) for row in table]


def _condition(
    pod: objects.Object, facts: Facts, kind: str, holds: bool, reason: str, message: str
) -> objects.Object:
    value = "True" if holds else "False"
    known = pods.condition_of(pod, kind) or {}
    since = known.get("lastTransitionTime") if known.get("status") == value else None
    return {
        "type": kind,
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": since or facts.stamp,
        "observedGeneration": objects.metadata(pod).get("generation", 1),
        "reason": reason or None,
        "message": message or None,
    }


def _initialized(found: Sequence[containers.Container], phase: str) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return True, "PodCompleted", ""
    names = _incomplete(found)
    begun = any(one.kind is containers.Kind.MAIN and one.run >= 0 for one in found)
    if not names or begun:
        return True, "", ""
    shown = " ".join(names)
    return False, "ContainersNotInitialized", f"containers with incomplete status: [{shown}]"


def _containers_ready(found: Sequence[containers.Container], phase: str) -> tuple[bool, str, str]:
    if phase in {"Succeeded", "Failed"}:
        return False, "PodCompleted" if phase == "Succeeded" else "PodFailed", ""
    names = [
        one.name for one in found
        if one.kind is not containers.Kind.INIT and not one.is_ready
    ]  # fmt: skip
    if not names:
        return True, "", ""
    shown = " ".join(names)
    return False, "ContainersNotReady", f"containers with unready status: [{shown}]"


def _ready(
    pod: objects.Object, found: Sequence[containers.Container], phase: str
) -> tuple[bool, str, str]:
    holds, reason, message = _containers_ready(found, phase)
    if not holds:
        return holds, reason, message
    for gate in (pod.get("spec") or {}).get("readinessGates") or ():
        kind = str(gate.get("conditionType"))
        condition = pods.condition_of(pod, kind)
        if condition is None:
            text = f'corresponding condition of pod readiness gate "{kind}" does not exist.'
            return False, "ReadinessGatesNotReady", text
        if condition.get("status") != "True":
            text = f'the status of pod readiness gate "{kind}" is not "True", but '
            text += str(condition.get("status"))
            return False, "ReadinessGatesNotReady", text
    return True, "", ""
