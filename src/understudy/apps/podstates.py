"""What one pod says about its app: phase, trouble, progress."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from understudy.apps import records
from understudy.kube import objects, records as codec
from understudy.kube.knative import keys as knative

PULL_ERRORS = frozenset(
    {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_CONFIG_ERRORS = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_SECRET_WORDS = ("secret", "configmap", "volume")
TERMINATING = "TERMINATING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a pod does not work.

    Attributes:
        is_final: Waiting will not help; a new image or spec will.
        since: When it began, None where Kubernetes does not say.
    """

    substate: records.Substate
    message: str
    is_final: bool
    since: dt.datetime | None = None


def is_running(pod: objects.Object) -> bool:
    """Say whether a pod still takes up room: not completed and not yet gone."""
    return phase(pod) not in ("Succeeded", "Failed")


def is_ready(pod: objects.Object) -> bool:
    """Say whether a pod takes requests."""
    if objects.metadata(pod).get("deletionTimestamp"):
        return False
    conditions = objects.lookup(pod, ("status", "conditions")) or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def phase(pod: objects.Object) -> str:
    """Return status.phase, empty where there is none yet."""
    return str(objects.lookup(pod, ("status", "phase")) or "")


def status(pod: objects.Object) -> tuple[records.ReplicaStatus, str]:
    """Return the state of a replica and what Kubernetes says in full."""
    state = records.DeploymentStatus
    if objects.metadata(pod).get("deletionTimestamp"):
        return records.ReplicaStatus(deployment_status=TERMINATING, reason="Terminating"), ""
    match phase(pod):
        case "Running":
            return _running(pod)
        case "Pending":
            for container in _containers(pod):
                waiting = objects.lookup(container, ("state", "waiting")) or {}
                if waiting.get("reason"):
                    return _replica(state.PENDING, waiting["reason"]), _text(waiting)
            unscheduled = _unscheduled(pod)
            reason = str((unscheduled or {}).get("reason") or "Pending")
            return _replica(state.PENDING, reason), _text(unscheduled or {})
        case "Failed":
            reason = objects.lookup(pod, ("status", "reason")) or _ended(pod)
            message = str(objects.lookup(pod, ("status", "message")) or "")
            return _replica(state.FAILED, str(reason or "")), message
        case "Succeeded":
            return _replica(state.STOPPED, "pod completed"), ""
        case other:
            return _replica(state.PENDING, other), ""


def restarts(pod: objects.Object) -> int:
    """Return the restarts of the most restarted container."""
    return max((int(one.get("restartCount") or 0) for one in _containers(pod)), default=0)


def worst(pods: Iterable[objects.Object]) -> Trouble | None:
    """Return the gravest trouble of any of the pods; final ones first, None where all is well."""
    found = [trouble for pod in pods for trouble in _troubles(pod)]
    found.sort(key=lambda one: not one.is_final)
    return found[0] if found else None


def progress(pods: Sequence[objects.Object]) -> tuple[records.Substate | None, str]:
    """Say what the pods are busy with, and a text for it; None where there are none."""
    sub = records.Substate
    for pod in pods:
        for container in _containers(pod):
            waiting = objects.lookup(container, ("state", "waiting")) or {}
            reason = str(waiting.get("reason") or "")
            if reason in ("ErrImagePull", "Pulling"):
                return sub.PULLING_IMAGE, f"{reason}: {_text(waiting)}".rstrip(": ")
            if reason == "ContainerCreating":
                return sub.PULLING_IMAGE, "pulling the image and creating the container"
        if phase(pod) == "Running" and not is_ready(pod):
            return sub.INITIALIZING, "the container runs but is not ready yet"
        if (unscheduled := _unscheduled(pod)) is not None:
            return sub.INITIALIZING, f"Unschedulable: {_text(unscheduled)}"
    return (sub.INITIALIZING, "") if pods else (None, "")


def _running(pod: objects.Object) -> tuple[records.ReplicaStatus, str]:
    state = records.DeploymentStatus
    containers = list(_containers(pod))
    if not containers:
        return _replica(state.DEPLOYING, "container not started"), ""
    for container in containers:
        if not container.get("ready"):
            waiting = objects.lookup(container, ("state", "waiting")) or {}
            reason = str(waiting.get("reason") or "container not ready")
            return _replica(state.DEPLOYING, reason), _text(waiting)
    return _replica(state.ACTIVE, ""), ""


def _troubles(pod: objects.Object) -> Iterator[Trouble]:
    sub = records.Substate
    if objects.metadata(pod).get("deletionTimestamp"):
        return
    for container in _containers(pod):
        name = str(container.get("name") or "")
        waiting = objects.lookup(container, ("state", "waiting")) or {}
        ended = (
            objects.lookup(container, ("state", "terminated"))
            or objects.lookup(container, ("lastState", "terminated"))
            or {}
        )
        reason, text = str(waiting.get("reason") or ""), _text(waiting)
        since = _time(ended.get("finishedAt"))
        if reason in PULL_ERRORS:
            yield Trouble(
                substate=sub.IMAGE_PULL_ERROR,
                message=f"{reason}: {text}".rstrip(": "),
                is_final=True,
            )
        elif reason in _CONFIG_ERRORS:
            is_secret = any(word in text.lower() for word in _SECRET_WORDS)
            yield Trouble(
                substate=sub.SECRET_MOUNT_ERROR if is_secret else sub.UNSPECIFIED,
                message=f"{reason}: {text}".rstrip(": "),
                is_final=True,
            )
        elif reason == "CrashLoopBackOff" or (ended and not container.get("ready")):
            killed = ended.get("reason") == "OOMKilled"
            code = ended.get("exitCode")
            words = "ran out of memory" if killed else f"exited with code {code}"
            detail = str(ended.get("message") or "").strip()
            times = int(container.get("restartCount") or 0)
            yield Trouble(
                substate=sub.OOM_KILLED if killed else sub.CRASH_LOOP,
                message=f"container {name!r} {words}"
                + (f", {times} restarts" if times else "")
                + (f": {detail}" if detail else ""),
                is_final=reason == "CrashLoopBackOff" or killed,
                since=since,
            )


def _containers(pod: objects.Object) -> Iterator[objects.Object]:
    """Yield the states of containers: the init ones not yet done, then the app's, then Knative's.

    Knative's proxy comes last: it becomes ready after the app, whose reason says more.
    """
    for container in objects.lookup(pod, ("status", "initContainerStatuses")) or ():
        if not container.get("ready"):
            yield container
    found = objects.lookup(pod, ("status", "containerStatuses")) or ()
    yield from sorted(found, key=lambda one: one.get("name") == knative.QUEUE_CONTAINER)


def _unscheduled(pod: objects.Object) -> objects.Object | None:
    for condition in objects.lookup(pod, ("status", "conditions")) or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            found: objects.Object = condition
            return found
    return None


def _ended(pod: objects.Object) -> str:
    for container in _containers(pod):
        reason = objects.lookup(container, ("state", "terminated", "reason"))
        if reason:
            return str(reason)
    return ""


def _replica(state: records.DeploymentStatus, reason: str) -> records.ReplicaStatus:
    return records.ReplicaStatus(deployment_status=state.value, reason=reason)


def _text(mapping: objects.Object) -> str:
    return str(mapping.get("message") or "")


def _time(text: objects.Json) -> dt.datetime | None:
    try:
        return codec.parse_time(str(text)) if text else None
    except ValueError:
        return None
