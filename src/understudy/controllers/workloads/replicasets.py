"""ReplicaSets (and ReplicationControllers): as many pods as wanted, no more and no fewer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.workloads import claims, conditions, pods
from understudy.kube import objects, selectors, statuses

BURST_MAX: Final = 500
"""Pods created or deleted in one go."""
TERMINATING: Final = "NamespaceTerminating"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What tells ReplicaSets from ReplicationControllers."""

    name: str
    agent: str
    component: str
    kind: str
    group: str
    ref: str
    counts_terminating: bool

    def selector_of(self, owner: objects.Object) -> selectors.LabelSelector:
        """Return the set's selector."""
        raw = (owner.get("spec") or {}).get("selector") or {}
        if self.group:
            return selectors.from_label_selector(raw)
        return selectors.from_label_selector({"matchLabels": raw})


REPLICA_SETS = Variant(
    name="replicaset-controller",
    agent="replicaset-controller",
    component="replicaset-controller",
    kind="ReplicaSet",
    group="apps",
    ref="replicasets.apps",
    counts_terminating=True,
)
REPLICATION_CONTROLLERS = Variant(
    name="replicationcontroller-controller",
    agent="replication-controller",
    component="replication-controller",
    kind="ReplicationController",
    group="",
    ref="replicationcontrollers",
    counts_terminating=False,
)


class ReplicaSets:
    """Reconciles one of the two kinds.

    Attributes:
        seen_apart: Whether others look at each pod of a batch before the next is made or deleted;
            in a real cluster a matter of chance.
    """

    def __init__(self, shared: clusters.Shared, variant: Variant = REPLICA_SETS) -> None:
        self.cluster = clusters.Cluster(shared, variant.agent)
        self.recorder = recorders.Recorder(self.cluster, variant.component)
        self.variant = variant
        self.name = variant.name
        self.watched = (variant.ref, "pods")
        self.seen_apart = False

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == self.variant.ref:
            queue.add(change.key)
        else:
            observe_pod(
                self.cluster, change, queue, self.variant.kind, self.variant.group,
                self.variant.ref, self.variant.selector_of,
            )  # fmt: skip

    def reconcile(self, key: reactor.Key) -> reactor.Turns:
        namespace, name = key
        owner = self.cluster.peek(self.variant.ref, namespace, name)
        if owner is None:
            return None
        selector = self.variant.selector_of(owner)
        claimed = claims.claim(self.cluster, "pods", owner, selector)
        active = [pod for pod in claimed if pods.is_active(pod)]
        terminating = sum(
            1 for pod in claimed if pods.is_terminating(pod) and not pods.is_over(pod)
        )
        failure: statuses.ApiError | None = None
        if not objects.metadata(owner).get("deletionTimestamp"):
            failure = yield from self._manage(owner, active)
        self._report(owner, active, terminating, failure)
        if failure is not None:
            raise failure
        return self._next_check(owner, active)

    # ------------------------------------------------------------------ pods

    def _manage(
        self, owner: objects.Object, active: list[objects.Object]
    ) -> Generator[None, None, statuses.ApiError | None]:
        wanted = _replicas(owner)
        if len(active) < wanted:
            return (yield from self._create(owner, min(wanted - len(active), BURST_MAX)))
        surplus = min(len(active) - wanted, BURST_MAX)
        if surplus == 0:
            return None
        failure = yield from self._delete(owner, active, surplus)
        yield
        return failure

    def _let_see(self) -> Generator[None, None, None]:
        """Let others look at one pod of a batch before the next, and write what they make of it."""
        if self.seen_apart:
            yield
            yield

    def _create(
        self, owner: objects.Object, count: int
    ) -> Generator[None, None, statuses.ApiError | None]:
        """Create pods in batches of 1, 2, 4 ...; a batch with a failure is the last.

        The requests of a batch are made at the same time.
        """
        done, batch = 0, 1
        while done < count:
            failure = None
            for _ in range(min(batch, count - done)):
                failure = self._create_one(owner) or failure
                done += 1
                yield from self._let_see()
            yield
            if failure is not None:
                return None if is_leaving(failure) else failure
            batch *= 2
        return None

    def _create_one(self, owner: objects.Object) -> statuses.ApiError | None:
        template = owner["spec"].get("template") or {}
        pod = pods.from_template(
            template, objects.namespace_of(owner), clusters.owner_reference(owner)
        )
        pod["metadata"]["generateName"] = pods.name_prefix(objects.name_of(owner))
        return create_pod(self.cluster, self.recorder, owner, pod)

    def _delete(
        self, owner: objects.Object, active: list[objects.Object], count: int
    ) -> Generator[None, None, statuses.ApiError | None]:
        chosen = active
        if count < len(active):
            chosen = pods.deletion_order(active, self._related_by_node(owner, active))[:count]
        failure = None
        for pod in chosen:
            failure = delete_pod(self.cluster, self.recorder, owner, pod) or failure
            yield from self._let_see()
        return failure

    def _related_by_node(
        self, owner: objects.Object, active: list[objects.Object]
    ) -> dict[str, int]:
        """Count the active pods per node, of this set and of its siblings (same Deployment)."""
        related = active
        above = claims.controller_of(owner)
        if above is not None:
            namespace = objects.namespace_of(owner)
            siblings = self.cluster.indexes.controlled(self.variant.ref, namespace, above["uid"])
            related = [
                pod
                for sibling in siblings
                for pod in self.cluster.indexes.controlled(
                    "pods", namespace, objects.uid_of(sibling)
                )
                if pods.is_active(pod)
            ]
        counts: dict[str, int] = {}
        for pod in related:
            node = str((pod.get("spec") or {}).get("nodeName") or "")
            counts[node] = counts.get(node, 0) + 1
        return counts

    # ------------------------------------------------------------------ status

    def _report(
        self,
        owner: objects.Object,
        active: list[objects.Object],
        terminating: int,
        failure: statuses.ApiError | None,
    ) -> None:
        old: objects.Object = owner.get("status") or {}
        status = objects.copy(old)
        now = self.cluster.now()
        min_ready_s = int(owner["spec"].get("minReadySeconds") or 0)
        labels = objects.labels_of(owner["spec"].get("template") or {}).items()
        status["replicas"] = len(active)
        conditions.put_counts(status, {
            "fullyLabeledReplicas":
                sum(1 for pod in active if labels <= objects.labels_of(pod).items()),
            "readyReplicas": sum(1 for pod in active if pods.is_ready(pod)),
            "availableReplicas":
                sum(1 for pod in active if pods.is_available(pod, min_ready_s, now)),
        })  # fmt: skip
        if self.variant.counts_terminating:
            status["terminatingReplicas"] = terminating
        if failure is None:
            conditions.drop(status, "ReplicaFailure")
        elif conditions.get(status, "ReplicaFailure") is None:
            reason = "FailedCreate" if len(active) < _replicas(owner) else "FailedDelete"
            conditions.put(status, conditions.make(
                "ReplicaFailure", "True", reason, failure.message, self.cluster.stamp()
            ))  # fmt: skip
        status["observedGeneration"] = objects.metadata(owner).get("generation", 0)
        if status != old:
            self._write_status({**owner, "status": status})

    def _write_status(self, owner: objects.Object) -> None:
        """Write the status; once more, as it is, if the set changed since it was read."""
        try:
            self.cluster.update_status(self.variant.ref, owner, quiet=True)
        except statuses.ConflictError:
            fresh = self.cluster.peek(self.variant.ref, *clusters.key_of(owner))
            if fresh is None:
                return
            self.cluster.update_status(
                self.variant.ref, {**fresh, "status": owner["status"]}, quiet=True
            )

    def _next_check(self, owner: objects.Object, active: list[objects.Object]) -> float | None:
        min_ready_s = int(owner["spec"].get("minReadySeconds") or 0)
        now = self.cluster.now()
        waits = (pods.available_in_s(pod, min_ready_s, now) for pod in active)
        return min((wait for wait in waits if wait), default=None)


