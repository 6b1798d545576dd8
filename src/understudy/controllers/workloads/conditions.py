"""Conditions in a status: read, set, remove; and the small rules of writing a status."""

from __future__ import annotations

from collections.abc import Mapping

from understudy.kube import objects


def get(status: objects.Object, type: str) -> objects.Object | None:
    """Return a condition, or None."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == type:
            found: objects.Object = condition
            return found
    return None


def make(
    type: str, value: str, reason: str, message: str, now: str, *, update_time: bool = False
) -> objects.Object:
    """Build a condition that begins now; empty reason and message are left out.

    `update_time` adds lastUpdateTime, which only Deployments have.
    """
    condition: objects.Object = {"type": type, "status": value}
    if update_time:
        condition["lastUpdateTime"] = now
    condition["lastTransitionTime"] = now
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def put(status: objects.Object, condition: objects.Object) -> None:
    """Set a condition: nothing if status and reason are as before, else removed and appended.

    The transition time stays while the condition's status does. So the order of the conditions
    tells which changed last.
    """
    known = get(status, condition["type"])
    if known is not None and known.get("status") == condition["status"]:
        if known.get("reason", "") == condition.get("reason", ""):
            return
        condition["lastTransitionTime"] = known.get("lastTransitionTime")
    replace(status, condition)


def replace(status: objects.Object, condition: objects.Object) -> None:
    """Remove a condition's former state and append the new one."""
    drop(status, condition["type"])
    status["conditions"] = [*(status.get("conditions") or ()), condition]


def drop(status: objects.Object, type: str) -> None:
    """Remove a condition; the list goes with its last one."""
    if get(status, type) is None:
        return
    left = [one for one in status["conditions"] if one.get("type") != type]
    if left:
        status["conditions"] = left
    else:
        del status["conditions"]


def put_counts(status: objects.Object, counts: Mapping[str, int]) -> None:
    """Write counters in place; those that are 0 are left out, as `omitempty` does."""
    for name, count in counts.items():
        if count:
            status[name] = count
        else:
            status.pop(name, None)
