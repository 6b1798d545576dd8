"""backoffLimitPerIndex: an Indexed Job whose indexes fail and are tried again each for itself.

How often an index has failed is told by an annotation of its pod, so a failed pod keeps its
finalizer until the pod that replaces it carries the count on.
Source: pkg/controller/job/backoff_utils.go, indexed_job_utils.go; KEP-3850.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from understudy.controllers.workloads import jobindexes, jobpolicies, pods
from understudy.kube import objects

FAILURES: Final = "batch.kubernetes.io/job-index-failure-count"
IGNORED: Final = "batch.kubernetes.io/job-index-ignored-failure-count"
BACKOFF_S: Final = 10.0
BACKOFF_MAX_S: Final = 600.0


def delay_s(failures: int) -> float:
    """Return the seconds between the last of so many failures and the next try: 10, 20, 40 ..."""
    return min(BACKOFF_S * 2.0 ** min(failures - 1, 20), BACKOFF_MAX_S) if failures else 0.0


def finished_at(pod: objects.Object) -> dt.datetime:
    """Return when a pod ended: its last container, its readiness, or when its deletion was asked.

    If none of them says so, its creation.
    """
    status, meta = pod.get("status") or {}, objects.metadata(pod)
    ended = [_end_of(one) for one in _lasting_statuses(pod)]
    known = [one for one in ended if one]
    if known and len(known) == len(ended):
        return pods.parse_time(max(known))
    ready = pods.condition_of({"status": status}, "Ready") or {}
    if ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return pods.parse_time(ready["lastTransitionTime"])
    if meta.get("deletionTimestamp"):
        grace = dt.timedelta(seconds=int(meta.get("deletionGracePeriodSeconds") or 0))
        return pods.parse_time(meta["deletionTimestamp"]) - grace
    return pods.parse_time(pods.creation_of(pod))


def _lasting_statuses(pod: objects.Object) -> list[objects.Object]:
    """Return the statuses of the containers that run until the end, sidecars included."""
    lasting = {one.get("name") for one in pods.lasting_containers(pod)}
    status = pod.get("status") or {}
    initial = status.get("initContainerStatuses") or ()
    return [
        *(status.get("containerStatuses") or ()),
        *(one for one in initial if one.get("name") in lasting),
    ]


def _end_of(status: objects.Object) -> str:
    return str(((status.get("state") or {}).get("terminated") or {}).get("finishedAt") or "")


class Retries:
    """The indexes of one Job that failed, and the failed pods that wait for their replacement."""

    __slots__ = ("_limit", "_policy", "failed", "waiting")

    def __init__(self, job: objects.Object, policy: jobpolicies.Policies) -> None:
        spec, status = job["spec"], job.get("status") or {}
        limit = spec.get("backoffLimitPerIndex")
        self._limit = None if limit is None else int(limit)
        self._policy = policy
        self.failed = jobindexes.parse(
            str(status.get("failedIndexes") or ""), int(spec.get("completions") or 0)
        )
        self.waiting: dict[int, objects.Object] = {}

    @property
    def apply(self) -> bool:
        """Whether the Job has a limit per index."""
        return self._limit is not None

    def learn(
        self,
        lost: Iterable[objects.Object],
        index_of: Callable[[objects.Object], int | None],
        settled: set[int],
    ) -> None:
        """Look at the failed pods that are still tracked; `settled` are done or active indexes."""
        if self._limit is None:
            return
        by_index = [(index, pod) for pod in lost if (index := index_of(pod)) is not None]
        self.failed |= {index for index, pod in by_index if self._is_spent(pod)}
        for index, pod in by_index:
            known = self.waiting.get(index)
            if index in settled or index in self.failed:
                continue
            if known is None or _all_failures(known) <= _all_failures(pod):
                self.waiting[index] = pod

    def _is_spent(self, pod: objects.Object) -> bool:
        if self._policy.fails_index(pod):
            return True
        spent = _count(pod, FAILURES) >= (self._limit or 0)
        return spent and not self._policy.ignores(pod)

    def holds(self, pod: objects.Object) -> bool:
        """Whether a failed pod has to stay until it is replaced."""
        return any(pod is waiting for waiting in self.waiting.values())

    def due(self, indexes: Iterable[int], now: dt.datetime) -> tuple[list[int], float]:
        """Return the indexes that may be tried now; if none, seconds until the first may."""
        waits = {index: self._remaining_s(index, now) for index in indexes}
        ready = [index for index, wait_s in waits.items() if wait_s <= 0]
        return ready, 0.0 if ready else min(waits.values(), default=0.0)

    def _remaining_s(self, index: int, now: dt.datetime) -> float:
        pod = self.waiting.get(index)
        if pod is None:
            return 0.0
        passed_s = (now - finished_at(pod)).total_seconds()
        return delay_s(_all_failures(pod) + 1) - passed_s

    def annotations(self, index: int) -> Mapping[str, str]:
        """Return what tells the failures of an index before its next pod."""
        if self._limit is None:
            return {}
        pod = self.waiting.get(index)
        if pod is None:
            return {FAILURES: "0"}
        failures, ignored = _count(pod, FAILURES), _count(pod, IGNORED)
        if self._policy.ignores(pod):
            ignored += 1
        else:
            failures += 1
        return {FAILURES: str(failures)} | ({IGNORED: str(ignored)} if ignored else {})


def _count(pod: objects.Object, annotation: str) -> int:
    text = objects.annotations_of(pod).get(annotation) or "0"
    return int(text) if text.isdigit() else 0


def _all_failures(pod: objects.Object) -> int:
    return _count(pod, FAILURES) + _count(pod, IGNORED)
