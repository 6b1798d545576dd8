"""Why a workload is not ready: read from its pods and from what was told about them.

A Deployment only says "1 of 2 replicas are ready"; the reason stands at a pod (its image cannot be
pulled), or at nobody's pod yet, in an event (a quota refuses to create it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from understudy.aio import clocks
from understudy.client import protocol
from understudy.delivery import calling, refs
from understudy.kube import health, objects, statuses

_SHOWN_MAX = 3
_WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Service"}


async def read(
    client: protocol.Client,
    unready: Mapping[refs.Ref, objects.Object],
    clock: clocks.Clock,
) -> dict[refs.Ref, list[str]]:
    """Return the reasons that can be found for objects that are not ready, none where none can."""
    found: dict[refs.Ref, list[str]] = {}
    spaces = sorted({ref.namespace for ref in unready if ref.kind in _WORKLOADS and ref.namespace})
    for space in spaces:
        members = {r: o for r, o in unready.items() if r.namespace == space}
        try:
            family = await _family(client, space, clock)
        except statuses.ApiError:
            continue  # Not allowed to look at pods: the object's own words must do.
        for ref, obj in members.items():
            if told := family.reasons(objects.uid_of(obj)):
                found[ref] = told
    return found


class _Family:
    """The pods and events of a namespace, by whom they come from."""

    def __init__(
        self,
        owned: Iterable[objects.Object],
        events: Iterable[objects.Object],
        clock: clocks.Clock,
    ) -> None:
        self._children: dict[str, list[objects.Object]] = {}
        for obj in owned:
            for owner in objects.metadata(obj).get("ownerReferences") or ():
                self._children.setdefault(str(owner.get("uid")), []).append(obj)
        self._warnings: dict[str, list[str]] = {}
        for event in events:
            if event.get("type") == "Warning":
                about = event.get("involvedObject") or event.get("regarding") or {}
                text = event.get("message") or event.get("note") or event.get("reason")
                self._warnings.setdefault(str(about.get("uid")), []).append(str(text))
        self._facts = health.Facts(now=clock.now())

    def reasons(self, uid: str) -> list[str]:
        """Return the reasons below an object, pods' own words first."""
        pods, warned, pending, seen = [], [], [uid], set()
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            warned += self._warnings.get(current, [])
            for child in self._children.get(current, ()):
                pending.append(objects.uid_of(child))
                if child.get("kind") == "Pod":
                    pods.append(child)
        told = []
        for pod in sorted(pods, key=objects.name_of):
            verdict = health.assess(pod, self._facts)
            if not verdict.is_settled:
                told.append(f"pod {objects.name_of(pod)}: {verdict.message or verdict.state}")
        return list(dict.fromkeys([*told, *warned]))[:_SHOWN_MAX]


async def _family(client: protocol.Client, space: str, clock: clocks.Clock) -> _Family:
    async def listed(resource: str) -> list[objects.Object]:
        listing = await calling.patiently(lambda: client.list(resource, namespace=space), clock)
        return listing.items

    owned = [*await listed("pods"), *await listed("replicasets.apps")]
    try:
        events = await listed("events")
    except statuses.ApiError:
        events = []
    return _Family(owned, events, clock)
