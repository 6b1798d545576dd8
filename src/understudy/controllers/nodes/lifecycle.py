"""Node lifecycle: labels and taints that follow from a node's conditions and cordon; lost nodes.

A node whose lease is not renewed for 50 seconds is no longer Ready (Unknown), gets the taints
`unreachable`, and its pods count as not ready. Keys are

    (node, name)     labels, and NoSchedule taints: at once
    (execute, name)  NoExecute taints: when nodes are monitored
    (monitor, name)  is it still there?

Source: pkg/controller/nodelifecycle, pkg/controller/ttl.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses

MONITOR_S: Final = 5.0
REPORT_S: Final = 0.2
"""A kubelet needs about so long to say for the first time how its node is."""
GRACE_S: Final = 50.0
STARTUP_GRACE_S: Final = 60.0
NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
CORDONED: Final = "node.kubernetes.io/unschedulable"
PRESSURES: Final = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
OWN_TAINTS: Final = frozenset({NOT_READY, UNREACHABLE, CORDONED, *PRESSURES.values()})
LABELS: Final = (
    ("kubernetes.io/os", "beta.kubernetes.io/os"),
    ("kubernetes.io/arch", "beta.kubernetes.io/arch"),
)
LEASES: Final = "leases.coordination.k8s.io"
LEASE_NAMESPACE: Final = "kube-node-lease"


class NodeLifecycle:
    """Reconciles nodes."""

    name = "node-lifecycle-controller"
    watched = ("nodes", LEASES)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "node-controller")
        self.recorder = recorders.Recorder(self.cluster, "node-controller")
        self._follows_leases = shared.follows_leases
        self._registered: dict[str, objects.Object] = {}
        self._renewed: dict[str, tuple[str, float]] = {}
        self._begun_s = self.cluster.clock.monotonic()
        self.patience_s = REPORT_S

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        name = change.entry.name
        if change.ref == "nodes":
            if change.type == "ADDED" and pods.condition_of(change.object, "Ready") is None:
                # A new node is looked at when its kubelet has had time to say how it is.
                queue.add_after(("node", name), self.patience_s)
            else:
                queue.add(("node", name))
            if not change.deleted and _lacks(change.object, "NoExecute"):
                queue.add_after(("execute", name), self._until_execution_s(change))
            if self._follows_leases:
                queue.add_after(("monitor", name), MONITOR_S, idle=True)
        elif self._follows_leases and change.entry.namespace == LEASE_NAMESPACE:
            renewed = str((change.object.get("spec") or {}).get("renewTime") or "")
            if self._renewed.get(name, ("", 0.0))[0] != renewed:
                self._renewed[name] = (renewed, self.cluster.clock.monotonic())
                queue.add_after(("monitor", name), GRACE_S, idle=True)

    def _until_execution_s(self, change: changes.Change) -> float:
        """Return seconds until NoExecute taints are brought to what the conditions say.

        That is part of the monitoring of all nodes, which just took place if the node is lost.
        """
        before = pods.condition_of(change.previous or {}, "Ready") or {}
        ready = pods.condition_of(change.object, "Ready") or {}
        if ready.get("status") == "Unknown" and before.get("status") != "Unknown":
            return REPORT_S
        passed_s = self.cluster.clock.monotonic() - self._begun_s
        return MONITOR_S - round(passed_s, 6) % MONITOR_S

    def reconcile(self, key: reactor.Key) -> float | reactor.Idle | reactor.Turns | None:
        what, name = key
        node = self.cluster.peek("nodes", "", name)
        if what == "monitor":
            return self._monitor(name, node)
        if what == "execute" and node is not None:
            self._taint(node, "NoExecute")
        elif node is not None:
            return self._mark(node)
        return None

    def _mark(self, node: objects.Object) -> reactor.Turns:
        """Bring taints and labels up to date, a turn for each."""
        if self._taint(node, "NoSchedule"):
            yield
        self._label(node)
        return None

    # ------------------------------------------------------------------ taints and labels

    def _taint(self, node: objects.Object, effect: str) -> bool:
        """Bring the node's taints of an effect nearer to what its conditions say.

        Those that are missing come first; seeing them written takes those that are too many. Say
        whether there was anything to do.
        """
        missing, spare = _differences(node, effect)
        stamp = self.cluster.stamp()
        added = [{"key": key, "effect": effect, "timeAdded": stamp} for key in missing]
        kept = [taint for taint in _taints_of(node) if missing or taint not in spare]
        if not missing and not spare:
            return False
        version = objects.metadata(node).get("resourceVersion")
        body = {
            "metadata": {"resourceVersion": version},
            "spec": {"taints": [*kept, *added] or None},
        }
        self.cluster.patch("nodes", "", objects.name_of(node), body, patch_type=clusters.MERGE)
        return True

    def _label(self, node: objects.Object) -> None:
        labels = objects.labels_of(node)
        missing = {
            old: labels[new]
            for new, old in LABELS
            if new in labels and labels.get(old) != labels[new]
        }
        if missing:
            body = {"metadata": {"labels": dict(sorted(missing.items()))}}
            self.cluster.patch("nodes", "", objects.name_of(node), body)

    # ------------------------------------------------------------------ health

    def _monitor(self, name: str, node: objects.Object | None) -> reactor.Idle | None:
        if node is None:
            gone = self._registered.pop(name, None)
            self._renewed.pop(name, None)
            if gone is not None:
                text = f"Node {name} event: Removing Node {name} from Controller"
                self.recorder.event(gone, "Normal", "RemovingNode", text)
            return None
        if name not in self._registered:
            text = f"Node {name} event: Registered Node {name} in Controller"
            self.recorder.event(node, "Normal", "RegisteredNode", text)
        self._registered[name] = node
        renewed = self._renewed.get(name)
        if renewed is None:
            return None
        left_s = renewed[1] + GRACE_S - self.cluster.clock.monotonic()
        if left_s > 0:
            return reactor.Idle(left_s)
        self._mark_lost(node)
        return None

    def _mark_lost(self, node: objects.Object) -> None:
        ready = pods.condition_of(node, "Ready")
        if ready is None or ready.get("status") == "Unknown":
            return
        stamp = self.cluster.stamp()
        conditions = [
            {
                "type": known["type"],
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": stamp,
            }
            for known in (node.get("status") or {}).get("conditions") or ()
        ]
        name = objects.name_of(node)
        self.cluster.patch(
            "nodes", "", name, {"status": {"conditions": conditions}}, subresource="status"
        )
        self.recorder.event(node, "Normal", "NodeNotReady",
                            f"Node {name} status is now: NodeNotReady")  # fmt: skip
        for pod in self.cluster.indexes.pods_on(name):
            if pods.is_ready(pod):
                self._mark_pod(pod)

    def _mark_pod(self, pod: objects.Object) -> None:
        condition = {
            "type": "Ready", "status": "False", "lastTransitionTime": self.cluster.stamp(),
        }  # fmt: skip
        body = {"status": {"conditions": [condition]}}
        try:
            self.cluster.patch("pods", objects.namespace_of(pod), objects.name_of(pod), body,
                               subresource="status")  # fmt: skip
        except statuses.NotFoundError:
            return
        self.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")


def _taints_of(node: objects.Object) -> list[objects.Object]:
    return (node.get("spec") or {}).get("taints") or []


def _differences(node: objects.Object, effect: str) -> tuple[list[str], list[objects.Object]]:
    """Return the keys of taints of an effect that a node lacks, and the taints too many."""
    wanted = _wanted_keys(node, effect)
    own = [
        taint for taint in _taints_of(node)
        if taint.get("effect") == effect and taint.get("key") in OWN_TAINTS
    ]  # fmt: skip
    have = {taint["key"] for taint in own}
    missing = [key for key in wanted if key not in have]
    return missing, [taint for taint in own if taint["key"] not in wanted]


def _lacks(node: objects.Object, effect: str) -> bool:
    return any(_differences(node, effect))


def _wanted_keys(node: objects.Object, effect: str) -> list[str]:
    """Return the keys of the taints that a node's conditions and cordon ask for."""
    ready = (pods.condition_of(node, "Ready") or {}).get("status")
    wanted: list[str] = []
    if ready == "False":
        wanted.append(NOT_READY)
    elif ready == "Unknown":
        wanted.append(UNREACHABLE)
    if effect == "NoSchedule":
        wanted += [
            key
            for condition, key in PRESSURES.items()
            if (pods.condition_of(node, condition) or {}).get("status") == "True"
        ]
        if (node.get("spec") or {}).get("unschedulable"):
            wanted.append(CORDONED)
    return wanted


class NodeTtl:
    """Notes on each node how long kubelets may cache Secrets: 0 in clusters of this size."""

    name = "ttl-controller"
    watched = ("nodes",)
    annotation: Final = "node.alpha.kubernetes.io/ttl"

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "ttl-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if not change.deleted:
            queue.add(("", change.entry.name))

    def reconcile(self, key: reactor.Key) -> float | None:
        node = self.cluster.peek("nodes", *key)
        if node is not None and objects.annotations_of(node).get(self.annotation) != "0":
            body = {"metadata": {"annotations": {self.annotation: "0"}}}
            self.cluster.patch("nodes", "", key[1], body)
        return None
