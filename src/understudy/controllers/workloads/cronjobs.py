"""CronJobs: a Job at each scheduled minute. Source: pkg/controller/cronjob/cronjob_controllerv2.go.

Keys are namespace and name of the CronJob.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Final

from understudy.aio import clocks
from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.workloads import claims, pods, schedules
from understudy.kube import objects, statuses

REF: Final = "cronjobs.batch"
JOBS: Final = "jobs.batch"
SCHEDULED: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"
SLACK_S: Final = 0.1
MISSED_MAX: Final = 100


class CronJobs:
    """Reconciles CronJobs."""

    name = "cronjob-controller"
    watched = (REF, JOBS)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "cronjob-controller")
        self.recorder = recorders.Recorder(self.cluster, "cronjob-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == REF:
            queue.add(change.key)
            return
        key = claims.controller_key(change.object, "CronJob", "batch")
        if key is not None:
            queue.add(key)

    def reconcile(self, key: reactor.Key) -> float | reactor.Idle | None:
        cron = self.cluster.find(REF, *key)
        if cron is None:
            return None
        turn = Turn(self.cluster, self.recorder, cron)
        return turn.run()


class Turn:
    """One reconcile of one CronJob."""

    def __init__(
        self, cluster: clusters.Cluster, recorder: recorders.Recorder, cron: objects.Object
    ) -> None:
        self.cluster = cluster
        self.recorder = recorder
        self.cron = cron
        self.spec = cron["spec"]
        self.namespace = objects.namespace_of(cron)
        self.name = objects.name_of(cron)
        self.status: objects.Object = objects.copy(cron.get("status") or {})
        self.jobs = cluster.indexes.controlled(JOBS, self.namespace, objects.uid_of(cron))

    def run(self) -> reactor.Idle | None:
        """Do what is due; return when to look again."""
        self._note_finished()
        again = None
        if not self.cron["metadata"].get("deletionTimestamp"):
            again = self._schedule()
        self._clean()
        if self.status != (self.cron.get("status") or {}):
            self.cron["status"] = self.status
            self.cluster.update_status(REF, self.cron)
        return again

    def _tell(self, kind: str, reason: str, message: str) -> None:
        self.recorder.event(self.cron, kind, reason, message)

    # ------------------------------------------------------------------ what ran

    def _note_finished(self) -> None:
        active: list[objects.Object] = list(self.status.get("active") or ())
        listed = {one.get("uid") for one in active}
        for job in self.jobs:
            name, uid, outcome = objects.name_of(job), objects.uid_of(job), outcome_of(job)
            if uid not in listed and not outcome:
                fresh = self.cluster.peek(REF, self.namespace, self.name)
                if fresh is not None and not _lists(fresh, uid):
                    text = f"Saw a job that the controller did not create or forgot: {name}"
                    self._tell("Warning", "UnexpectedJob", text)
            elif uid in listed and outcome:
                active = [one for one in active if one.get("uid") != uid]
                text = f"Saw completed job: {name}, condition: {outcome}"
                self._tell("Normal", "SawCompletedJob", text)
            if outcome == "Complete":
                ended = str((job.get("status") or {}).get("completionTime") or "")
                if ended > str(self.status.get("lastSuccessfulTime") or ""):
                    self.status["lastSuccessfulTime"] = ended
        present = {objects.uid_of(job) for job in self.jobs}
        for one in [one for one in active if one.get("uid") not in present]:
            self._tell("Normal", "MissingJob", f"Active job went missing: {one.get('name')}")
            active.remove(one)
        self._set_active(active)

    def _set_active(self, active: list[objects.Object]) -> None:
        if active:
            self.status["active"] = active
        else:
            self.status.pop("active", None)

    def _clean(self) -> None:
        """Delete the oldest finished Jobs beyond the two history limits."""
        for outcome, field in (("Complete", "successfulJobsHistoryLimit"),
                               ("Failed", "failedJobsHistoryLimit")):  # fmt: skip
            limit = self.spec.get(field)
            if limit is None:
                continue
            ended = [job for job in self.jobs if outcome_of(job) == outcome]
            ended.sort(key=lambda job: (str((job.get("status") or {}).get("startTime") or ""),
                                        objects.name_of(job)))  # fmt: skip
            for job in ended[: max(0, len(ended) - int(limit))]:
                self._delete(job)

    def _delete(self, job: objects.Object) -> None:
        name = objects.name_of(job)
        with contextlib.suppress(statuses.NotFoundError):
            self.cluster.delete(JOBS, self.namespace, name, policy="Background")
        active = [one for one in self.status.get("active") or ()
                  if one.get("uid") != objects.uid_of(job)]  # fmt: skip
        self._set_active(active)
        self._tell("Normal", "SuccessfulDelete", f"Deleted job {name}")

    # ------------------------------------------------------------------ what is due

    def _schedule(self) -> reactor.Idle | None:
        if self.spec.get("suspend"):
            return None
        text = str(self.spec.get("schedule") or "")
        try:
            schedule = schedules.parse(text, str(self.spec.get("timeZone") or ""))
        except schedules.ScheduleError as error:
            self._tell(
                "Warning", "UnparseableSchedule", f'unparseable schedule: "{text}" : {error}'
            )
            return None
        now = self.cluster.now()
        due = self._due(schedule, now)
        if due is not None:
            self._start(due, now)
        following = schedule.after(now)
        if following is None:
            return None
        return reactor.Idle((following - now).total_seconds() + SLACK_S)

    def _due(self, schedule: schedules.Schedule, now: dt.datetime) -> dt.datetime | None:
        """Return the latest scheduled time that has passed and was not served, or None."""
        since = self.status.get("lastScheduleTime") or pods.creation_of(self.cron)
        earliest = pods.parse_time(str(since))
        deadline = self.spec.get("startingDeadlineSeconds")
        if deadline is not None:
            earliest = max(earliest, now - dt.timedelta(seconds=int(deadline)))
        latest, missed = None, 0
        found = schedule.after(earliest)
        while found is not None and found <= now:
            latest, missed = found, missed + 1
            if missed > MISSED_MAX:
                text = ("too many missed start times. Set or decrease "
                        ".spec.startingDeadlineSeconds or check clock skew")  # fmt: skip
                self._tell("Warning", "TooManyMissedTimes", text)
                hour_ago = now - dt.timedelta(hours=1)
                found = schedule.after(max(found, hour_ago))
                missed = 0
                continue
            found = schedule.after(found)
        return latest

    def _start(self, due: dt.datetime, now: dt.datetime) -> None:
        deadline = self.spec.get("startingDeadlineSeconds")
        if deadline is not None and due + dt.timedelta(seconds=int(deadline)) < now:
            text = f"Missed scheduled time to start a job: {due:%a, %d %b %Y %H:%M:%S +0000}"
            self._tell("Warning", "MissSchedule", text)
            return
        active: list[objects.Object] = list(self.status.get("active") or ())
        policy = self.spec.get("concurrencyPolicy") or "Allow"
        if policy == "Forbid" and active:
            text = ("Not starting job because prior execution is running and concurrency policy "
                    "is Forbid")  # fmt: skip
            self._tell("Normal", "JobAlreadyActive", text)
            return
        if policy == "Replace":
            running = {one.get("uid") for one in active}
            for job in [job for job in self.jobs if objects.uid_of(job) in running]:
                self._delete(job)
        self._create(due)

    def _create(self, due: dt.datetime) -> None:
        template = self.spec["jobTemplate"]
        from_meta = template.get("metadata") or {}
        name = f"{self.name}-{int(due.timestamp()) // 60}"
        meta: objects.Object = {
            "name": name,
            "namespace": self.namespace,
            "annotations": {
                **(from_meta.get("annotations") or {}),
                SCHEDULED: clocks.rfc3339(due),
            },
            "ownerReferences": [clusters.owner_reference(self.cron)],
        }
        if from_meta.get("labels"):
            meta["labels"] = dict(from_meta["labels"])
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta,
               "spec": objects.copy(template.get("spec") or {})}  # fmt: skip
        try:
            created = self.cluster.create(JOBS, job)
        except statuses.AlreadyExistsError:
            return
        except statuses.ApiError as error:
            self._tell("Warning", "FailedCreate", f"Error creating job: {error.message}")
            raise
        self._tell("Normal", "SuccessfulCreate", f"Created job {name}")
        reference = recorders.reference_to(created)
        self._set_active([*(self.status.get("active") or ()), reference])
        self.status["lastScheduleTime"] = clocks.rfc3339(due)
        self.jobs = [*self.jobs, created]


def outcome_of(job: objects.Object) -> str:
    """Return `Complete`, `Failed`, or nothing for a Job that is not finished."""
    for kind in ("Complete", "Failed"):
        if (pods.condition_of(job, kind) or {}).get("status") == "True":
            return kind
    return ""


def _lists(cron: objects.Object, uid: str) -> bool:
    active = (cron.get("status") or {}).get("active") or ()
    return any(one.get("uid") == uid for one in active)
