"""A Job's status: which transitions make sense.

Source: pkg/apis/batch/validation, pkg/registry/batch/job/strategy.go @1.36.
"""

from __future__ import annotations

import datetime as dt

from understudy.kapi.resources.kinds import gotypes
from understudy.kube import causes, objects, statuses

Causes = list[statuses.Cause]

_ENDS = ("Complete", "Failed")


def _instant(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None


def _has(status: objects.Object, kind: str, value: str = "True") -> bool:
    return any(
        one.get("type") == kind and one.get("status") == value
        for one in status.get("conditions") or ()
    )


def _whole(text: str) -> statuses.Cause:
    """Build a cause about the conditions, whose value is left out."""
    return statuses.Cause("status.conditions", "FieldValueInvalid", f"Invalid value: {text}")


def validate(job: objects.Object, old: objects.Object) -> Causes:
    """Return every reason why a status write is not valid."""
    status, before = job.get("status") or {}, old.get("status") or {}
    spec = old.get("spec") or {}
    out: Causes = []
    for key in ("active", "succeeded", "failed", "ready", "terminating"):
        value = status.get(key)
        if value is not None and value < 0:
            out.append(causes.invalid(f"status.{key}", value, causes.NEGATIVE))
    if (uncounted := status.get("uncountedTerminatedPods")) is not None:
        out += _uncounted(uncounted)
    if status == before:
        return out
    out += _condition_rules(status, before)
    out += _times(status, before, spec)
    return out + _counts(status, spec)


def _uncounted(uncounted: objects.Object) -> Causes:
    out: Causes = []
    seen: set[str] = set()
    for key in ("succeeded", "failed"):
        for index, uid in enumerate(uncounted.get(key) or ()):
            at = f"status.uncountedTerminatedPods.{key}[{index}]"
            if not uid:
                out.append(causes.invalid(at, uid, "must not be empty"))
            elif uid in seen:
                out.append(causes.duplicate(at, uid))
            seen.add(uid)
    return out


def _condition_rules(status: objects.Object, before: objects.Object) -> Causes:
    complete, failed = _has(status, "Complete"), _has(status, "Failed")
    out: Causes = []
    if complete and failed:
        out.append(_whole("cannot set Complete=True and Failed=true conditions"))
    if complete and not _has(status, "SuccessCriteriaMet"):
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        out.append(_whole(text))
    if failed and not _has(status, "FailureTarget"):
        text = "cannot set Failed=True condition without the FailureTarget=true condition"
        out.append(_whole(text))
    if failed and _has(status, "SuccessCriteriaMet"):
        text = "cannot set Failed=True and SuccessCriteriaMet=true conditions"
        out.append(_whole(text))
    if complete and _has(status, "FailureTarget"):
        out.append(_whole("cannot set Complete=True and FailureTarget=true conditions"))
    if _has(status, "FailureTarget") and _has(status, "SuccessCriteriaMet"):
        text = "cannot set FailureTarget=True and SuccessCriteriaMet=true conditions"
        out.append(_whole(text))
    for kind in (*_ENDS, "FailureTarget", "SuccessCriteriaMet"):
        if _has(before, kind) and not _has(status, kind):
            text = f"cannot disable the terminal {kind}=True condition"
            if kind in {"FailureTarget", "SuccessCriteriaMet"}:
                text = f"cannot disable the {kind}=True condition"
            out.append(_whole(text))
    return out


def _times(status: objects.Object, before: objects.Object, spec: objects.Object) -> Causes:
    complete, failed = _has(status, "Complete"), _has(status, "Failed")
    started, ended = _instant(status.get("startTime")), _instant(status.get("completionTime"))
    out: Causes = []
    at = "status.completionTime"
    if complete:
        if ended is None:
            text = "completionTime is required for Complete jobs"
            out.append(causes.required(at, text))
        elif started is not None and ended < started:
            text = "completionTime cannot be set before startTime"
            out.append(causes.invalid(at, status["completionTime"], text))
    elif ended is not None:
        text = "completionTime can only be set for Complete jobs"
        out.append(causes.invalid(at, status["completionTime"], text))
    if (complete or failed) and started is None:
        text = "startTime is required for finished job"
        out.append(causes.required("status.startTime", text))
    was_started = before.get("startTime")
    suspended = bool(spec.get("suspend"))
    if was_started and not suspended and status.get("startTime") != was_started:
        if status.get("startTime") is None:
            text = "startTime cannot be removed for unsuspended job"
            out.append(causes.required("status.startTime", text))
        else:
            text = "startTime cannot be modified for unsuspended job"
            out.append(causes.invalid("status.startTime", status["startTime"], text))
    was_ended = before.get("completionTime")
    if was_ended and _has(before, "Complete") and status.get("completionTime") != was_ended:
        text = "completionTime cannot be mutated"
        out.append(causes.invalid(at, status.get("completionTime"), text))
    return out


def _counts(status: objects.Object, spec: objects.Object) -> Causes:
    finished = _has(status, "Complete") or _has(status, "Failed")
    active, ready = status.get("active") or 0, status.get("ready") or 0
    terminating = status.get("terminating") or 0
    out: Causes = []
    if finished and active > 0:
        text = "active>0 is invalid for finished job"
        out.append(causes.invalid("status.active", active, text))
    if finished and terminating > 0:
        text = "terminating>0 is invalid for finished job"
        out.append(causes.invalid("status.terminating", terminating, text))
    if status.get("ready") is not None and ready > active:
        text = "cannot set more ready pods than active"
        out.append(causes.invalid("status.ready", ready, text))
    uncounted = status.get("uncountedTerminatedPods") or {}
    if finished and (uncounted.get("succeeded") or uncounted.get("failed")):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        shown = gotypes.internal(uncounted, "io.k8s.api.batch.v1.UncountedTerminatedPods")
        out.append(causes.invalid("status.uncountedTerminatedPods", shown, text))
    indexed = spec.get("completionMode") == "Indexed"
    for key in ("completedIndexes", "failedIndexes"):
        if status.get(key) and not indexed:
            text = f"cannot set non-empty {key} when non-indexed completion mode"
            out.append(causes.invalid(f"status.{key}", status[key], text))
    return out
