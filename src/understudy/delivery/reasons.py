"""What stands below a workload, and why it is not ready: its pods, and what was told about them.

A Deployment only says "1 of 2 replicas are ready"; the reason stands at a pod (its image cannot be
pulled), or at nobody's pod yet, in an event (a quota refuses to create it).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from understudy.aio import clocks
from understudy.client import protocol
from understudy.delivery import calling, refs
from understudy.kube import health, objects, statuses

_SHOWN_MAX = 3
PARALLEL = 8
_WORKLOADS = {
    "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Service", "Revision",
}  # fmt: skip
_OWNERS = _WORKLOADS - {"Service"} | {"ReplicationController"}
_OWNED = ("pods", "replicasets.apps", "jobs.batch")
_KNATIVE = "serving.knative.dev"
_KNATIVE_OWNED = (f"configurations.{_KNATIVE}", f"revisions.{_KNATIVE}", "deployments.apps")
"""What is between a Knative Service and its pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """An object that controllers made for one of an application's, and what is below it.

    Attributes:
        restarts: Of a Pod's containers, all together.
    """

    kind: str
    name: str
    health: health.Health
    created: str = ""
    restarts: int = 0
    children: tuple[Child, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Below:
    """What was found below an object: what it owns, and why it is not ready."""

    children: tuple[Child, ...] = ()
    reasons: tuple[str, ...] = ()


def owns_others(ref: refs.Ref) -> bool:
    """Whether controllers make other objects for one of this kind that go when it does."""
    return ref.kind in _OWNERS or ref.group == _KNATIVE


def despite(verdict: health.Health, ref: refs.Ref, below: Below) -> health.Health:
    """Return the verdict on an object in view of what is below it.

    A Knative Service that was ready once stays so, though its pods crash.
    """
    if ref.group != _KNATIVE or not verdict.is_settled:
        return verdict
    worst = health.combine([one for child in below.children for one in _all(child)])
    return worst if worst.state is health.State.FAILED else verdict


def _all(child: Child) -> Iterator[health.Health]:
    yield child.health
    for one in child.children:
        yield from _all(one)


async def read(
    client: protocol.Client,
    present: Mapping[refs.Ref, objects.Object],
    unready: Mapping[refs.Ref, objects.Object],
    clock: clocks.Clock,
) -> dict[refs.Ref, Below]:
    """Return what is below objects, and the reasons that can be found where one is not ready."""
    found: dict[refs.Ref, Below] = {}
    workloads = {ref: obj for ref, obj in present.items() if ref.kind in _WORKLOADS}
    for space in sorted({ref.namespace for ref in workloads if ref.namespace}):
        members = {r: o for r, o in present.items() if r.namespace == space}
        knative = _KNATIVE_OWNED if any(ref.group == _KNATIVE for ref in members) else ()
        try:
            family = await _family(client, space, (*_OWNED, *knative), clock)
        except statuses.ApiError:
            continue  # Not allowed to look at pods: the object's own words must do.
        for ref, obj in members.items():
            uid = objects.uid_of(obj)
            told = tuple(family.reasons(uid)) if ref in unready else ()
            found[ref] = Below(children=family.below(uid), reasons=told)
    return found


async def explain(
    client: protocol.Client,
    resources: Mapping[refs.Ref, protocol.ApiResource],
    unhealthy: Mapping[refs.Ref, health.Health],
    clock: clocks.Clock,
) -> list[str]:
    """Return a sentence for each unhealthy object, and below it what its pods and events say."""
    found = await calling.read(client, resources.items(), limit=PARALLEL, clock=clock)
    why = await read(client, found, found, clock)
    told = []
    for ref, verdict in unhealthy.items():
        more = (text for text in why.get(ref, Below()).reasons if text != verdict.message)
        told.append(below(f"{ref}: {verdict}", more))
    return told


def below(text: str, details: Iterable[str]) -> str:
    """Return a text with details on lines of their own."""
    return "".join([text, *(f"\n  ^ {detail}" for detail in details)])


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

    def below(self, uid: str) -> tuple[Child, ...]:
        """Return what an object owns; without what is left, empty, of earlier revisions."""
        children = []
        for obj in sorted(self._children.get(uid, ()), key=_place):
            kind, beneath = str(obj.get("kind")), self.below(objects.uid_of(obj))
            scaled = kind in {"ReplicaSet", "Deployment"}
            if scaled and not (obj.get("spec") or {}).get("replicas"):
                continue
            if kind == "Revision" and not beneath:
                continue
            children.append(
                Child(
                    kind=kind,
                    name=objects.name_of(obj),
                    health=health.assess(obj, self._facts),
                    created=str(objects.metadata(obj).get("creationTimestamp") or ""),
                    restarts=_restarts(obj),
                    children=beneath,
                )
            )
        return tuple(children)

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
        # What a container waits for, its pod says and an event says again.
        warned = [text for text in warned if not _is_told(text.removeprefix("Error: "), told)]
        return list(dict.fromkeys([*told, *warned]))[:_SHOWN_MAX]


async def _family(
    client: protocol.Client, space: str, owned_by_others: Iterable[str], clock: clocks.Clock
) -> _Family:
    async def listed(resource: str) -> list[objects.Object]:
        listing = await calling.patiently(lambda: client.list(resource, namespace=space), clock)
        return listing.items

    owned = [obj for resource in owned_by_others for obj in await listed(resource)]
    try:
        events = await listed("events")
    except statuses.ApiError:
        events = []
    return _Family(owned, events, clock)


def _is_told(text: str, told: Iterable[str]) -> bool:
    return any(text in one for one in told)


def _restarts(obj: objects.Object) -> int:
    containers = objects.lookup(obj, ("status", "containerStatuses"), ()) or ()
    return sum(int(one.get("restartCount") or 0) for one in containers)


def _place(obj: objects.Object) -> tuple[str, str]:
    return str(obj.get("kind")), objects.name_of(obj)
