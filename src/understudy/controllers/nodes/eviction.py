"""Taint eviction: pods leave a node whose NoExecute taint they do not tolerate, or not for long.

Keys are `(namespace, name)` of pods. Source: pkg/controller/tainteviction.
"""

from __future__ import annotations

import datetime as dt
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

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "nodes":
            name = change.entry.name
            if change.deleted or not _taints_of(change.object):
                self._tainted.discard(name)
                return
            self._tainted.add(name)
            if change.previous is None or _taints_of(change.previous) != _taints_of(change.object):
                for pod in self.cluster.indexes.pods_on(name):
                    self._mark(pod, queue)
        elif self._tainted and change.type == "MODIFIED":
            before, spec = (change.previous or {}).get("spec"), change.object["spec"]
            if before != spec and (spec.get("nodeName") or "") in self._tainted:
                self._mark(change.object, queue)

    def _mark(self, pod: objects.Object, queue: reactor.Queue) -> None:
        """Remember a pod as it was when the taint came.

        Its eviction is told even if somebody else (its DaemonSet) deletes it meanwhile.
        """
        if not pods.is_terminating(pod):
            key = clusters.key_of(pod)
            self._marked[key] = int(objects.metadata(pod).get("generation") or 1)
            queue.add(key)

    def reconcile(self, key: reactor.Key) -> float | None:
        generation = self._marked.pop(key, None)
        pod = self.cluster.peek("pods", *key)
        if pod is None or pods.is_over(pod) or (generation is None and pods.is_terminating(pod)):
            return None
        node = self.cluster.peek("nodes", "", str(pod["spec"].get("nodeName") or ""))
        if node is None:
            return None
        left_s = self._left_s(pod, node)
        if left_s is None:
            return None
        if left_s > 0:
            return None if pods.is_terminating(pod) else left_s
        self._evict(pod, generation)
        return None

    def _left_s(self, pod: objects.Object, node: objects.Object) -> float | None:
        """Return seconds until the pod must go, None if it may stay."""
        taints = _taints_of(node)
        tolerations = pod["spec"].get("tolerations") or []
        if matching.untolerated(taints, tolerations, (NO_EXECUTE,)) is not None:
            return 0.0
        waits: list[float] = []
        now = self.cluster.now()
        for taint in taints:
            since = taint.get("timeAdded")
            for toleration in tolerations:
                seconds = toleration.get("tolerationSeconds")
                if seconds is not None and matching.tolerates(toleration, taint):
                    begun = pods.parse_time(since) if since else now
                    ends = begun + dt.timedelta(seconds=max(0, int(seconds)))
                    waits.append(max(0.0, (ends - now).total_seconds()))
        return min(waits, default=None)

    def _evict(self, pod: objects.Object, generation: int | None) -> None:
        namespace, name = objects.namespace_of(pod), objects.name_of(pod)
        self.recorder.event(
            pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}"
        )
        try:
            mark_disrupted(
                self.cluster,
                pod,
                "DeletionByTaintManager",
                "Taint manager: deleting due to NoExecute taint",
                generation=generation,
            )
            if not pods.is_terminating(pod):
                self.cluster.delete("pods", namespace, name)
        except statuses.NotFoundError:
            return


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
        status["phase"] = phase
    cluster.patch(
        "pods", objects.namespace_of(pod), objects.name_of(pod),
        {"metadata": {"uid": objects.uid_of(pod)}, "status": status}, subresource="status",
    )  # fmt: skip


def _taints_of(node: objects.Object) -> list[objects.Object]:
    taints = (node.get("spec") or {}).get("taints") or ()
    return [taint for taint in taints if taint.get("effect") == NO_EXECUTE]
