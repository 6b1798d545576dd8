"""Finished Jobs with a time to live are deleted when it is over, in the foreground.

Source: pkg/controller/ttlafterfinished.
"""

from __future__ import annotations

import contextlib
import datetime as dt

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.workloads import jobs, pods
from understudy.kube import objects, statuses


class JobExpiry:
    """Reconciles finished Jobs."""

    name = "ttl-after-finished-controller"
    watched = (jobs.REF,)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "ttl-after-finished-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if not change.deleted and b'"ttlSecondsAfterFinished":' in change.entry.encoded:
            queue.add(change.key)

    def reconcile(self, key: reactor.Key) -> float | reactor.Idle | None:
        job = self.cluster.peek(jobs.REF, *key)
        ttl = job["spec"].get("ttlSecondsAfterFinished") if job is not None else None
        if job is None or ttl is None or not jobs.is_finished(job):
            return None
        if objects.metadata(job).get("deletionTimestamp"):
            return None
        finished = next(
            found for kind in ("Complete", "Failed") if (found := pods.condition_of(job, kind))
        )
        ends = pods.parse_time(finished["lastTransitionTime"]) + dt.timedelta(seconds=int(ttl))
        left_s = (ends - self.cluster.now()).total_seconds()
        if left_s > 0:
            return reactor.Idle(left_s)
        with contextlib.suppress(statuses.NotFoundError):
            self.cluster.delete(jobs.REF, *key, uid=objects.uid_of(job), policy="Foreground")
        return None