def _replicas(owner: objects.Object) -> int:
    return int(owner["spec"].get("replicas", 1))


# ---------------------------------------------------------------------- shared with other workloads


def observe_pod(
    cluster: clusters.Cluster,
    change: changes.Change,
    queue: reactor.Queue,
    kind: str,
    group: str,
    ref: str,
    selector_of: Callable[[objects.Object], selectors.LabelSelector],
) -> None:
    """Queue the owners that a changed pod concerns: its controller, or who might adopt it."""
    for state in (change.object, change.previous):
        if state is None:
            continue
        key = claims.controller_key(state, kind, group)
        if key is not None:
            queue.add(key)
    if change.deleted or claims.controller_of(change.object) is not None:
        return
    previous, labels = change.previous, objects.labels_of(change.object)
    was_loose = previous is not None and claims.controller_of(previous) is None
    if not labels or (was_loose and previous and objects.labels_of(previous) == labels):
        return
    for owner in cluster.each(ref, change.entry.namespace):
        selector = selector_of(owner)
        if not selector.empty and selector.matches(labels):
            queue.add(clusters.key_of(owner))


def create_pod(
    cluster: clusters.Cluster,
    recorder: recorders.Recorder,
    owner: objects.Object,
    pod: objects.Object,
) -> statuses.ApiError | None:
    """Create a pod and say so in an event; return the refusal, which an event tells too."""
    try:
        created = cluster.create("pods", pod, quiet=True)
    except statuses.ApiError as error:
        if not is_leaving(error):
            recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
        return error
    recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {objects.name_of(created)}")
    return None


def delete_pod(
    cluster: clusters.Cluster,
    recorder: recorders.Recorder,
    owner: objects.Object,
    pod: objects.Object,
) -> statuses.ApiError | None:
    """Delete a pod and say so in an event; one that is gone already is no failure."""
    name = objects.name_of(pod)
    try:
        cluster.delete("pods", objects.namespace_of(pod), name)
    except statuses.NotFoundError:
        return None
    except statuses.ApiError as error:
        recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
        return error
    recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")
    return None


def is_leaving(error: statuses.ApiError) -> bool:
    """Whether a creation failed because its namespace is being deleted: no use to try again."""
    return any(cause.get("reason") == TERMINATING for cause in error.causes)
