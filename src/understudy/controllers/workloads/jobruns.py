"""One reconcile of one Job: count what ended, decide whether it is over, start or stop pods."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass
from typing import Final

from understudy.controllers import clusters, recorders
from understudy.controllers.workloads import (
    conditions,
    jobindexes,
    jobpolicies,
    jobretries,
    pods,
    replicasets,
)
from understudy.kube import objects, statuses

REF: Final = "jobs.batch"
TRACKING: Final = "batch.kubernetes.io/job-tracking"
UNCOUNTED_MAX: Final = 500
BURST_MAX: Final = 500
INDEX_VARIABLE: Final = "JOB_COMPLETION_INDEX"


@dataclass(slots=True)
class Backoff:
    """How often a Job's pods failed since the last success, and when the last did."""

    failures: int = 0
    last: dt.datetime | None = None

    def remaining_s(self, now: dt.datetime) -> float:
        """Return seconds until the next pod may be started."""
        if self.failures == 0 or self.last is None:
            return 0.0
        passed_s = (now - self.last).total_seconds()
        return max(0.0, jobretries.delay_s(self.failures) - passed_s)


class Run:
    """The Job and its pods as they were when the reconcile began, and what was decided."""

    def __init__(
        self,
        cluster: clusters.Cluster,
        recorder: recorders.Recorder,
        job: objects.Object,
        own: list[objects.Object],
        backoff: Backoff,
    ) -> None:
        self.cluster = cluster
        self.recorder = recorder
        self.job = job
        self.spec = job["spec"]
        self.old: objects.Object = job.get("status") or {}
        self.status: objects.Object = objects.copy(self.old)
        self.status.setdefault("uncountedTerminatedPods", {})
        self.backoff = backoff
        self.pods = own
        self.active_pods = [pod for pod in own if pods.is_active(pod)]
        self.active = len(self.active_pods)
        self.ready = sum(1 for pod in self.active_pods if pods.is_ready(pod))
        self.terminating = sum(
            1 for pod in own if pods.is_terminating(pod) and not pods.is_over(pod)
        )
        self.policy = jobpolicies.Policies(job)
        self.retries = jobretries.Retries(job, self.policy)
        self.outcome: objects.Object | None = None
        self.failure: statuses.ApiError | None = None
        self.again_s: float | None = None
        self._count()

    # ------------------------------------------------------------------ counting

    def _count(self) -> None:
        uncounted = self.status["uncountedTerminatedPods"]
        known = {*(uncounted.get("succeeded") or ()), *(uncounted.get("failed") or ())}
        fresh = [pod for pod in self.pods if is_tracked(pod) and objects.uid_of(pod) not in known]
        won = [pod for pod in fresh if pods.phase_of(pod) == "Succeeded"]
        lost = [pod for pod in fresh if self._has_failed(pod)]
        self.succeeded = int(self.old.get("succeeded") or 0)
        self.succeeded += len(won) + len(uncounted.get("succeeded") or ())
        counted = [pod for pod in lost if not self.policy.ignores(pod)]
        self.failed = int(self.old.get("failed") or 0)
        self.failed += len(counted) + len(uncounted.get("failed") or ())
        limit = int(self.spec.get("completions") or 0)
        self.done_before = jobindexes.parse(str(self.old.get("completedIndexes") or ""), limit)
        self.done = set(self.done_before)
        if self.is_indexed:
            self.done |= {
                index
                for pod in self.pods
                if pods.phase_of(pod) == "Succeeded" and is_tracked(pod)
                and (index := self._index_of(pod)) is not None
            }  # fmt: skip
            self.succeeded = len(self.done)
            busy = {jobindexes.index_of(pod) for pod in self.active_pods}
            settled = self.done | {index for index in busy if index is not None}
            self.retries.learn(lost, self._index_of, settled)
        self._learn_backoff(won, lost)

    def _index_of(self, pod: objects.Object) -> int | None:
        """Return a pod's index if the Job has it (completions may have become fewer)."""
        index = jobindexes.index_of(pod)
        limit = int(self.spec.get("completions") or 0)
        return index if index is not None and index < limit else None

    def _learn_backoff(self, won: list[objects.Object], lost: list[objects.Object]) -> None:
        """Count the failures since the last success; those that a policy ignores delay too."""
        failures = sorted(jobretries.finished_at(pod) for pod in lost)
        if won:
            last_win = max(jobretries.finished_at(pod) for pod in won)
            failures = [ended for ended in failures if ended > last_win]
            self.backoff.failures, self.backoff.last = 0, None
        if failures:
            self.backoff.failures += len(failures)
            self.backoff.last = failures[-1]

    def _has_failed(self, pod: objects.Object) -> bool:
        if pods.phase_of(pod) == "Failed":
            return True
        if self.spec.get("podReplacementPolicy") == "Failed":
            return False
        # Deleted pods count as failed: some never reach the phase.
        return pods.is_terminating(pod) and pods.phase_of(pod) != "Succeeded"

    @property
    def is_indexed(self) -> bool:
        """Whether completions are told apart by an index."""
        return bool(self.spec.get("completionMode") == "Indexed")

    @property
    def is_suspended(self) -> bool:
        """Whether the Job is to have no pods for now."""
        return bool(self.spec.get("suspend"))

    # ------------------------------------------------------------------ deciding

    def go(self) -> float | None:
        """Do the next step; return seconds until something is due."""
        if not self.status.get("startTime") and not self.is_suspended:
            self.status["startTime"] = self.cluster.stamp()
        self.outcome = self._known_outcome() or self._judge_failure()
        changed = False
        if self.outcome is not None:
            self._stop_all()
        else:
            changed = self._go_on()
        changed = changed or any(
            self.status.get(field) != value
            for field, value in (("ready", self.ready), ("terminating", self.terminating))
        )
        changed = changed or int(self.status.get("active") or 0) != self.active
        conditions.put_counts(self.status, {"active": self.active})
        self.status["ready"] = self.ready
        self.status["terminating"] = self.terminating
        self._track(changed=changed)
        if self.failure is not None:
            raise self.failure
        return self.again_s

    def _known_outcome(self) -> objects.Object | None:
        for kind in ("SuccessCriteriaMet", "FailureTarget"):
            found = conditions.get(self.status, kind)
            if found is not None and found.get("status") == "True":
                return dict(found)
        return None

    def _judge_failure(self) -> objects.Object | None:
        verdict = self.policy.failing_pod(self.pods)
        if verdict:
            return self._outcome("FailureTarget", "PodFailurePolicy", verdict)
        if self.failed > int(self.spec.get("backoffLimit", 6)) or self._restarted_too_often():
            return self._outcome("FailureTarget", "BackoffLimitExceeded",
                                 "Job has reached the specified backoff limit")  # fmt: skip
        deadline = self.spec.get("activeDeadlineSeconds")
        started = self.status.get("startTime")
        if deadline is not None and not self.is_suspended and started:
            passed_s = (self.cluster.now() - pods.parse_time(started)).total_seconds()
            if passed_s >= int(deadline):
                return self._outcome("FailureTarget", "DeadlineExceeded",
                                     "Job was active longer than specified deadline")  # fmt: skip
            self._look_again(int(deadline) - passed_s)
        return self._judge_indexes() if self.is_indexed else None

    def _judge_indexes(self) -> objects.Object | None:
        failed, bound = len(self.retries.failed), self.spec.get("maxFailedIndexes")
        if self.retries.apply and bound is not None and failed > int(bound):
            return self._outcome("FailureTarget", "MaxFailedIndexesExceeded",
                                 "Job has exceeded the specified maximal number of "
                                 "failed indexes")  # fmt: skip
        if failed and failed + len(self.done) >= int(self.spec.get("completions") or 0):
            return self._outcome("FailureTarget", "FailedIndexes", "Job has failed indexes")
        met = jobpolicies.met_success(self.job, self.done)
        return self._outcome("SuccessCriteriaMet", "SuccessPolicy", met) if met else None

    def _restarted_too_often(self) -> bool:
        if self.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
            return False
        running = [pod for pod in self.pods if pods.phase_of(pod) in {"Running", "Pending"}]
        restarts = sum(
            int(status.get("restartCount") or 0)
            for pod in running
            for field in ("initContainerStatuses", "containerStatuses")
            for status in (pod.get("status") or {}).get(field) or ()
        )
        limit = int(self.spec.get("backoffLimit", 6))
        return restarts > 0 if limit == 0 else restarts >= limit

    def _outcome(self, kind: str, reason: str, message: str) -> objects.Object:
        stamp = self.cluster.stamp()
        made = conditions.make(kind, "True", reason, message, stamp)
        return made | {"lastProbeTime": stamp}

    def _look_again(self, seconds: float) -> None:
        self.again_s = seconds if self.again_s is None else min(self.again_s, seconds)

    def _stop_all(self) -> None:
        """End what still runs: the Job's fate is sealed."""
        for pod in self.active_pods:
            was_ready = pods.is_ready(pod)
            failure = replicasets.delete_pod(self.cluster, self.recorder, self.job, pod)
            if failure is not None:
                self.failure = failure
                continue
            self.active -= 1
            self.terminating += 1
            self.ready -= int(was_ready)

    def _go_on(self) -> bool:
        """Start or stop pods, see whether the work is done; say whether conditions changed."""
        if not self.job["metadata"].get("deletionTimestamp"):
            self._manage()
        wanted = self.spec.get("completions")
        if wanted is None:
            done = self.succeeded > 0 and self.active == 0
        else:
            done = self.succeeded >= int(wanted) and self.active == 0
        if done:
            self.outcome = self._outcome("SuccessCriteriaMet", "CompletionsReached",
                                         "Reached expected number of succeeded pods")  # fmt: skip
            return False
        if self.job["metadata"].get("deletionTimestamp"):
            return False
        return self._note_suspension()

    def _note_suspension(self) -> bool:
        known = conditions.get(self.status, "Suspended")
        value, reason, message = ("True", "JobSuspended", "Job suspended")
        if not self.is_suspended:
            if known is None:
                return False
            value, reason, message = ("False", "JobResumed", "Job resumed")
        if known is not None and known.get("status") == value:
            return False
        stamp = self.cluster.stamp()
        made = conditions.make("Suspended", value, reason, message, stamp)
        made["lastProbeTime"] = stamp
        if known is None:
            self.status["conditions"] = [*(self.status.get("conditions") or ()), made]
        else:
            known.update(made)
        if self.is_suspended:
            self.status.pop("startTime", None)
        else:
            self.status["startTime"] = stamp
        event = "Suspended" if self.is_suspended else "Resumed"
        self.recorder.event(self.job, "Normal", event, message)
        return True

    # ------------------------------------------------------------------ pods

    def _manage(self) -> None:
        if self.is_suspended:
            self._remove(self.active_pods)
            return
        parallelism = int(self.spec.get("parallelism", 1))
        wanted = self.spec.get("completions")
        if wanted is None:
            goal = self.active if self.succeeded > 0 else parallelism
        else:
            goal = max(0, min(int(wanted) - self.succeeded, parallelism))
        surplus = self._chosen_for_removal(max(0, self.active - goal))
        if surplus:
            self._remove(surplus)
            return
        missing = goal - self.active
        if self.spec.get("podReplacementPolicy") == "Failed":
            missing -= self.terminating
        if missing > 0:
            wait_s = 0.0 if self.retries.apply else self.backoff.remaining_s(self.cluster.now())
            if wait_s > 0:
                self._look_again(wait_s)
                self.active = 0
            else:
                self._add(min(missing, BURST_MAX))

    def _chosen_for_removal(self, count: int) -> list[objects.Object]:
        ordered = pods.deletion_order(self.active_pods, {})
        if not self.is_indexed:
            return ordered[:count]
        # Surplus indexes go first, and of each repeated one all but the best pod.
        kept: dict[int, objects.Object] = {}
        for pod in reversed(ordered):
            index = self._index_of(pod)
            if index is not None:
                kept.setdefault(index, pod)
        left = [pod for _, pod in sorted(kept.items(), key=lambda pair: pair[0])]
        surplus = [pod for pod in ordered if not any(pod is one for one in left)]
        return [*surplus, *pods.deletion_order(left, {})][: max(count, len(surplus))]

    def _remove(self, chosen: list[objects.Object]) -> None:
        """Take pods away that are not to be counted: their finalizer first."""
        for pod in chosen[:BURST_MAX]:
            was_ready = pods.is_ready(pod)
            if is_tracked(pod):
                with contextlib.suppress(statuses.NotFoundError):
                    untrack(self.cluster, pod)
            failure = replicasets.delete_pod(self.cluster, self.recorder, self.job, pod)
            if failure is not None:
                self.failure = failure
                continue
            self.active -= 1
            self.terminating += 1
            self.ready -= int(was_ready)

    def _add(self, count: int) -> None:
        indexes: list[int | None] = [None] * count
        if self.is_indexed:
            indexes = [*self._pending(count)]
        done, batch = 0, 1
        while done < len(indexes):
            failed = False
            for index in indexes[done : done + batch]:
                failure = replicasets.create_pod(
                    self.cluster, self.recorder, self.job, self._build(index)
                )
                done += 1
                if failure is None:
                    self.active += 1
                    continue
                failed = True
                if not replicasets.is_leaving(failure):
                    self.failure = failure
            if failed:
                return
            batch *= 2

    def _pending(self, count: int) -> list[int]:
        """Return the lowest indexes that want a pod and may be tried now."""
        busy = list(self.active_pods)
        if self.spec.get("podReplacementPolicy") == "Failed":
            busy += [pod for pod in self.pods if pods.is_terminating(pod)]
        taken = {index for pod in busy if (index := jobindexes.index_of(pod)) is not None}
        taken |= self.done | self.retries.failed
        limit = int(self.spec.get("completions") or 0)
        found = jobindexes.first_pending(count, limit, taken)
        if not self.retries.apply:
            return found
        ready, wait_s = self.retries.due(found, self.cluster.now())
        if wait_s > 0:
            self._look_again(wait_s)
            self.active = 0  # as in the reference, which so writes while it waits
        return ready

    def _build(self, index: int | None) -> objects.Object:
        pod = pods.from_template(
            self.spec["template"],
            objects.namespace_of(self.job),
            clusters.owner_reference(self.job),
        )
        meta, spec = pod["metadata"], pod["spec"]
        name = objects.name_of(self.job)
        meta["generateName"] = pods.name_prefix(name)
        finalizers = meta.get("finalizers") or []
        meta["finalizers"] = finalizers if TRACKING in finalizers else [*finalizers, TRACKING]
        if index is not None:
            meta["generateName"] = f"{name}-{index}-"
            mark = {jobindexes.INDEX: str(index)}
            told = {**mark, **self.retries.annotations(index)}
            meta["annotations"] = {**(meta.get("annotations") or {}), **told}
            meta["labels"] = {**(meta.get("labels") or {}), **mark}
            spec["hostname"] = f"{name}-{index}"
            for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
                _add_index_variable(container)
        return pod

    # ------------------------------------------------------------------ tracking

    def _track(self, *, changed: bool) -> None:
        """Count the pods that ended and let them go; then, if all are counted, finish."""
        tracked = {objects.uid_of(pod) for pod in self.pods if is_tracked(pod)}
        flush = self._settle_counts(tracked) or changed
        going, found = self._note_ended()
        flush = found or flush
        if self.is_indexed:
            written = jobindexes.write(self.done)
            if written != str(self.status.get("completedIndexes") or ""):
                flush = True
            conditions.put_counts(self.status, {"succeeded": len(self.done)})
            if written:
                self.status["completedIndexes"] = written
            flush = self._note_failed_indexes() or flush
        final = None
        if self.outcome is not None:
            if conditions.get(self.status, self.outcome["type"]) is None:
                known = self.status.get("conditions") or ()
                self.status["conditions"] = [*known, dict(self.outcome)]
                flush = True
            final = self._final_of(self.outcome)
        if flush:
            self._write()
        for pod in going:
            with contextlib.suppress(statuses.NotFoundError):
                untrack(self.cluster, pod)
            tracked.discard(objects.uid_of(pod))
        again = self._settle_counts(tracked)
        finished = final is not None and self._finish(final)
        if again or finished:
            self._write()
        if finished and final is not None:
            self._tell_finished(final)

    def _note_failed_indexes(self) -> bool:
        if not self.retries.apply:
            return False
        written = jobindexes.write(self.retries.failed)
        known = self.status.get("failedIndexes")
        self.status["failedIndexes"] = written
        return bool(known != written)

    def _note_ended(self) -> tuple[list[objects.Object], bool]:
        """Put the uids of ended pods into the status; return those that may go, and whether any."""
        uncounted = self.status["uncountedTerminatedPods"]
        won: list[str] = list(uncounted.get("succeeded") or ())
        lost: list[str] = list(uncounted.get("failed") or ())
        going: list[objects.Object] = []
        news = False
        for pod in self.pods:
            failed = self._has_failed(pod)
            if not is_tracked(pod) or not self._may_go(pod, failed=failed):
                continue
            going.append(pod)
            uid, index = objects.uid_of(pod), self._index_of(pod)
            if pods.phase_of(pod) == "Succeeded" and uid not in lost:
                if self.is_indexed:
                    news = news or (index is not None and index not in self.done_before)
                elif uid not in won:
                    won.append(uid)
                    news = True
            elif (failed or self._has_lost) and uid not in lost:
                news = True
                surplus = self.is_indexed and index is None
                if not surplus and not self.policy.ignores(pod):
                    lost.append(uid)
            if len(won) + len(lost) >= UNCOUNTED_MAX:
                break
        if won:
            uncounted["succeeded"] = won
        if lost:
            uncounted["failed"] = lost
        return going, news

    @property
    def _has_lost(self) -> bool:
        return self.outcome is not None and self.outcome["type"] == "FailureTarget"

    def _may_go(self, pod: objects.Object, *, failed: bool) -> bool:
        if self.job["metadata"].get("deletionTimestamp") or self.outcome is not None:
            return True
        if pods.phase_of(pod) == "Succeeded":
            return True
        return failed and not self.retries.holds(pod)

    def _settle_counts(self, tracked: set[str]) -> bool:
        """Move uids whose finalizer is gone into the counters; say whether there were any."""
        uncounted = self.status["uncountedTerminatedPods"]
        moved = False
        for field in ("succeeded", "failed"):
            listed = uncounted.get(field) or []
            waiting = [uid for uid in listed if uid in tracked]
            gone = len(listed) - len(waiting)
            if not gone:
                continue
            moved = True
            self.status[field] = int(self.status.get(field) or 0) + gone
            if waiting:
                uncounted[field] = waiting
            else:
                del uncounted[field]
        return moved

    def _final_of(self, outcome: objects.Object) -> objects.Object:
        kind = "Complete" if outcome["type"] == "SuccessCriteriaMet" else "Failed"
        return self._outcome(kind, outcome.get("reason", ""), outcome.get("message", ""))

    def _finish(self, final: objects.Object) -> bool:
        uncounted = self.status["uncountedTerminatedPods"]
        if uncounted.get("succeeded") or uncounted.get("failed") or self.terminating > 0:
            return False
        self.status["conditions"] = [*(self.status.get("conditions") or ()), final]
        if final["type"] == "Complete":
            self.status["completionTime"] = final["lastTransitionTime"]
        return True

    def _tell_finished(self, final: objects.Object) -> None:
        if final["type"] == "Failed":
            self.recorder.event(self.job, "Warning", final["reason"], final["message"])
            return
        wanted = self.spec.get("completions")
        if wanted is not None and int(self.status.get("succeeded") or 0) > int(wanted):
            text = "Too many succeeded pods running after completion count reached"
            self.recorder.event(self.job, "Warning", "TooManySucceededPods", text)
        self.recorder.event(self.job, "Normal", "Completed", "Job completed")

    def _write(self) -> None:
        self.job["status"] = objects.copy(self.status)
        self.job = self.cluster.update_status(REF, self.job)


def untrack(cluster: clusters.Cluster, pod: objects.Object) -> None:
    """Take the tracking finalizer off a pod."""
    body = {"metadata": {"$deleteFromPrimitiveList/finalizers": [TRACKING]}}
    cluster.patch("pods", objects.namespace_of(pod), objects.name_of(pod), body)


def is_tracked(pod: objects.Object) -> bool:
    """Whether a pod still has to be counted."""
    return TRACKING in (objects.metadata(pod).get("finalizers") or ())


def _add_index_variable(container: objects.Object) -> None:
    present = container.get("env") or []
    if any(one.get("name") == INDEX_VARIABLE for one in present):
        return
    path = f"metadata.labels['{jobindexes.INDEX}']"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}
    container["env"] = [*present, {"name": INDEX_VARIABLE, "valueFrom": source}]
