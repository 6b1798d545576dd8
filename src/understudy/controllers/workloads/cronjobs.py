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
NEVER_S: Final = 86_400.0
"""When to look again at a schedule that has no more dates."""
_MISSED: Final = (
    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
)
_UNSUPPORTED: Final = (
    'CRON_TZ or TZ used in schedule "{}" is not officially supported, see '
    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)


class CronJobs:
    """Reconciles CronJobs."""

    name = "cronjob-controller"
    watched = (REF, JOBS)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "cronjob-controller")
        self.recorder = recorders.Recorder(self.cluster, "cronjob-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == REF:
            following = self._following(change)
            if following is None:
                queue.add(change.key)
            else:
                queue.add_after(change.key, following, idle=True)
            return
        key = claims.controller_key(change.object, "CronJob", "batch")
        if key is not None:
            queue.add(key)

    def _following(self, change: changes.Change) -> float | None:
        """Return when a CronJob with a new schedule is due; None if its schedule is the old one."""
        before = change.previous
        if change.deleted or before is None:
            return None
        cron = change.object
        if all(
            before["spec"].get(one) == cron["spec"].get(one) for one in ("schedule", "timeZone")
        ):
            return None
        try:
            schedule = schedule_of(cron)
        except schedules.ScheduleError:
            return None
        return seconds_to_next(cron, schedule, self.cluster.now())

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
        self._clean()
        try:
            self._note_finished()
            again = None
            if not self.cron["metadata"].get("deletionTimestamp"):
                again = self._schedule()
        finally:
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
        try:
            self.cluster.delete(JOBS, self.namespace, name, policy="Background")
        except statuses.ApiError as error:
            self._tell("Warning", "FailedDelete", f"Deleted job: {error.message}")
            return
        active = [one for one in self.status.get("active") or ()
                  if one.get("uid") != objects.uid_of(job)]  # fmt: skip
        self._set_active(active)
        self._tell("Normal", "SuccessfulDelete", f"Deleted job {name}")

    # ------------------------------------------------------------------ what is due

    def _schedule(self) -> reactor.Idle | None:
        zone = str(self.spec.get("timeZone") or "")
        try:
            schedules.zone_of(zone)
        except schedules.ScheduleError as error:
            self._tell("Warning", "UnknownTimeZone", f'invalid timeZone: "{zone}": {error}')
            return None
        if self.spec.get("suspend"):
            return None
        text = str(self.spec.get("schedule") or "")
        if "TZ" in text:
            self._tell("Warning", "UnsupportedSchedule", _UNSUPPORTED.format(text))
        try:
            schedule = schedule_of(self.cron)
        except schedules.ScheduleError as error:
            self._tell(
                "Warning", "UnparseableSchedule", f'unparseable schedule: "{text}" : {error}'
            )
            return None
        now = self.cluster.now()
        try:
            due, missed = latest_due(self.cron, schedule, now)
        except schedules.ScheduleError as error:
            self._tell("Warning", "InvalidSchedule", f"invalid schedule: {text} : {error}")
            return None
        if due is not None:
            if missed > MISSED_MAX:
                self._tell("Warning", "TooManyMissedTimes", _MISSED)
            self._start(due, now)
        served = {**self.cron, "status": self.status}
        return reactor.Idle(seconds_to_next(served, schedule, now))

    def _start(self, due: dt.datetime, now: dt.datetime) -> None:
        deadline = self.spec.get("startingDeadlineSeconds")
        if deadline is not None and due + dt.timedelta(seconds=int(deadline)) < now:
            text = f"Missed scheduled time to start a job: {due:%a, %d %b %Y %H:%M:%S UTC}"
            self._tell("Warning", "MissSchedule", text)
            return
        active: list[objects.Object] = list(self.status.get("active") or ())
        name = f"{self.name}-{int(due.timestamp()) // 60}"
        is_served = self.status.get("lastScheduleTime") == clocks.rfc3339(due)
        if is_served or any(one.get("name") == name for one in active):
            return
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
        self._create(name, due)

    def _create(self, name: str, due: dt.datetime) -> None:
        try:
            created = self.cluster.create(JOBS, self._job(name, due))
        except statuses.AlreadyExistsError:
            present = self.cluster.peek(JOBS, self.namespace, name)
            owner = claims.controller_of(present) if present is not None else None
            if present is None or (owner or {}).get("uid") != objects.uid_of(self.cron):
                return
            created = present
        except statuses.ApiError as error:
            self._tell("Warning", "FailedCreate", f"Error creating job: {error.message}")
            raise
        else:
            self._tell("Normal", "SuccessfulCreate", f"Created job {name}")
        reference = recorders.reference_to(created)
        self._set_active([*(self.status.get("active") or ()), reference])
        self.status["lastScheduleTime"] = clocks.rfc3339(due)

    def _job(self, name: str, due: dt.datetime) -> objects.Object:
        """Build the Job of a scheduled time, which is told in the CronJob's own zone."""
        template = self.spec["jobTemplate"]
        from_meta = template.get("metadata") or {}
        local = due.astimezone(schedules.zone_of(str(self.spec.get("timeZone") or "")))
        told = local.isoformat(timespec="seconds").replace("+00:00", "Z")
        meta: objects.Object = {
            "name": name,
            "namespace": self.namespace,
            "annotations": {**(from_meta.get("annotations") or {}), SCHEDULED: told},
            "ownerReferences": [clusters.owner_reference(self.cron)],
        }
        if from_meta.get("labels"):
            meta["labels"] = dict(from_meta["labels"])
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta,
                "spec": objects.copy(template.get("spec") or {})}  # fmt: skip


