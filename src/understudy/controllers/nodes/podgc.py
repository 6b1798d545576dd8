"""Pod garbage: pods whose node is gone, terminating pods that were never scheduled.

A node must be missing for 40 seconds, seen by checks 20 seconds apart. Keys are `("check",)`.
Source: pkg/controller/podgc.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.nodes import eviction
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses

CHECK_S: Final = 20.0
QUARANTINE_S: Final = 40.0
TERMINATED_MAX: Final = 12_500
"""Finished pods kept; the oldest beyond that are deleted."""


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
        elif change.type == "ADDED":
            node = (change.object.get("spec") or {}).get("nodeName")
            if node and self.cluster.entry("nodes", "", str(node)) is None:
                self._missing.setdefault(str(node), self.cluster.clock.monotonic())
                queue.add_after(("check",), CHECK_S)

    def reconcile(self, key: reactor.Key) -> float | None:
        del key  # there is one
        now_s = self.cluster.clock.monotonic()
        for node, since_s in list(self._missing.items()):
            if self.cluster.entry("nodes", "", node) is not None:
                del self._missing[node]
            elif now_s - since_s >= QUARANTINE_S:
                del self._missing[node]
                for pod in self.cluster.indexes.pods_on(node):
                    self._end(pod)
        return CHECK_S if self._missing else None

    def _end(self, pod: objects.Object) -> None:
        try:
            if not pods.is_over(pod):
                eviction.mark_disrupted(
                    self.cluster,
                    pod,
                    "DeletionByPodGC",
                    "PodGC: node no longer exists",
                    phase="Failed",
                )
            self.cluster.delete(
                "pods", objects.namespace_of(pod), objects.name_of(pod), grace_period_s=0
            )
        except statuses.NotFoundError:
            return
