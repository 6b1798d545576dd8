"""Tables of pods and of what makes pods (facts: pkg/printers/internalversion @ 1.34-1.36)."""

from __future__ import annotations

import datetime as dt

from understudy.kapi.resources.printers import cells, durations
from understudy.kube import objects

POD_COLUMNS = cells.columns(
    "Name", "Ready", "Status", "Restarts", "Age",
    "IP*", "Node*", "Nominated Node*", "Readiness Gates*",
)  # fmt: skip
_COMPLETED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


def pod_conditions(pod: objects.Object) -> list[objects.Object]:
    """Return the row condition that lets clients hide pods that have ended."""
    phase = cells.text(pod, "status", "phase")
    message = _COMPLETED.get(phase)
    if message is None:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


class _Tally:
    """What a pod's container statuses add up to."""

    def __init__(self, pod: objects.Object) -> None:
        self.reason = cells.text(
            pod, "status", "reason", default=cells.text(pod, "status", "phase")
        )
        self.restarts = 0
        self.last_restart = ""
        self.ready = 0
        self.initializing = False

    def count_restarts(self, status: objects.Object) -> None:
        self.restarts += cells.number(status, "restartCount")
        finished = cells.text(status, "lastState", "terminated", "finishedAt")
        self.last_restart = max(self.last_restart, finished)


