"""What containers were before the server was started again, out of the status it reported then.

No process outlives the server, so whatever ran is lost; the restart policy decides what follows.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers.runtime.processes import containers, hosts, statuses
from understudy.kube import objects

LOST: Final = "ContainerStatusUnknown"
LOST_MESSAGE: Final = "The container could not be located when the server was started again"
KILLED_CODE: Final = 137


def restore(found: list[containers.Container], pod: objects.Object, host: hosts.Host) -> None:
    """Give fresh containers the past that their pod's status tells."""
    status = pod.get("status") or {}
    known = {
        one["name"]: one
        for field in ("initContainerStatuses", "containerStatuses")
        for one in status.get(field) or ()
    }
    for one in found:
        if one.name in known:
            _restore(one, known[one.name], host)
    ran = any(one.ended for one in found if one.kind is containers.Kind.MAIN)
    if ran and not containers.are_complete(found, statuses.policy_of(pod)):
        # Everything is new, so what prepares the ground is done again.
        for one in found:
            if one.kind is containers.Kind.INIT and one.ended is not None:
                one.last, one.ended = one.ended, None
                one.waiting = {"reason": containers.INITIALIZING}


def _restore(one: containers.Container, known: objects.Object, host: hosts.Host) -> None:
    one.restarts = int(known.get("restartCount") or 0)
    one.last = (known.get("lastState") or {}).get("terminated") or {}
    state = known.get("state") or {}
    if running := state.get("running"):
        one.ended = {
            "exitCode": KILLED_CODE, "reason": LOST, "message": LOST_MESSAGE,
            "startedAt": running.get("startedAt"), "finishedAt": host.cluster.stamp(),
            "containerID": known.get("containerID"),
        }  # fmt: skip
    elif state.get("terminated"):
        one.ended = state["terminated"]
    elif one.last:
        one.ended, one.last = one.last, {}
    if one.ended is not None:
        one.waiting = {}
        one.run = one.restarts
        one.ended_s = host.now_s()
