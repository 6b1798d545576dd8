"""Conditions as Knative keeps them: a happy one that follows those it depends on.

| happens                         | the happy condition becomes                                    |
| ------------------------------- | -------------------------------------------------------------- |
| a dependent turns False         | False, with its reason and message                             |
| a dependent turns Unknown       | Unknown, with its reason; but False while another is False     |
| a dependent turns True          | what the newest unhappy dependent is; True when there is none  |

Conditions on which nothing depends have `severity: Info` and never count. The list is sorted by
type; a time moves only when something else of the condition did.

Source: knative.dev/pkg `apis/condition_set.go` and `reconciler/reconcile_common.go`.
"""

from __future__ import annotations

from understudy.kube import objects

READY = "Ready"
GENERATION_BUMP = ("NewObservedGenFailure", "unsuccessfully observed a new generation")


class Conditions:
    """The conditions of one status, as they are changed during one reconciliation.

    Attributes:
        now: The time stamped on what changes, RFC 3339.
    """

    __slots__ = ("_before", "_order", "_serial", "_status", "dependents", "now")

    def __init__(self, status: objects.Object, dependents: tuple[str, ...], now: str) -> None:
        self._status = status
        self._before = objects.copy(status.get("conditions") or [])
        self._order: dict[str, int] = {}
        self._serial = 0
        self.dependents = dependents
        self.now = now

    def get(self, kind: str) -> objects.Object | None:
        """Return a condition, not to be changed, or None."""
        return find(self._status, kind)

    def is_true(self, kind: str) -> bool:
        """Say whether a condition is True."""
        return _is(self.get(kind), "True")

    def is_false(self, kind: str) -> bool:
        """Say whether a condition is False."""
        return _is(self.get(kind), "False")

    def initialize(self) -> None:
        """Put in what is missing: Unknown, or True where the object is ready already."""
        happy = self.get(READY)
        if happy is None:
            self._set(READY, "Unknown")
            happy = self.get(READY) or {}
        status = "True" if _is(happy, "True") else "Unknown"
        for kind in self.dependents:
            if self.get(kind) is None:
                self._set(kind, status)

    def mark_true(self, kind: str, reason: str = "", message: str = "") -> None:
        """Set a condition True and see whether everything is well now."""
        self._set(kind, "True", reason, message)
        self._recompute(kind)

    def mark_unknown(self, kind: str, reason: str = "", message: str = "") -> None:
        """Set a condition Unknown."""
        self._set(kind, "Unknown", reason, message)
        is_dependent = False
        for dependent in self.dependents:
            if self.is_false(dependent):
                if not self.is_false(READY):
                    self.mark_false(READY, reason, message)
                return
            is_dependent = is_dependent or dependent == kind
        if is_dependent:
            self._set(READY, "Unknown", reason, message)

    def mark_false(self, kind: str, reason: str = "", message: str = "") -> None:
        """Set a condition False, and with it the happy one if that depends on it."""
        self._set(kind, "False", reason, message)
        if kind in self.dependents:
            self._set(READY, "False", reason, message)

    def put(self, kind: str, status: str, reason: str = "", message: str = "") -> None:
        """Set a condition that nothing depends on, without a look at the others."""
        self._set(kind, status, reason, message)

    def settle(self) -> None:
        """Give each condition its time: the old one where nothing else changed, else now."""
        before = {one["type"]: one for one in self._before}
        for condition in self._status.get("conditions") or ():
            old = before.get(condition["type"])
            same = old is not None and _without_time(old) == _without_time(condition)
            condition["lastTransitionTime"] = (
                old.get("lastTransitionTime", self.now) if same and old is not None else self.now
            )

    def _set(self, kind: str, status: str, reason: str = "", message: str = "") -> None:
        condition: objects.Object = {"type": kind, "status": status}
        if kind != READY and kind not in self.dependents:
            condition["severity"] = "Info"
        if reason:
            condition["reason"] = reason
        if message:
            condition["message"] = message
        present = self.get(kind)
        if present is not None and _without_time(present) == condition:
            return
        self._serial += 1
        self._order[kind] = self._serial
        others = [one for one in self._status.get("conditions") or () if one["type"] != kind]
        condition["lastTransitionTime"] = self.now
        self._status["conditions"] = sorted([*others, condition], key=lambda one: str(one["type"]))

    def _recompute(self, kind: str) -> None:
        unhappy = self._unhappy()
        if unhappy is not None:
            reason, message = str(unhappy.get("reason") or ""), str(unhappy.get("message") or "")
            self._set(READY, str(unhappy["status"]), reason, message)
        elif kind != READY:
            self._set(READY, "True")

    def _unhappy(self) -> objects.Object | None:
        """Return the newest False dependent, else the newest Unknown one, None if all is well."""
        found: list[objects.Object] = [
            one
            for one in self._status.get("conditions") or ()
            if not one.get("severity") and one["type"] != READY
        ]
        found.sort(
            key=lambda one: (self._order.get(one["type"], 0), one.get("lastTransitionTime") or ""),
            reverse=True,
        )
        for status in ("False", "Unknown"):
            for condition in found:
                if condition["status"] == status:
                    return condition
        return {"status": "Unknown"} if len(self.dependents) > len(found) else None


def find(status: objects.Json, kind: str) -> objects.Object | None:
    """Return a condition of a status, or None."""
    for condition in (status or {}).get("conditions") or ():
        if condition.get("type") == kind:
            found: objects.Object = condition
            return found
    return None


def ready_status(obj: objects.Object | None) -> str:
    """Return the status of an object's Ready condition, empty where it has none."""
    return str((find((obj or {}).get("status"), READY) or {}).get("status") or "")


def is_observed(obj: objects.Object) -> bool:
    """Say whether an object's controller has seen its present generation."""
    seen = objects.lookup(obj, ("status", "observedGeneration"))
    return bool(seen == objects.metadata(obj).get("generation"))


def is_ready(obj: objects.Object) -> bool:
    """Say whether an object is ready, and not only an older generation of it."""
    return is_observed(obj) and ready_status(obj) == "True"


def is_failed(obj: objects.Object) -> bool:
    """Say whether an object, in its present generation, has failed."""
    return is_observed(obj) and ready_status(obj) == "False"


def _is(condition: objects.Object | None, status: str) -> bool:
    return condition is not None and condition.get("status") == status


def _without_time(condition: objects.Object) -> objects.Object:
    return {key: value for key, value in condition.items() if key != "lastTransitionTime"}
