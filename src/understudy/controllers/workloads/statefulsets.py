"""StatefulSets: numbered pods with claims of their own, made and replaced in order.

`Step` is one reconcile; `statefulpods` makes, keeps and removes single pods. A pod that was only
just made or condemned is counted by the next reconcile. Source: pkg/controller/statefulset.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.workloads import (
    claims,
    conditions,
    hashes,
    histories,
    pods,
    replicasets,
    statefulpods,
)
from understudy.kube import objects, selectors, statuses

REF: Final = "statefulsets.apps"
HASH_LABEL: Final = "controller.kubernetes.io/hash"


class StatefulSets:
    """Reconciles StatefulSets."""

    name = "statefulset-controller"
    watched = (REF, "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "statefulset-controller")
        self.recorder = recorders.Recorder(self.cluster, "statefulset-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == REF:
            queue.add(change.key)
        else:
            replicasets.observe_pod(
                self.cluster, change, queue, "StatefulSet", "apps", REF, _selector
            )

    def reconcile(self, key: reactor.Key) -> float | None:
        owner = self.cluster.find(REF, *key)
        if owner is None:
            return None
        selector = _selector(owner)
        own = claims.claim(
            self.cluster, "pods", owner, selector,
            accept=lambda pod: statefulpods.ordinal_of(owner, pod) is not None,
        )  # fmt: skip
        return Step(self.cluster, self.recorder, owner, own).run()


class Step:
    """One reconcile of one StatefulSet, with the pods that were there when it began."""

    def __init__(
        self,
        cluster: clusters.Cluster,
        recorder: recorders.Recorder,
        owner: objects.Object,
        own: list[objects.Object],
    ) -> None:
        self.cluster = cluster
        self.recorder = recorder
        self.owner = owner
        self.spec = owner["spec"]
        self.pods = own
        self.status: objects.Object = {}
        self.work = statefulpods.Workbench(cluster, recorder, owner)

    def run(self) -> float | None:
        """Do the next step; return seconds until a pod becomes available, if one will."""
        if self._lost_revisions():
            return None
        revisions = histories.ordered(claims.claim(
            self.cluster, histories.REF, self.owner, _selector(self.owner)
        ))  # fmt: skip
        current, update, collisions = self._revisions(revisions)
        self.status = self._begin_status(current, update, collisions)
        failure: statuses.ApiError | None = None
        try:
            self._step(current, update)
        except statuses.ApiError as error:
            failure = error
        self._write_status(current, update)
        if failure is not None:
            raise failure
        self._clean_history(revisions, current, update)
        return self._next_check()

    # ------------------------------------------------------------------ history

    def _lost_revisions(self) -> bool:
        """Whether its revisions were orphaned before it: without them nothing can be told."""
        if not self.owner["metadata"].get("deletionTimestamp"):
            return False
        selector = _selector(self.owner)
        loose = self.cluster.indexes.loose(histories.REF, objects.namespace_of(self.owner))
        return any(selector.matches(objects.labels_of(one)) for one in loose)

    def _revisions(
        self, revisions: list[objects.Object]
    ) -> tuple[objects.Object, objects.Object, int]:
        """Return the current and the update revision, making or renumbering the latter."""
        collisions = int((self.owner.get("status") or {}).get("collisionCount") or 0)
        update = self._update_revision(revisions, collisions)
        name = (self.owner.get("status") or {}).get("currentRevision")
        current = next((one for one in revisions if objects.name_of(one) == name), None)
        return current or update, update, collisions

    def _update_revision(self, revisions: list[objects.Object], collisions: int) -> objects.Object:
        number = histories.next_number(revisions)
        hashed = hashes.revision_hash(histories.data_of(self.spec["template"]), collisions)
        labels = {**objects.labels_of(self.spec["template"]), HASH_LABEL: hashed}
        wanted = histories.build(self.owner, number, hashed, labels)
        if objects.annotations_of(self.owner):
            wanted["metadata"]["annotations"] = dict(objects.annotations_of(self.owner))
        equal = histories.find_equal(revisions, wanted)
        if equal and equal[-1] is revisions[-1]:
            return equal[-1]
        if equal:
            return histories.renumber(self.cluster, equal[-1], number)
        made = histories.put(self.cluster, self.owner, wanted)
        if made is None:
            raise statuses.ConflictError(f"the revision name {wanted['metadata']['name']} is taken")
        return made

    def _clean_history(
        self, revisions: list[objects.Object], current: objects.Object, update: objects.Object
    ) -> None:
        limit = int(self.spec.get("revisionHistoryLimit", 10))
        live = {objects.name_of(current), objects.name_of(update)}
        live |= {statefulpods.revision_of(pod) for pod in self.pods}
        old = [one for one in revisions if objects.name_of(one) not in live]
        for one in old[: max(0, len(old) - limit)]:
            self.cluster.delete(histories.REF, objects.namespace_of(one), objects.name_of(one))

    # ------------------------------------------------------------------ the step itself

    def _step(self, current: objects.Object, update: objects.Object) -> None:
        first = self._first()
        wanted = int(self.spec.get("replicas", 1))
        numbers = range(first, first + wanted)
        by_number = {statefulpods.ordinal_of(self.owner, pod): pod for pod in self.pods}
        replicas: list[objects.Object] = []
        for number in numbers:
            known = by_number.get(number)
            replicas.append(known if known is not None else self._build(number, current, update))
        condemned = [
            pod for number, pod in sorted(by_number.items(), key=lambda pair: -(pair[0] or 0))
            if number not in numbers
        ]  # fmt: skip
        if self.owner["metadata"].get("deletionTimestamp"):
            return
        ordered = self.spec.get("podManagementPolicy", "OrderedReady") != "Parallel"
        for pod in replicas:
            if self._tend(pod, ordered=ordered) and ordered:
                return
        for pod in condemned:
            self.work.keep_claims(pod)
        ill = [pod for pod in (*replicas, *reversed(condemned)) if self._is_unavailable(pod)]
        for pod in condemned:
            if self._remove(pod, ill[0] if ill else None, ordered=ordered) and ordered:
                return
        self._update(replicas, update)

    def _build(
        self, number: int, current: objects.Object, update: objects.Object
    ) -> objects.Object:
        """Build a missing pod, from the current revision below the partition."""
        strategy = self.spec.get("updateStrategy") or {}
        rolling = strategy.get("type", "RollingUpdate") == "RollingUpdate"
        partition = (strategy.get("rollingUpdate") or {}).get("partition")
        old = int((self.owner.get("status") or {}).get("currentReplicas") or 0)
        below = number < self._first() + (old if partition is None else int(partition))
        revision = current if rolling and below else update
        return statefulpods.build(self.owner, number, revision)

    def _tend(self, pod: objects.Object, *, ordered: bool) -> bool:
        """Make, remake or keep a wanted pod; say whether those after it have to wait."""
        leaving = pods.is_terminating(pod)
        if pods.is_over(pod):
            if not leaving:
                self.work.delete(pod)
            return True
        if not statefulpods.exists(pod):
            if not self.work.has_stale_claim(pod):
                self.work.create(pod)
            return True
        if pods.phase_of(pod) == "Pending":
            self.work.complete_claims(pod)
        if ordered and (leaving or not self._is_up(pod) or not self._is_available(pod)):
            return True
        self.work.keep(pod)
        return False

    def _remove(
        self, pod: objects.Object, first_ill: objects.Object | None, *, ordered: bool
    ) -> bool:
        """Delete a surplus pod, if it is its turn; say whether the others have to wait."""
        if pods.is_terminating(pod):
            return True
        if ordered and pod is not first_ill and not (self._is_up(pod) and self._is_available(pod)):
            return True
        self.work.delete(pod)
        return True

    def _update(self, replicas: list[objects.Object], update: objects.Object) -> None:
        """Replace the highest pod that is not up to date, once those above it are available."""
        strategy = self.spec.get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") == "OnDelete":
            return
        lowest = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
        for pod in reversed(replicas[lowest:]):
            fresh = statefulpods.revision_of(pod) == objects.name_of(update)
            if not fresh and not pods.is_terminating(pod):
                self.work.delete(pod)
                self.status["currentReplicas"] -= 1
                return
            if self._is_unavailable(pod):
                return

    def _first(self) -> int:
        return int((self.spec.get("ordinals") or {}).get("start") or 0)

    def _is_up(self, pod: objects.Object) -> bool:
        return pods.phase_of(pod) == "Running" and pods.is_ready(pod)

    def _is_unavailable(self, pod: objects.Object) -> bool:
        return not self._is_available(pod) or pods.is_terminating(pod)

    def _is_available(self, pod: objects.Object) -> bool:
        min_ready_s = int(self.spec.get("minReadySeconds") or 0)
        return pods.is_available(pod, min_ready_s, self.cluster.now())

    # ------------------------------------------------------------------ status

    def _begin_status(
        self, current: objects.Object, update: objects.Object, collisions: int
    ) -> objects.Object:
        now = self.cluster.now()
        min_ready_s = int(self.spec.get("minReadySeconds") or 0)
        made = [pod for pod in self.pods if pods.phase_of(pod)]
        up = [pod for pod in self.pods if self._is_up(pod)]
        kept = [pod for pod in made if not pods.is_terminating(pod)]
        return {
            "replicas": len(made),
            "readyReplicas": len(up),
            "availableReplicas":
                sum(1 for pod in up if pods.is_available(pod, min_ready_s, now)),
            "currentReplicas": sum(
                1 for pod in kept if statefulpods.revision_of(pod) == objects.name_of(current)
            ),
            "updatedReplicas": sum(
                1 for pod in kept if statefulpods.revision_of(pod) == objects.name_of(update)
            ),
            "collisionCount": collisions,
        }  # fmt: skip

    def _write_status(self, current: objects.Object, update: objects.Object) -> None:
        old: objects.Object = self.owner.get("status") or {}
        counts = self.status
        current_name, update_name = objects.name_of(current), objects.name_of(update)
        if self._is_complete(counts, current_name, update_name):
            current_name = update_name
            counts["currentReplicas"] = counts["updatedReplicas"]
        status = objects.copy(old)
        status["observedGeneration"] = self.owner["metadata"].get("generation", 0)
        status["replicas"] = counts["replicas"]
        status["availableReplicas"] = counts["availableReplicas"]
        conditions.put_counts(status, {
            name: counts[name] for name in ("readyReplicas", "currentReplicas", "updatedReplicas")
        })  # fmt: skip
        status["currentRevision"] = current_name
        status["updateRevision"] = update_name
        status["collisionCount"] = counts["collisionCount"]
        if status != old:
            self.owner["status"] = status
            self.cluster.update_status(REF, self.owner)

    def _is_complete(self, counts: objects.Object, current: str, update: str) -> bool:
        strategy = self.spec.get("updateStrategy") or {}
        return bool(
            strategy.get("type", "RollingUpdate") == "RollingUpdate"
            and current != update
            and counts["updatedReplicas"]
            == counts["readyReplicas"]
            == counts["replicas"]
            == int(self.spec.get("replicas", 1))
        )

    def _next_check(self) -> float | None:
        min_ready_s = int(self.spec.get("minReadySeconds") or 0)
        now = self.cluster.now()
        waits = (pods.available_in_s(pod, min_ready_s, now) for pod in self.pods)
        return min((wait for wait in waits if wait), default=None)


def _selector(owner: objects.Object) -> selectors.LabelSelector:
    raw = owner["spec"].get("selector") or {}
    return selectors.from_label_selector(raw)
