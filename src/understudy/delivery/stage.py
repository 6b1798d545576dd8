"""The stage: a copy of a cluster on which a delivery is rehearsed, and what it is a copy of.

A stage is made by `assembly`, which may know the embedded API and its controllers: a pinned fork
where the cluster is a view of this process (then nothing is copied), or a fresh view loaded with
what `copy_live` reads, which takes only the rights to get and list.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from understudy.aio import clocks
from understudy.client import errors as client_errors, protocol
from understudy.delivery import (
    calling,
    crds,
    journal as journals,
    outcomes,
    refs,
    targets,
    trackers,
    waiting,
)
from understudy.kube import health, objects, statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object that differs between the stage as it began and as it is now."""

    before: objects.Object | None
    after: objects.Object | None

    @property
    def ref(self) -> refs.Ref:
        """Which object it is."""
        obj = self.after if self.after is not None else self.before
        assert obj is not None, "a change has one side at least"
        return refs.ref_of(obj)

    @property
    def is_gone(self) -> bool:
        """Whether the object that was there is there no more, even if another has its name."""
        if self.before is None or self.after is None:
            return self.before is not None
        return objects.uid_of(self.before) != objects.uid_of(self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How the controllers of a stage came to rest.

    Attributes:
        unsettled: Why they did not, empty where they did.
        journal: What they wrote since the rest before.
    """

    unsettled: str = ""
    journal: tuple[journals.Line, ...] = ()


class Stage(Protocol):
    """A copy of a cluster, to be written to freely. Close it."""

    @property
    def client(self) -> protocol.Client:
        """Reads and writes the copy."""
        ...

    @property
    def clock(self) -> clocks.Clock:
        """The copy's time, which `settle` moves."""
        ...

    @property
    def has_controllers(self) -> bool:
        """Whether anything reacts to what is written."""
        ...

    @property
    def not_simulated(self) -> Sequence[str]:
        """What a real cluster would do and this copy does not, one sentence each."""
        ...

    async def settle(self) -> Rest:
        """Let the controllers run until nothing more happens."""
        ...

    async def begin(self) -> None:
        """Let `changes` count from here: what was done before is how things are.

        Called first, this leaves out what the copy needs for itself (simulated nodes); it may be
        called again between two deliveries.
        """
        ...

    def changes(self) -> list[Change]:
        """Return what differs since `begin`, ordered by resource and key."""
        ...

    async def fork(self) -> Stage:
        """Return another stage that goes on from here, with controllers that know nothing yet.

        Its `changes` count from where this one's do.
        """
        ...

    async def close(self) -> None:
        """Give the copy up."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCopy:
    """What was read of a live cluster.

    Attributes:
        objects: As they are, with uid, status and managedFields.
        unread: What could not be read, one sentence each.
        read_at: The resourceVersion of every list, by `resource` or `resource namespace`.
    """

    objects: list[objects.Object] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    read_at: dict[str, str] = field(default_factory=dict)


ReadLive = Callable[[], Awaitable[LiveCopy]]


class MakeStage(Protocol):
    """Makes a stage; `read` is called only if the cluster is not in this process."""

    async def __call__(self, read: ReadLive) -> Stage:
        """Return a stage that shows the cluster as it is now."""
        ...


# ---------------------------------------------------------------------- the read set

_EVERYWHERE = (
    "namespaces", "customresourcedefinitions.apiextensions.k8s.io", "nodes",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "priorityclasses.scheduling.k8s.io", "runtimeclasses.node.k8s.io",
    "storageclasses.storage.k8s.io", "ingressclasses.networking.k8s.io", "persistentvolumes",
    "services",
)  # fmt: skip
"""Read whole: what decides about other objects, and what numbers are allotted from."""

_IN_NAMESPACES = (
    "resourcequotas", "limitranges", "serviceaccounts", "configmaps", "secrets", "pods",
    "persistentvolumeclaims", "replicationcontrollers", "deployments.apps", "replicasets.apps",
    "statefulsets.apps", "daemonsets.apps", "controllerrevisions.apps", "jobs.batch",
    "cronjobs.batch", "poddisruptionbudgets.policy", "horizontalpodautoscalers.autoscaling",
    "endpointslices.discovery.k8s.io",
)  # fmt: skip
"""Read in the namespaces a delivery touches: what controllers make of what is delivered."""

_KNATIVE_GROUP = "serving.knative.dev"
_KNATIVE = (
    *(f"{plural}.{_KNATIVE_GROUP}" for plural in ("configurations", "revisions", "routes")),
    f"services.{_KNATIVE_GROUP}", "podautoscalers.autoscaling.internal.knative.dev",
    "metrics.autoscaling.internal.knative.dev", "images.caching.internal.knative.dev",
    "serverlessservices.networking.internal.knative.dev",
    "ingresses.networking.internal.knative.dev",
)  # fmt: skip
_KNATIVE_SYSTEM = "knative-serving"
"""Its ConfigMaps decide on URLs, limits and scale."""
PARALLEL = 8


async def copy_live(
    client: protocol.Client,
    owner: targets.Owner,
    wanted: Sequence[targets.Target],
    tracker: trackers.Tracker,
    clock: clocks.Clock,
) -> LiveCopy:
    """Read what a rehearsal of a delivery needs; it takes only the rights to get and list.

    Every kind in tracker and wanted set, what depends on deletions, and what decides about both.

    Raises:
        ApiError, TransportError: Objects of a kind that is delivered cannot be listed.
    """
    served = await client.discover()
    plan = _Reading(served)
    namespaces = {owner.namespace}
    namespaces |= {target.ref.namespace for target in wanted}
    namespaces |= {ref.namespace for ref in tracker.entries}
    touched = (*(target.ref for target in wanted), *tracker.entries)
    namespaces |= {ref.name for ref in touched if (ref.group, ref.kind) == ("", "Namespace")}
    namespaces.discard("")
    for name in _EVERYWHERE:
        plan.add(name, "")
    for name in (*_IN_NAMESPACES, crds.APPLICATIONS, crds.REVISIONS):
        for namespace in namespaces:
            plan.add(name, namespace)
    plan.add(crds.TRACKERS, "")
    for target in wanted:
        plan.add(target.resource.name, target.ref.namespace, essential=True)
        plan.add_instances_of(target.ref)
    kept = {target.ref for target in wanted}
    for ref, entry in tracker.entries.items():
        resource = served.by_kind(entry.api_version, ref.kind)
        if resource is not None:
            plan.add(resource.name, ref.namespace, essential=True)
        if ref not in kept:
            plan.add_content_of(ref)
    if any(ref.group == _KNATIVE_GROUP for ref in kept | tracker.entries.keys()):
        plan.add("configmaps", _KNATIVE_SYSTEM)
        for name in _KNATIVE:
            for namespace in namespaces:
                plan.add(name, namespace)
    return await plan.carry_out(client, clock)


class _Reading:
    """The lists to be requested, each once; one of all namespaces covers those of each."""

    def __init__(self, served: protocol.Discovery) -> None:
        self._served = served
        self._known = {resource.name: resource for resource in served.resources}
        self._lists: dict[tuple[str, str], bool] = {}
        self._deep: set[refs.Ref] = set()

    def add(self, name: str, namespace: str, *, essential: bool = False) -> None:
        resource = self._known.get(name) or self._served.named(name)
        if resource is None or "list" not in resource.verbs:
            return
        key = (resource.name, namespace if resource.namespaced else "")
        self._lists[key] = self._lists.get(key, False) or essential

    def add_content_of(self, ref: refs.Ref) -> None:
        """Add what goes with a namespace or a definition that is to be deleted."""
        if (ref.group, ref.kind) == ("", "Namespace"):
            for resource in self._served.resources:
                if resource.namespaced and resource.plural != "events":
                    self.add(resource.name, ref.name)
        else:
            self.add_instances_of(ref)

    def add_instances_of(self, ref: refs.Ref) -> None:
        """Add the objects of a kind, if it is a definition that is delivered or deleted."""
        if (ref.group, ref.kind) == targets.CRD:
            plural, _, group = ref.name.partition(".")
            for resource in self._served.resources:
                if (resource.group, resource.plural) == (group, plural):
                    self.add(resource.name, "")
                    break

    async def carry_out(self, client: protocol.Client, clock: clocks.Clock) -> LiveCopy:
        whole = {name for name, namespace in self._lists if not namespace}
        due = sorted(key for key in self._lists if not key[1] or key[0] not in whole)

        async def read(key: tuple[str, str]) -> protocol.Listing:
            return await calling.patiently(lambda: client.list(key[0], namespace=key[1]), clock)

        copy = LiveCopy()
        seen: set[tuple[str, str, str]] = set()
        for key, answer in await calling.each(due, PARALLEL, read):
            if isinstance(answer, calling.Failed):
                self._note(copy, key, answer.error)
                continue
            copy.read_at[" ".join(filter(None, key))] = answer.value.resource_version
            for obj in answer.value.items:
                # One object may be listed under two groups (events, ingresses).
                identity = (str(obj.get("kind")), objects.uid_of(obj), objects.name_of(obj))
                if identity not in seen:
                    seen.add(identity)
                    copy.objects.append(obj)
        return copy

    def _note(self, copy: LiveCopy, key: tuple[str, str], error: calling.Failure) -> None:
        if isinstance(error, statuses.NotFoundError):
            return
        if isinstance(error, client_errors.TransportError) or self._lists[key]:
            raise error
        place = f" in {key[1]}" if key[1] else ""
        copy.unread.append(f"{key[0]}{place} could not be read: {error}")


# ---------------------------------------------------------------------- waiting on a stage


class StageWaiter:
    """Waits by letting the controllers of a stage run until nothing more happens.

    Attributes:
        client: Reads and writes the stage, and keeps the journal.
        rests: How each wait ended.
    """

    __slots__ = ("_stage", "client", "rests")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.client = journals.JournalingClient(stage.client)
        self.rests: list[Rest] = []

    @property
    def waits_for_health(self) -> bool:
        return self._stage.has_controllers

    async def wait(
        self,
        waited: Sequence[targets.Target],
        tell: outcomes.Tell,
        limit_s: float | None = None,
    ) -> dict[refs.Ref, health.Health]:
        await self.settle()
        found = await self._read(waited)
        # Nothing more happens: what is given a moment has had it.
        at_rest = self._stage.clock.now() + dt.timedelta(seconds=health.UNKNOWN_KIND_GRACE_S)
        return waiting.assess_all(found, waited, at_rest)

    async def wait_gone(
        self, waited: Sequence[targets.Target], uids: set[str], tell: outcomes.Tell
    ) -> dict[refs.Ref, health.Health]:
        await self.settle()
        facts = health.Facts(now=self._stage.clock.now())
        found = await self._read(waited)
        return {
            ref: health.assess(obj, facts)
            for ref, obj in found.items()
            if objects.uid_of(obj) in uids
        }

    async def settle(self) -> None:
        """Let the controllers run, and take note of what they did."""
        rest = await self._stage.settle()
        self.rests.append(rest)
        self.client.extend(rest.journal)

    async def _read(self, waited: Iterable[targets.Target]) -> dict[refs.Ref, objects.Object]:
        return await calling.read(
            self._stage.client,
            ((target.ref, target.resource) for target in waited),
            limit=1,
            clock=self._stage.clock,
        )
