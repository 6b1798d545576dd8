"""Pod garbage: pods that nobody else will end, looked for every 20 seconds.

    the node is gone                 once it has been missing for 40 seconds
    terminating, node out of service the node is not ready and carries the taint that says so
    terminating, never scheduled     finalizers hold it

Keys are `("check",)`. Source: pkg/controller/podgc.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.nodes import eviction
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses

CHECK_S: Final = 20.0
QUARANTINE_S: Final = 40.0
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"


class PodGarbageCollector:
    """Reconciles the pods that nobody else will end."""

    name = "pod-garbage-collector-controller"
    watched = ("nodes", "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "pod-garbage-collector")
        self._missing: dict[str, float] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "nodes":
            if change.deleted:
                self._missing.setdefault(change.entry.name, self.cluster.clock.monotonic())
                queue.add_after(("check",), CHECK_S)
            else:
                self._missing.pop(change.entry.name, None)
                if _is_out_of_service(change.object):
                    queue.add_after(("check",), CHECK_S)
        elif change.deleted:
            return
        elif pods.is_terminating(change.object):
            queue.add_after(("check",), CHECK_S)
        elif change.type == "ADDED":
            node = (change.object.get("spec") or {}).get("nodeName")
            if node and self.cluster.entry("nodes", "", str(node)) is None:
                self._missing.setdefault(str(node), self.cluster.clock.monotonic())
                queue.add_after(("check",), CHECK_S)

    def reconcile(self, key: reactor.Key) -> float | None:
        del key  # there is one
        for node in self.cluster.each("nodes"):
            if _is_out_of_service(node):
                for pod in self.cluster.indexes.pods_on(objects.name_of(node)):
                    if pods.is_terminating(pod):
                        self._end(pod)
        self._end_of_missing()
        for pod in self.cluster.each("pods"):
            if pods.is_terminating(pod) and not pod["spec"].get("nodeName"):
                self._end(pod)
        return CHECK_S if self._missing else None

    def _end_of_missing(self) -> None:
        now_s = self.cluster.clock.monotonic()
        for node, since_s in list(self._missing.items()):
            if self.cluster.entry("nodes", "", node) is not None:
                del self._missing[node]
            elif now_s - since_s >= QUARANTINE_S:
                del self._missing[node]
                for pod in self.cluster.indexes.pods_on(node):
                    self._end(pod, "PodGC: node no longer exists")

    def _end(self, pod: objects.Object, disruption: str = "") -> None:
        try:
            if not pods.is_over(pod):
                self._fail(pod, disruption)
            self.cluster.delete(
                "pods", objects.namespace_of(pod), objects.name_of(pod), grace_period_s=0
            )
        except statuses.NotFoundError:
            return

    def _fail(self, pod: objects.Object, disruption: str) -> None:
        if disruption:
            eviction.mark_disrupted(
                self.cluster, pod, "DeletionByPodGC", disruption, phase="Failed"
            )
            return
        meta = objects.metadata(pod)
        status = {"observedGeneration": meta.get("generation"), "phase": "Failed"}
        self.cluster.patch(
            "pods", objects.namespace_of(pod), objects.name_of(pod),
            {"metadata": {"uid": meta.get("uid")}, "status": status}, subresource="status",
        )  # fmt: skip


def _is_out_of_service(node: objects.Object) -> bool:
    taints = (node.get("spec") or {}).get("taints") or ()
    ready = (pods.condition_of(node, "Ready") or {}).get("status") == "True"
    return not ready and any(taint.get("key") == OUT_OF_SERVICE for taint in taints)
