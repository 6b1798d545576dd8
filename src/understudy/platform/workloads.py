"""What runs in a cluster, as services: containers, how far they have come, what they say. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from understudy.kube import health, objects
from understudy.platform import matching, records

WORKLOADS = (
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "replicasets.apps",
    "replicationcontrollers",
    "cronjobs.batch",
    "jobs.batch",
    "pods",
    "services.serving.knative.dev",
)
"""What runs containers. Those that another workload owns are part of it, not services."""
_BAD = {("Progressing", "False"), ("ReplicaFailure", "True"), ("Failed", "True")}
_STATUSES = {
    health.State.CURRENT: "ready",
    health.State.SUSPENDED: "ready",
    health.State.FAILED: "error",
    health.State.UNKNOWN: "unknown",
}


def service_of(
    workload: objects.Object, fronts: Sequence[objects.Object], facts: health.Facts
) -> records.Service:
    """Return a workload as a service; `fronts` are the Services that may select its pods."""
    meta, template = workload["metadata"], matching.template_of(workload)
    namespace, labels = objects.namespace_of(workload), objects.labels_of(template)
    front = next((one for one in fronts if matching.selects(one, namespace, labels)), None)
    return records.Service(
        id=str(records.ServiceId(namespace, matching.kind_of(workload), meta["name"])),
        ip=objects.lookup(front, ("spec", "clusterIP"), "") if front else "",
        metadata=matching.told_of(workload),
        status=status_of(workload, facts),
        containers=_containers(template),
        rollout=rollout_of(workload, facts),
        labels=dict(objects.labels_of(workload)),
    )


def _containers(template: objects.Object) -> records.ContainersOrExcuse:
    spec = template.get("spec") or {}
    found = [
        records.Container(name=one.get("name") or "", image=one.get("image") or "", init=init)
        for init, key in ((True, "initContainers"), (False, "containers"))
        for one in spec.get(key) or ()
    ]
    if not found:
        return records.ContainersOrExcuse(excuse="its template has no containers")
    return records.ContainersOrExcuse(containers=tuple(found))


def status_of(workload: objects.Object, facts: health.Facts) -> str:
    """Return a workload's state in one word, see `records.Service`.

    A CronJob is ready: it has no state of its own, its jobs do.
    """
    status = workload.get("status") or {}
    seen, now = status.get("observedGeneration"), workload["metadata"].get("generation")
    if workload.get("kind") not in {"Pod", "CronJob", "Job"} and int(seen or 0) < int(now or 0):
        return "started"
    return _STATUSES.get(health.assess(workload, facts).state, "updating")


def rollout_of(workload: objects.Object, facts: health.Facts) -> records.Rollout:
    """Return how far a workload has come, in pods; kinds count them under different names."""
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    verdict = health.assess(workload, facts)
    said = [
        str(condition.get("message"))
        for condition in status.get("conditions") or ()
        if (condition.get("type"), condition.get("status")) in _BAD and condition.get("message")
    ]
    if not verdict.is_settled and verdict.message:
        said.append(verdict.message)
    messages = tuple(dict.fromkeys(said))
    match workload.get("kind"):
        case "DaemonSet":
            return _of_daemon_set(status, messages)
        case "Job":
            return _of_job(spec, status, messages)
        case "Pod":
            is_ready = int(verdict.state is health.State.CURRENT)
            return records.Rollout(
                desired=1, updated=1, ready=is_ready, available=is_ready, messages=messages
            )
        case "CronJob" | "Service":
            return records.Rollout(messages=messages)
        case kind:
            return _of_replicas(str(kind), spec, status, messages)


def _of_daemon_set(status: objects.Object, messages: tuple[str, ...]) -> records.Rollout:
    updated = status.get("updatedNumberScheduled") or 0
    return records.Rollout(
        desired=status.get("desiredNumberScheduled") or 0,
        updated=updated,
        ready=status.get("numberReady") or 0,
        available=status.get("numberAvailable") or 0,
        outdated=max(0, (status.get("currentNumberScheduled") or 0) - updated),
        messages=messages,
    )


def _of_job(
    spec: objects.Object, status: objects.Object, messages: tuple[str, ...]
) -> records.Rollout:
    """Count a job's pods; those that have succeeded are what is available of it."""
    parallel = 1 if spec.get("parallelism") is None else int(spec["parallelism"])
    desired = spec.get("completions")
    succeeded = status.get("succeeded") or 0
    return records.Rollout(
        desired=parallel if desired is None else int(desired),
        updated=(status.get("active") or 0) + succeeded,
        ready=(status.get("ready") or 0) + succeeded,
        available=succeeded,
        messages=messages,
    )


def _of_replicas(
    kind: str, spec: objects.Object, status: objects.Object, messages: tuple[str, ...]
) -> records.Rollout:
    desired = 1 if spec.get("replicas") is None else int(spec["replicas"])
    total, ready = status.get("replicas") or 0, status.get("readyReplicas") or 0
    updated = status.get("updatedReplicas") or 0
    if kind in {"ReplicaSet", "ReplicationController"}:
        updated = total
    if kind == "StatefulSet":
        partition = objects.lookup(spec, ("updateStrategy", "rollingUpdate", "partition")) or 0
        desired = max(0, desired - int(partition))
    return records.Rollout(
        desired=desired,
        updated=updated,
        ready=ready,
        available=status.get("availableReplicas") or (ready if kind == "StatefulSet" else 0),
        outdated=max(0, total - updated),
        messages=messages,
    )