def schedule_of(cron: objects.Object) -> schedules.Schedule:
    """Parse a CronJob's schedule, in its zone.

    Raises:
        ScheduleError: It cannot be understood.
    """
    spec = cron["spec"]
    return schedules.parse(str(spec.get("schedule") or ""), str(spec.get("timeZone") or ""))


def seconds_to_next(cron: objects.Object, schedule: schedules.Schedule, now: dt.datetime) -> float:
    """Return seconds until a CronJob has to be looked at again."""
    since = now
    with contextlib.suppress(schedules.ScheduleError):
        due, missed = latest_due(cron, schedule, now, within_deadline=False)
        since = due or (now if missed else _earliest(cron))
    following = schedule.after(since)
    if following is None:
        return NEVER_S
    return (following - now).total_seconds() + SLACK_S


def latest_due(
    cron: objects.Object,
    schedule: schedules.Schedule,
    now: dt.datetime,
    *,
    within_deadline: bool = True,
) -> tuple[dt.datetime | None, int]:
    """Return the latest scheduled time that has passed and was not served, and how many have.

    Their number is estimated from the time between the first two.

    Raises:
        ScheduleError: There is no such time: 31 February.
    """
    earliest = _earliest(cron)
    deadline = cron["spec"].get("startingDeadlineSeconds")
    if within_deadline and deadline is not None:
        earliest = max(earliest, now - dt.timedelta(seconds=int(deadline)))
    first = schedule.after(earliest)
    second = schedule.after(first) if first is not None else None
    if first is None or second is None:
        raise schedules.ScheduleError("time difference between two schedules is less than 1 second")
    if now < first:
        return None, 0
    if now < second:
        return first, 0
    apart_s = round((second - first).total_seconds())
    missed = int((now - first).total_seconds()) // apart_s + 1
    latest = None
    found = schedule.after(first + dt.timedelta(seconds=(missed - 2) * apart_s))
    while found is not None and found <= now:
        latest, found = found, schedule.after(found)
    return latest, missed


def _earliest(cron: objects.Object) -> dt.datetime:
    served = (cron.get("status") or {}).get("lastScheduleTime")
    return pods.parse_time(str(served or pods.creation_of(cron)))


def outcome_of(job: objects.Object) -> str:
    """Return `Complete`, `Failed`, or nothing for a Job that is not finished."""
    for kind in ("Complete", "Failed"):
        if (pods.condition_of(job, kind) or {}).get("status") == "True":
            return kind
    return ""


def _lists(cron: objects.Object, uid: str) -> bool:
    active = (cron.get("status") or {}).get("active") or ()
    return any(one.get("uid") == uid for one in active)
