"""The kubelet of the process node: one worker for each pod that is bound here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.runtime import behaviours
from understudy.controllers.runtime.processes import hosts, workers
from understudy.controllers.storage import binder
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses

NAME: Final = "process-kubelet"


class ProcessKubelet:
    """Keys are `(namespace, name)` of pods.

    Attributes:
        workers: By key; one whose pod is gone stays until its processes have ended.
    """

    name = NAME
    watched = ("pods", "configmaps", "secrets", binder.CLAIMS)

    def __init__(self, host: hosts.Host) -> None:
        self.host = host
        self.cluster: clusters.Cluster = host.cluster
        self.workers: dict[reactor.Key, workers.PodWorker] = {}
        self._add: Callable[[reactor.Key], None] = _ignore

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        self._add = queue.add
        if change.ref != "pods":
            self._wake(change, queue)
        elif change.key in self.workers:
            queue.add(change.key)
        elif self._is_ours(change.object):
            if change.deleted:
                self.host.folders.forget_pod(change.entry.uid)
            else:
                queue.add(change.key)

    def reconcile(self, key: reactor.Key) -> float | None:
        pod = self.cluster.peek("pods", *key)
        worker = self.workers.get(key)
        if worker is not None and (pod is None or objects.uid_of(pod) != worker.uid):
            wait_s = worker.vanish()
            if worker.is_alive:
                return wait_s
            worker.forget()
            del self.workers[key]
            worker = None
        if pod is None or not self._is_ours(pod):
            return None
        if worker is None:
            if pods.is_over(pod) and not pods.is_terminating(pod):
                return None
            worker = self.workers[key] = workers.PodWorker(self.host, pod, lambda: self._add(key))
        wait_s = worker.sync(pod)
        if pods.is_terminating(pod) and not worker.is_alive:
            self._remove(key, worker)
            return None
        return wait_s

    def _remove(self, key: reactor.Key, worker: workers.PodWorker) -> None:
        """Delete a pod of which nothing runs any more."""
        with contextlib.suppress(statuses.NotFoundError, statuses.ConflictError):
            self.cluster.delete("pods", *key, uid=worker.uid, grace_period_s=0)
        pod = self.cluster.entry("pods", *key)
        if pod is None or pod.uid != worker.uid:
            worker.forget()
            self.workers.pop(key, None)

    def _wake(self, change: changes.Change, queue: reactor.Queue) -> None:
        """Look again at pods that use a ConfigMap, Secret or claim that changed."""
        for key, worker in self.workers.items():
            if key[0] != change.entry.namespace:
                continue
            if change.ref == binder.CLAIMS:
                if worker.is_hindered:
                    queue.add(key)
            elif behaviours.needs(worker.pod, change.ref, change.entry.name):
                worker.refresh_volumes()
                if worker.is_hindered:
                    queue.add(key)

    def _is_ours(self, pod: objects.Object) -> bool:
        return (pod.get("spec") or {}).get("nodeName") == self.host.chosen.node


def _ignore(key: reactor.Key) -> None:
    """Do nothing: nothing was observed yet."""
