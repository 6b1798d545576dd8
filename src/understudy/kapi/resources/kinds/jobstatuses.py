"""A Job's status: which transitions make sense.

Most rules are asked only where what they are about has changed, so that a status that broke one
earlier can still be written to otherwise.
Source: pkg/apis/batch/validation, pkg/registry/batch/job/strategy.go @1.36.
"""

from __future__ import annotations

import datetime as dt

from understudy.kapi.resources.kinds import gotypes, jobpolicies
from understudy.kube import causes, objects, statuses

Causes = list[statuses.Cause]

_TERMINAL = ("Failed", "Complete", "FailureTarget")


def _instant(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None


class _Status:
    """What is asked of a status more than once."""

    def __init__(self, status: objects.Object) -> None:
        self.raw = status
        self._true = {
            one.get("type") for one in status.get("conditions") or () if one.get("status") == "True"
        }
        self.complete, self.failed = self.has("Complete"), self.has("Failed")
        self.finished = self.complete or self.failed
        self.succeeding, self.failing = self.has("SuccessCriteriaMet"), self.has("FailureTarget")

    def has(self, kind: str) -> bool:
        """Say whether a condition is true."""
        return kind in self._true

    def number(self, key: str) -> int:
        """Return a count, 0 if it is not there."""
        return int(self.raw.get(key) or 0)

    def changed(self, key: str, old: _Status) -> bool:
        """Say whether a field is not as it was."""
        return bool(self.raw.get(key) != old.raw.get(key))


def _whole(text: str) -> statuses.Cause:
    """Build a cause about the conditions, whose value is left out."""
    return statuses.Cause("status.conditions", "FieldValueInvalid", f"Invalid value: {text}")


def validate(job: objects.Object, old: objects.Object) -> Causes:
    """Return every reason why a status write is not valid."""
    new, before = _Status(job.get("status") or {}), _Status(old.get("status") or {})
    spec = job.get("spec") or {}
    out: Causes = []
    for key in ("active", "succeeded", "failed", "ready", "terminating"):
        value = new.raw.get(key)
        if value is not None and value < 0:
            out.append(causes.invalid(f"status.{key}", value, causes.NEGATIVE))
    if (uncounted := new.raw.get("uncountedTerminatedPods")) is not None:
        out += _uncounted(uncounted)
    if new.raw == before.raw:
        return out
    out += _conditions(new, before, spec)
    out += _times(new, before, spec)
    return out + _counts(new, before, spec) + _indexes(new, before, spec)


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


def _conditions(new: _Status, old: _Status, spec: objects.Object) -> Causes:
    completed, broke = new.complete != old.complete, new.failed != old.failed
    targeted, met = new.failing != old.failing, new.succeeding != old.succeeding
    rules = (
        (
            (completed or broke) and new.complete and new.failed,
            "cannot set Complete=True and Failed=true conditions",
        ),
        (
            (completed or targeted) and new.complete and new.failing,
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            (broke or targeted) and new.failed and not new.failing,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            (completed or met) and new.complete and not new.succeeding,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (
            new.succeeding and new.failed,
            "cannot set SuccessCriteriaMet=True and Failed=true conditions",
        ),
        (
            new.succeeding and new.failing,
            "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ),
        (
            spec.get("successPolicy") is not None and new.complete and not new.succeeding,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
        *(
            (
                old.has(kind) and not new.has(kind),
                f"cannot disable the terminal {kind}=True condition",
            )
            for kind in _TERMINAL
        ),
        (
            old.succeeding and not new.succeeding,
            "cannot disable the SuccessCriteriaMet=True condition",
        ),
        (
            old.complete and not old.succeeding and new.succeeding,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ),
    )
    return [_whole(text) for broken, text in rules if broken]


def _times(new: _Status, old: _Status, spec: objects.Object) -> Causes:
    shown, was_ended = new.raw.get("completionTime"), old.raw.get("completionTime")
    started, ended = _instant(new.raw.get("startTime")), _instant(shown)
    restarted, moved = new.changed("startTime", old), new.changed("completionTime", old)
    at = "status.completionTime"
    out: Causes = []
    if new.complete != old.complete or moved:
        if ended is not None and not new.complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            out.append(causes.invalid(at, shown, text))
        if ended is None and new.complete:
            out.append(causes.required(at, "completionTime is required for Complete jobs"))
    if (restarted or moved) and started is not None and ended is not None and ended < started:
        text = "completionTime cannot be set before startTime"
        out.append(causes.invalid(at, shown, text))
    if moved and ended is not None and was_ended is not None:
        out.append(causes.invalid(at, shown, "completionTime cannot be mutated"))
    suspended = bool(spec.get("suspend"))
    never_starts = suspended and spec.get("completions") == 0
    asked = (new.finished != old.finished or restarted) and not never_starts
    if asked and started is None and new.finished:
        text = "startTime is required for finished job"
        out.append(causes.required("status.startTime", text))
    resumed = old.has("Suspended") and not new.has("Suspended")
    if restarted and old.raw.get("startTime") is not None and not suspended and not resumed:
        text = "field is immutable for unsuspended job once set"
        out.append(causes.invalid("status.startTime", new.raw.get("startTime"), text))
    return out


def _counts(new: _Status, old: _Status, spec: objects.Object) -> Causes:
    ended = new.finished != old.finished
    out: Causes = []
    for key in ("active", "terminating"):
        if new.finished and new.number(key) > 0 and (ended or new.changed(key, old)):
            text = f"{key}>0 is invalid for finished job"
            out.append(causes.invalid(f"status.{key}", new.raw[key], text))
    key = "uncountedTerminatedPods"
    uncounted = new.raw.get(key) or {}
    left = uncounted.get("succeeded") or uncounted.get("failed")
    if new.finished and left and (ended or new.changed(key, old)):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        kept = gotypes.internal(uncounted, "io.k8s.api.batch.v1.UncountedTerminatedPods")
        out.append(causes.invalid(f"status.{key}", kept, text))
    changed = new.changed("ready", old) or new.changed("active", old)
    ready = new.raw.get("ready")
    if changed and ready is not None and ready > new.number("active"):
        text = "cannot set more ready pods than active"
        out.append(causes.invalid("status.ready", ready, text))
    # An indexed job whose parallelism is that of its completions can be scaled down.
    elastic = _is_indexed(spec) and spec.get("completions") == spec.get("parallelism")
    for key in ("failed", *(() if elastic else ("succeeded",))):
        if new.number(key) < old.number(key):
            text = f"cannot decrease the {key} counter"
            out.append(causes.invalid(f"status.{key}", new.number(key), text))
    return out


def _is_indexed(spec: objects.Object) -> bool:
    return spec.get("completionMode") == "Indexed"


def _indexes(new: _Status, old: _Status, spec: objects.Object) -> Causes:
    completed, failed = new.raw.get("completedIndexes") or "", new.raw.get("failedIndexes")
    changed, refailed = new.changed("completedIndexes", old), new.changed("failedIndexes", old)
    completions, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex")
    out: Causes = []
    at = "status.completedIndexes"
    if changed and completions is not None:
        _, why = jobpolicies.parse_indexes(completed, completions)
        if why:
            out.append(causes.invalid(at, completed, f"error parsing completedIndexes: {why}"))
    if changed and completed and not _is_indexed(spec):
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        out.append(causes.invalid(at, completed, text))
    if failed is None:
        return out
    at = "status.failedIndexes"
    if refailed and completions is not None and per_index is not None:
        _, why = jobpolicies.parse_indexes(failed, completions)
        if why:
            out.append(causes.invalid(at, failed, f"error parsing failedIndexes: {why}"))
    if refailed and per_index is None:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        out.append(causes.invalid(at, failed, text))
    if (changed or refailed) and completions is not None:
        shared = jobpolicies.listed(completed, completions) & jobpolicies.listed(
            failed, completions
        )
        if shared:
            text = f"failedIndexes and completedIndexes overlap at index: {min(shared)}"
            out.append(causes.invalid(at, failed, text))
    return out