def _terminated(state: objects.Json) -> str:
    """Name a terminated state: its reason, else signal or exit code."""
    reason = cells.text(state, "reason")
    if reason:
        return reason
    signal = cells.number(state, "signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{cells.number(state, 'exitCode')}"


def _restartable(pod: objects.Object) -> set[str]:
    return {
        cells.text(one, "name")
        for one in cells.items(pod, "spec", "initContainers")
        if cells.text(one, "restartPolicy") == "Always"
    }


def _count_init(pod: objects.Object, tally: _Tally, sidecars: set[str]) -> _Tally:
    """Go through the init containers up to the first that is not done; returns the sidecars'."""
    side = _Tally(pod)
    total = len(cells.items(pod, "spec", "initContainers"))
    for index, status in enumerate(cells.items(pod, "status", "initContainerStatuses")):
        is_sidecar = cells.text(status, "name") in sidecars
        tally.count_restarts(status)
        if is_sidecar:
            side.count_restarts(status)
        state = cells.at(status, "state") or {}
        ended, waiting = state.get("terminated"), cells.text(state, "waiting", "reason")
        if ended is not None and cells.number(ended, "exitCode") == 0:
            continue
        if is_sidecar and status.get("started"):
            tally.ready += bool(status.get("ready"))
            continue
        if ended is not None:
            tally.reason = f"Init:{_terminated(ended)}"
        elif waiting and waiting != "PodInitializing":
            tally.reason = f"Init:{waiting}"
        else:
            tally.reason = f"Init:{index}/{total}"
        tally.initializing = True
        break
    return side


def _count_containers(pod: objects.Object, tally: _Tally) -> None:
    running = False
    for status in reversed(cells.items(pod, "status", "containerStatuses")):
        tally.count_restarts(status)
        state = cells.at(status, "state") or {}
        waiting = cells.text(state, "waiting", "reason")
        if waiting:
            tally.reason = waiting
        elif state.get("terminated") is not None:
            tally.reason = _terminated(state["terminated"])
        elif status.get("ready") and state.get("running") is not None:
            running = True
            tally.ready += 1
    if tally.reason == "Completed" and running:
        tally.reason = "Running" if _has_condition(pod, "Ready") else "NotReady"


def _has_condition(obj: objects.Object, type: str) -> bool:
    return any(
        cells.text(one, "type") == type and cells.text(one, "status") == "True"
        for one in cells.items(obj, "status", "conditions")
    )


def pod_row(pod: objects.Object, now: dt.datetime) -> list[objects.Json]:
    """Return a pod's cells; STATUS sums its containers up as `kubectl get pods` shows it."""
    sidecars = _restartable(pod)
    tally = _Tally(pod)
    for condition in cells.items(pod, "status", "conditions"):
        if (
            cells.text(condition, "type") == "PodScheduled"
            and cells.text(condition, "reason") == "SchedulingGated"
        ):
            tally.reason = "SchedulingGated"
    side = _count_init(pod, tally, sidecars)
    if not tally.initializing or _has_condition(pod, "Initialized"):
        tally.restarts, tally.last_restart = side.restarts, side.last_restart
        _count_containers(pod, tally)
    if cells.is_deleted(pod):
        if cells.text(pod, "status", "reason") == "NodeLost":
            tally.reason = "Unknown"
        elif cells.text(pod, "status", "phase") not in ("Succeeded", "Failed"):
            tally.reason = "Terminating"
    restarts = str(tally.restarts)
    if tally.restarts and tally.last_restart:
        restarts = f"{tally.restarts} ({durations.since(tally.last_restart, now)} ago)"
    total = len(cells.items(pod, "spec", "containers")) + len(sidecars)
    return [
        cells.name(pod),
        f"{tally.ready}/{total}",
        tally.reason,
        restarts,
        cells.age(pod, now),
        cells.text(pod, "status", "podIPs", 0, "ip", default="<none>"),
        cells.text(pod, "spec", "nodeName", default="<none>"),
        cells.text(pod, "status", "nominatedNodeName", default="<none>"),
        _gates(pod),
    ]


def _gates(pod: objects.Object) -> str:
    gates = cells.items(pod, "spec", "readinessGates")
    if not gates:
        return "<none>"
    met = sum(_has_condition(pod, cells.text(gate, "conditionType")) for gate in gates)
    return f"{met}/{len(gates)}"


def _template(obj: objects.Object) -> objects.Json:
    return cells.at(obj, "spec", "template", "spec")


def _deployment(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    names, images = cells.containers(_template(obj))
    return [
        cells.name(obj),
        f"{cells.number(obj, 'status', 'readyReplicas')}/{cells.number(obj, 'spec', 'replicas')}",
        cells.number(obj, "status", "updatedReplicas"),
        cells.number(obj, "status", "availableReplicas"),
        cells.age(obj, now),
        names,
        images,
        cells.selector(cells.at(obj, "spec", "selector")),
    ]


def _replicas(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    names, images = cells.containers(_template(obj))
    chosen = cells.at(obj, "spec", "selector")
    plain = obj.get("kind") == "ReplicationController"
    return [
        cells.name(obj),
        cells.number(obj, "spec", "replicas"),
        cells.number(obj, "status", "replicas"),
        cells.number(obj, "status", "readyReplicas"),
        cells.age(obj, now),
        names,
        images,
        cells.labels(chosen) if plain else cells.selector(chosen),
    ]


def _stateful_set(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    names, images = cells.containers(_template(obj))
    ready = cells.number(obj, "status", "readyReplicas")
    return [
        cells.name(obj),
        f"{ready}/{cells.number(obj, 'spec', 'replicas')}",
        cells.age(obj, now),
        names,
        images,
    ]


def _daemon_set(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    names, images = cells.containers(_template(obj))
    counts = (
        "desiredNumberScheduled", "currentNumberScheduled", "numberReady",
        "updatedNumberScheduled", "numberAvailable",
    )  # fmt: skip
    return [
        cells.name(obj),
        *(cells.number(obj, "status", count) for count in counts),
        cells.labels(cells.at(_template(obj), "nodeSelector")),
        cells.age(obj, now),
        names,
        images,
        cells.selector(cells.at(obj, "spec", "selector")),
    ]


def _job(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    names, images = cells.containers(_template(obj))
    start, end = cells.at(obj, "status", "startTime"), cells.at(obj, "status", "completionTime")
    took = ""
    if start:
        took = durations.between(start, end) if end else durations.since(start, now)
    return [
        cells.name(obj),
        _job_status(obj),
        _job_completions(obj),
        took,
        cells.age(obj, now),
        names,
        images,
        cells.selector(cells.at(obj, "spec", "selector")),
    ]


def _job_status(obj: objects.Object) -> str:
    if _has_condition(obj, "Complete"):
        return "Complete"
    if _has_condition(obj, "Failed"):
        return "Failed"
    if cells.is_deleted(obj):
        return "Terminating"
    if _has_condition(obj, "Suspended"):
        return "Suspended"
    for kind in ("FailureTarget", "SuccessCriteriaMet"):
        if _has_condition(obj, kind):
            return kind
    return "Running"


def _job_completions(obj: objects.Object) -> str:
    done = cells.number(obj, "status", "succeeded")
    wanted = cells.at(obj, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallel = cells.number(obj, "spec", "parallelism")
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _cron_job(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    names, images = cells.containers(
        cells.at(obj, "spec", "jobTemplate", "spec", "template", "spec")
    )
    last = cells.at(obj, "status", "lastScheduleTime")
    suspend = cells.at(obj, "spec", "suspend")
    return [
        cells.name(obj),
        cells.text(obj, "spec", "schedule"),
        cells.text(obj, "spec", "timeZone", default="<none>"),
        "<unset>" if suspend is None else str(bool(suspend)),
        len(cells.items(obj, "status", "active")),
        durations.since(last, now) if last else "<none>",
        cells.age(obj, now),
        names,
        images,
        cells.selector(cells.at(obj, "spec", "jobTemplate", "spec", "selector")),
    ]


def _pod_template(obj: objects.Object, _now: dt.datetime) -> list[objects.Json]:
    names, images = cells.containers(cells.at(obj, "template", "spec"))
    return [
        cells.name(obj),
        names,
        images,
        cells.labels(cells.at(obj, "template", "metadata", "labels")),
    ]


def _controller_revision(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    owner = "<none>"
    for reference in cells.items(obj, "metadata", "ownerReferences"):
        if reference.get("controller"):
            group, slash, _ = cells.text(reference, "apiVersion").partition("/")
            kind = cells.text(reference, "kind") + (f".{group}" if slash else "")
            owner = f"{kind.lower()}/{cells.text(reference, 'name')}"
    return [cells.name(obj), owner, cells.number(obj, "revision"), cells.age(obj, now)]


def _hpa(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    low = cells.at(obj, "spec", "minReplicas")
    target = cells.at(obj, "spec", "scaleTargetRef")
    return [
        cells.name(obj),
        f"{cells.text(target, 'kind')}/{cells.text(target, 'name')}",
        _hpa_metrics(obj),
        "<unset>" if low is None else str(low),
        cells.number(obj, "spec", "maxReplicas"),
        cells.number(obj, "status", "currentReplicas"),
        cells.age(obj, now),
    ]


_METRIC_FIELDS = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _hpa_metrics(obj: objects.Object) -> str:
    specs = cells.items(obj, "spec", "metrics")
    if not specs:
        return "<none>"
    current = cells.items(obj, "status", "currentMetrics")
    shown = [
        _hpa_metric(spec, current[index] if index < len(current) else None)
        for index, spec in enumerate(specs)
    ]
    joined = ", ".join(shown[:2])
    return f"{joined} + {len(shown) - 2} more..." if len(shown) > 2 else joined


def _hpa_metric(spec: objects.Object, status: objects.Json) -> str:
    source = cells.text(spec, "type")
    field = _METRIC_FIELDS.get(source)
    if field is None:
        return "<unknown type>"
    wanted, found = cells.at(spec, field, "target") or {}, cells.at(status, field, "current") or {}
    resource = cells.text(spec, field, "name") if source.endswith("Resource") else ""
    prefix = f"{resource}: " if resource else ""
    if wanted.get("averageValue") is not None:
        average = " (avg)" if source in ("External", "Object") else ""
        now = cells.text(found, "averageValue", default="<unknown>")
        return f"{prefix}{now}/{wanted['averageValue']}{average}"
    if resource:
        used = found.get("averageUtilization")
        goal = wanted.get("averageUtilization")
        return (
            f"{prefix}{'<unknown>' if used is None else f'{used}%'}/"
            f"{'<auto>' if goal is None else f'{goal}%'}"
        )
    return f"{cells.text(found, 'value', default='<unknown>')}/{cells.text(wanted, 'value')}"


def _pdb(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    low, high = cells.at(obj, "spec", "minAvailable"), cells.at(obj, "spec", "maxUnavailable")
    return [
        cells.name(obj),
        "N/A" if low is None else str(low),
        "N/A" if high is None else str(high),
        cells.number(obj, "status", "disruptionsAllowed"),
        cells.age(obj, now),
    ]


def _scale(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
    return [
        cells.name(obj),
        cells.number(obj, "spec", "replicas"),
        cells.number(obj, "status", "replicas"),
        cells.age(obj, now),
    ]


_WIDE = ("Containers*", "Images*", "Selector*")
_REPLICAS = cells.columns(
    "Name", "Desired:integer", "Current:integer", "Ready:integer", "Age", *_WIDE
)
PRINTERS = {
    ("", "Pod"): cells.Printer(POD_COLUMNS, pod_row, pod_conditions),
    ("", "PodTemplate"): cells.Printer(
        cells.columns("Name", "Containers", "Images", "Pod Labels"), _pod_template
    ),
    ("", "ReplicationController"): cells.Printer(_REPLICAS, _replicas),
    ("apps", "ReplicaSet"): cells.Printer(_REPLICAS, _replicas),
    ("apps", "Deployment"): cells.Printer(
        cells.columns("Name", "Ready", "Up-to-date", "Available", "Age", *_WIDE), _deployment
    ),
    ("apps", "StatefulSet"): cells.Printer(
        cells.columns("Name", "Ready", "Age", "Containers*", "Images*"), _stateful_set
    ),
    ("apps", "DaemonSet"): cells.Printer(
        cells.columns(
            "Name", "Desired:integer", "Current:integer", "Ready:integer", "Up-to-date:integer",
            "Available:integer", "Node Selector", "Age", *_WIDE,
        ),
        _daemon_set,
    ),
    ("apps", "ControllerRevision"): cells.Printer(
        cells.columns("Name", "Controller", "Revision", "Age"), _controller_revision
    ),
    ("batch", "Job"): cells.Printer(
        cells.columns("Name", "Status", "Completions", "Duration", "Age", *_WIDE), _job
    ),
    ("batch", "CronJob"): cells.Printer(
        cells.columns(
            "Name", "Schedule", "Timezone", "Suspend:boolean", "Active:integer", "Last Schedule",
            "Age", *_WIDE,
        ),
        _cron_job,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): cells.Printer(
        cells.columns("Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"),
        _hpa,
    ),
    ("policy", "PodDisruptionBudget"): cells.Printer(
        cells.columns(
            "Name", "Min Available", "Max Unavailable", "Allowed Disruptions:integer", "Age"
        ),
        _pdb,
    ),
    ("autoscaling", "Scale"): cells.Printer(
        cells.columns("Name:string", "Desired:integer", "Available:integer", "Age"), _scale
    ),
}  # fmt: skip
