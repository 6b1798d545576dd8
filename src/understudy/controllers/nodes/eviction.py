"""Taint eviction: pods leave a node whose NoExecute taint they do not tolerate, or not for long.

Keys are `(namespace, name)` of pods. Source: pkg/controller/tainteviction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.scheduling import matching
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses

NO_EXECUTE: Final = "NoExecute"


class TaintEviction:
    """Reconciles pods on tainted nodes."""

    name = "taint-eviction-controller"
    watched = ("nodes", "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "node-controller")
        self.recorder = recorders.Recorder(self.cluster, "taint-eviction-controller")
        self._tainted: set[str] = set()
        self._marked: dict[reactor.Key, int] = {}
        self._due: dict[reactor.Key, float | None] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "nodes":
            self._observe_node(change, queue)
        elif change.deleted:
            if change.key in self._due:
                queue.add(change.key)
        elif self._tainted:
            spec, before = change.object["spec"], (change.previous or {}).get("spec") or {}
            decisive = ("nodeName", "tolerations")
            if str(spec.get("nodeName") or "") in self._tainted and any(
                before.get(field) != spec.get(field) for field in decisive
            ):
                self._mark(change.object, queue)

    def _observe_node(self, change: changes.Change, queue: reactor.Queue) -> None:
        name = change.entry.name
        if change.deleted:
            self._tainted.discard(name)
            return
        taints = _taints_of(change.object)
        (self._tainted.add if taints else self._tainted.discard)(name)
        if taints != _taints_of(change.previous or {}):
            for pod in self.cluster.indexes.pods_on(name):
                self._mark(pod, queue)

    def _mark(self, pod: objects.Object, queue: reactor.Queue) -> None:
        """Have a pod looked at; its eviction speaks of it as it was when the taint came."""
        key = clusters.key_of(pod)
        self._marked[key] = int(objects.metadata(pod).get("generation") or 1)
        queue.add(key)

    def reconcile(self, key: reactor.Key) -> float | None:
        generation = self._marked.pop(key, None)
        pod = self.cluster.peek("pods", *key)
        if pod is None:
            self._cancel(key)
        elif generation is None:
            return self._fire(key, pod)
        else:
            node = self.cluster.peek("nodes", "", str(pod["spec"].get("nodeName") or "")) or {}
            return self._judge(key, pod, generation, _taints_of(node))
        return None

    def _judge(
        self,
        key: reactor.Key,
        pod: objects.Object,
        generation: int,
        taints: list[objects.Object],
    ) -> float | None:
        """Evict a pod, plan to, or let it stay; what is planned already keeps its time."""
        tolerations = pod["spec"].get("tolerations") or []
        untolerated = matching.untolerated(taints, tolerations, (NO_EXECUTE,)) is not None
        wait_s = None if untolerated else _shortest_s(taints, tolerations)
        if untolerated or wait_s is None:
            self._cancel(key)
        if untolerated:
            self._due[key] = None
            self._evict(pod, generation)
        elif wait_s is not None and key not in self._due:
            self._due[key] = self.cluster.clock.monotonic() + wait_s
        return self._fire(key, pod) if key in self._due else None

    def _fire(self, key: reactor.Key, pod: objects.Object) -> float | None:
        """Evict a pod if its time has come; return seconds until then."""
        due_s = self._due.get(key)
        if due_s is None:
            return None
        left_s = due_s - self.cluster.clock.monotonic()
        if left_s > 1e-6:
            return left_s
        self._due[key] = None
        self._evict(pod, None)
        return None

    def _cancel(self, key: reactor.Key) -> None:
        if self._due.pop(key, None) is not None:
            self._tell(key, "Cancelling deletion of Pod")

    def _tell(self, key: reactor.Key, what: str) -> None:
        namespace, name = key
        meta = {"namespace": namespace, "name": name}
        about = {"apiVersion": "v1", "kind": "Pod", "metadata": meta}
        self.recorder.event(about, "Normal", "TaintManagerEviction", f"{what} {namespace}/{name}")

    def _evict(self, pod: objects.Object, generation: int | None) -> None:
        self._tell(clusters.key_of(pod), "Marking for deletion Pod")
        try:
            mark_disrupted(
                self.cluster,
                pod,
                "DeletionByTaintManager",
                "Taint manager: deleting due to NoExecute taint",
                generation=generation,
            )
            if not pods.is_terminating(pod):
                self.cluster.delete("pods", objects.namespace_of(pod), objects.name_of(pod))
        except statuses.NotFoundError:
            return


def _shortest_s(
    taints: Iterable[objects.Object], tolerations: list[objects.Object]
) -> float | None:
    """Return for how long a pod tolerates taints all of which it tolerates, None for ever."""
    used = [
        next(one for one in tolerations if matching.tolerates(one, taint)) for taint in taints
    ]  # fmt: skip
    limits = [one.get("tolerationSeconds") for one in used]
    return min((max(0.0, float(limit)) for limit in limits if limit is not None), default=None)


def mark_disrupted(
    cluster: clusters.Cluster,
    pod: objects.Object,
    reason: str,
    message: str,
    *,
    phase: str = "",
    generation: int | None = None,
) -> None:
    """Note on a pod that it is ended from outside: condition DisruptionTarget."""
    known = pods.condition_of(pod, "DisruptionTarget") or {}
    if (known.get("status"), known.get("reason"), known.get("message")) == (
        "True", reason, message,
    ):  # fmt: skip
        return
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": cluster.stamp(),
        "observedGeneration": generation or objects.metadata(pod).get("generation"),
    }
    order = [{"type": one["type"]} for one in (pod.get("status") or {}).get("conditions") or ()]
    status: objects.Object = {
        "$setElementOrder/conditions": [*order, {"type": "DisruptionTarget"}],
        "conditions": [condition],
    }
    if phase:
        status |= {"phase": phase, "observedGeneration": objects.metadata(pod).get("generation")}
    cluster.patch(
        "pods", objects.namespace_of(pod), objects.name_of(pod),
        {"metadata": {"uid": objects.uid_of(pod)}, "status": status}, subresource="status",
    )  # fmt: skip


def _taints_of(node: objects.Object) -> list[objects.Object]:
    taints = (node.get("spec") or {}).get("taints") or ()
    return [taint for taint in taints if taint.get("effect") == NO_EXECUTE]
