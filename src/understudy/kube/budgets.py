"""What a PodDisruptionBudget says of itself, whoever writes its status.

Source: k8s.io/component-helpers/apps/poddisruptionbudget.
"""

from __future__ import annotations

from typing import Final

from understudy.kube import objects

ALLOWED: Final = "DisruptionAllowed"
SYNC_FAILED: Final = "SyncFailed"


def note_allowed(status: objects.Object, stamp: str) -> None:
    """Bring the condition DisruptionAllowed of a status in line with its `disruptionsAllowed`."""
    if int(status.get("disruptionsAllowed") or 0) > 0:
        note(status, "True", "SufficientPods", "", stamp)
    else:
        note(status, "False", "InsufficientPods", "", stamp)


def note(status: objects.Object, value: str, reason: str, message: str, stamp: str) -> None:
    """Set the condition DisruptionAllowed; its transition time stays while its value does."""
    listed = status.setdefault("conditions", [])
    known = condition(status)
    if known is None:
        known = {"type": ALLOWED, "status": "", "message": ""}
        listed.append(known)
    if known["status"] != value:
        known["lastTransitionTime"] = stamp
    known |= {"status": value, "reason": reason, "message": message}
    if status.get("observedGeneration"):
        known["observedGeneration"] = status["observedGeneration"]


def condition(status: objects.Object) -> objects.Object | None:
    """Return the condition DisruptionAllowed, or None."""
    found: objects.Object | None = next(
        (one for one in status.get("conditions") or () if one.get("type") == ALLOWED), None
    )
    return found
