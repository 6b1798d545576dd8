"""Jobs: pods that run to completion, each counted exactly once.

Every pod carries a finalizer until it has been counted: first its uid goes into
`uncountedTerminatedPods`, then the finalizer goes, then the counter rises. So a pod that ends is
three writes, and none is lost or counted twice. Source: pkg/controller/job.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.workloads import claims, jobruns, pods, replicasets
from understudy.kube import objects, selectors

REF: Final = "jobs.batch"
ORPHAN: Final = "orphan"
"""First part of the keys of pods whose Job is gone."""
BATCH_S: Final = 1.0
"""Pod changes are looked at together, a second after the first."""


class Jobs:
    """Reconciles Jobs."""

    name = "job-controller"
    watched = (REF, "pods")
    retry_base_s = 1.0
    retry_max_s = 60.0

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "job-controller")
        self.recorder = recorders.Recorder(self.cluster, "job-controller")
        self._backoffs: dict[str, jobruns.Backoff] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref != REF:
            self._observe_orphan(change, queue)
            replicasets.observe_pod(
                self.cluster, change, _Batched(queue), "Job", "batch", REF, selector_of
            )
            return
        if change.deleted:
            self._backoffs.pop(change.entry.uid, None)
            own = self.cluster.indexes.controlled("pods", change.entry.namespace, change.entry.uid)
            for pod in own:
                if jobruns.is_tracked(pod):
                    queue.add((ORPHAN, *clusters.key_of(pod)))
        before = change.previous
        generation = objects.metadata(change.object).get("generation")
        if before is not None and objects.metadata(before).get("generation") == generation:
            queue.add_after(change.key, BATCH_S)
        else:
            queue.add(change.key)

    def _observe_orphan(self, change: changes.Change, queue: reactor.Queue) -> None:
        """Let pods go whose Job is gone: nobody will count them any more."""
        if change.deleted or jobruns.TRACKING.encode() not in change.entry.encoded:
            return
        if not jobruns.is_tracked(change.object):
            return
        if self._is_orphan(change.object):
            queue.add((ORPHAN, *change.key))

    def _is_orphan(self, pod: objects.Object) -> bool:
        """Whether no Job will count a pod: it has none, or one that is gone or finished."""
        reference = claims.controller_of(pod)
        if reference is None:
            return True
        if (reference.get("apiVersion"), reference.get("kind")) != ("batch/v1", "Job"):
            return False
        job = self.cluster.peek(REF, objects.namespace_of(pod), str(reference.get("name")))
        if job is None or objects.uid_of(job) != reference.get("uid"):
            return True
        return is_finished(job) and not _is_foreign(job)

    def reconcile(self, key: reactor.Key) -> float | None:
        if len(key) > 2:
            pod = self.cluster.peek("pods", *key[1:])
            if pod is not None and jobruns.is_tracked(pod) and self._is_orphan(pod):
                jobruns.untrack(self.cluster, pod)
            return None
        job = self.cluster.find(REF, *key)
        if job is None:
            return None
        if is_finished(job) or _is_foreign(job):
            return None
        own = claims.claim(self.cluster, "pods", job, selector_of(job), finalizer=jobruns.TRACKING)
        # By uid: a Job that follows one of its name at once does not wait for that one's failures.
        backoff = self._backoffs.setdefault(objects.uid_of(job), jobruns.Backoff())
        return jobruns.Run(self.cluster, self.recorder, job, own, backoff).go()


_OWN: Final = "kubernetes.io/job-controller"


def _is_foreign(job: objects.Object) -> bool:
    """Whether another controller is to manage a Job."""
    return (job["spec"].get("managedBy") or _OWN) != _OWN


class _Batched:
    """A queue that delays what is added to it."""

    def __init__(self, queue: reactor.Queue) -> None:
        self._queue = queue

    def add(self, key: reactor.Key) -> None:
        self._queue.add_after(key, BATCH_S)

    def add_after(self, key: reactor.Key, seconds: float, *, idle: bool = False) -> None:
        self._queue.add_after(key, seconds, idle=idle)


def is_finished(job: objects.Object) -> bool:
    """Whether the Job is complete or failed for good."""
    return any(
        (pods.condition_of(job, kind) or {}).get("status") == "True"
        for kind in ("Complete", "Failed")
    )


def selector_of(job: objects.Object) -> selectors.LabelSelector:
    """Return the selector of a Job's pods."""
    return selectors.from_label_selector(job["spec"].get("selector") or {})
