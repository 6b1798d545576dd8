"""DaemonSets: one pod on each node that will have it.

Source: pkg/controller/daemon. Events come from `daemonset-controller`, writes from
`daemon-set-controller`, as in the original.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.scheduling import matching
from understudy.controllers.workloads import (
    claims,
    conditions,
    hashes,
    histories,
    pods,
    replicasets,
    rollouts,
)
from understudy.kube import objects, selectors, statuses

REF: Final = "daemonsets.apps"
HASH_LABEL: Final = "controller-revision-hash"
GENERATION_LABEL: Final = "pod-template-generation"
GENERATION: Final = "deprecated.daemonset.template.generation"
BURST_MAX: Final = 250
TOLERATED: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
HOST_NETWORK_TOLERATED: Final = ("node.kubernetes.io/network-unavailable", "NoSchedule")


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a node should have a pod, and whether one that is there may go on."""

    should_run: bool
    may_stay: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The pods of a node that are not on their way out: `crowded` if more than one of either."""

    new: objects.Object | None = None
    old: objects.Object | None = None
    crowded: bool = False


class DaemonSets:
    """Reconciles DaemonSets."""

    name = "daemonset-controller"
    watched = (REF, "pods", "nodes", histories.REF)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "daemon-set-controller")
        self.recorder = recorders.Recorder(self.cluster, "daemonset-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == REF:
            queue.add(change.key)
        elif change.ref == "pods":
            replicasets.observe_pod(
                self.cluster, change, queue, "DaemonSet", "apps", REF, _selector
            )
        elif change.ref == "nodes":
            if _matters(change):
                self._observe_node(change.object, queue)
        elif change.deleted:
            key = claims.controller_key(change.object, "DaemonSet", "apps")
            if key is not None:
                queue.add(key)

    def _observe_node(self, node: objects.Object, queue: reactor.Queue) -> None:
        """Queue those who want a pod on the node, or want theirs away, or may be counted anew."""
        name = objects.name_of(node)
        for owner in self.cluster.each(REF):
            fit = fit_of(owner, node)
            is_there = any(
                (pod.get("spec") or {}).get("nodeName") == name
                for pod in self.cluster.indexes.controlled(
                    "pods", objects.namespace_of(owner), objects.uid_of(owner)
                )
            )
            misplaced = rollouts.status_count(owner, "numberMisscheduled")
            leaves = is_there and (not fit.may_stay or misplaced > 0)
            if leaves or (fit.should_run and not is_there):
                queue.add(clusters.key_of(owner))

    def reconcile(self, key: reactor.Key) -> float | None:
        owner = self.cluster.find(REF, *key)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return None
        selector = _selector(owner)
        if selector.empty:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self.recorder.event(owner, "Warning", "SelectingAll", text)
            return None
        return Step(self.cluster, self.recorder, owner, selector).run()


class Step:
    """One reconcile of one DaemonSet."""

    def __init__(
        self,
        cluster: clusters.Cluster,
        recorder: recorders.Recorder,
        owner: objects.Object,
        selector: selectors.LabelSelector,
    ) -> None:
        self.cluster = cluster
        self.recorder = recorder
        self.owner = owner
        self.spec = owner["spec"]
        self.selector = selector
        self.nodes = [objects.copy(node) for node in cluster.each("nodes")]
        self.made: dict[str, objects.Object] = {}

    def run(self) -> float | None:
        """Do the next step; return seconds until a pod becomes available, if one will."""
        revisions = histories.ordered(
            claims.claim(self.cluster, histories.REF, self.owner, self.selector)
        )
        current, old = self._current_revision(revisions)
        hashed = objects.labels_of(current)[HASH_LABEL]
        by_node = self._pods_by_node()
        failure = self._manage(by_node, hashed)
        if failure is None:
            strategy = self.spec.get("updateStrategy") or {}
            if strategy.get("type", "RollingUpdate") == "RollingUpdate":
                failure = self._roll(self._pods_by_node(), hashed)
        if failure is None:
            self._clean_history(old, hashed)
        now_by_node = self._pods_by_node()
        for node, pod in self.made.items():
            now_by_node.setdefault(node, []).append(pod)
        self._write_status(now_by_node, hashed)
        if failure is not None:
            raise failure
        return self._next_check(now_by_node)

    # ------------------------------------------------------------------ history

    def _current_revision(
        self, revisions: list[objects.Object]
    ) -> tuple[objects.Object, list[objects.Object]]:
        collisions = (self.owner.get("status") or {}).get("collisionCount")
        hashed = hashes.template_hash(self.spec["template"], collisions)
        labels = {**objects.labels_of(self.spec["template"]), HASH_LABEL: hashed}
        wanted = histories.build(self.owner, 0, hashed, labels)
        if objects.annotations_of(self.owner):
            wanted["metadata"]["annotations"] = dict(objects.annotations_of(self.owner))
        labelled = [self._labelled(one) for one in revisions]
        equal = histories.find_equal(labelled, wanted)
        old = [one for one in labelled if one not in equal]
        number = histories.next_number(old)
        if not equal:
            made = histories.put(self.cluster, self.owner, {**wanted, "revision": number})
            return (self._count_collision() if made is None else made), old
        current = equal[-1]
        for double in equal[:-1]:
            self._replace(double, current)
        if histories.number_of(current) < number:
            current = histories.renumber(self.cluster, current, number)
        return current, old

    def _labelled(self, revision: objects.Object) -> objects.Object:
        """Return a revision with the label that pods name it by: its name if it has none yet."""
        if HASH_LABEL in objects.labels_of(revision):
            return revision
        changed = objects.copy(revision)
        changed["metadata"].setdefault("labels", {})[HASH_LABEL] = objects.name_of(revision)
        return self.cluster.update(histories.REF, changed)

    def _replace(self, double: objects.Object, kept: objects.Object) -> None:
        """Let the pods of one revision be those of another that says the same; delete the one."""
        hashed = objects.labels_of(kept)[HASH_LABEL]
        doubled = objects.labels_of(double)[HASH_LABEL]
        for found in self._pods_by_node().values():
            for pod in found:
                if hashed != doubled == objects.labels_of(pod).get(HASH_LABEL):
                    changed = objects.copy(pod)
                    changed["metadata"]["labels"][HASH_LABEL] = hashed
                    self.cluster.update("pods", changed)
        namespace, name = clusters.key_of(double)
        self.cluster.delete(histories.REF, namespace, name)

    def _count_collision(self) -> objects.Object:
        status = self.owner.setdefault("status", {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        self.cluster.update_status(REF, self.owner)
        raise statuses.ConflictError("the name of the next revision is taken by another one")

    def _clean_history(self, old: list[objects.Object], hashed: str) -> None:
        limit = int(self.spec.get("revisionHistoryLimit", 10))
        live = {hashed} | {
            objects.labels_of(pod).get(HASH_LABEL, "")
            for found in self._pods_by_node().values()
            for pod in found
        }
        dead = [one for one in old if objects.labels_of(one).get(HASH_LABEL) not in live]
        for one in dead[: max(0, len(old) - limit)]:
            self.cluster.delete(histories.REF, objects.namespace_of(one), objects.name_of(one))

    # ------------------------------------------------------------------ pods

    def _pods_by_node(self) -> dict[str, list[objects.Object]]:
        found: dict[str, list[objects.Object]] = {}
        for pod in claims.claim(self.cluster, "pods", self.owner, self.selector):
            if pods.is_over(pod) and pods.is_terminating(pod):
                continue  # on its way out of the store: its successor need not wait
            node = pod["spec"].get("nodeName")
            if not node:
                only = matching.only_nodes(pod)
                node = next(iter(only), "") if only else ""
            if node:
                found.setdefault(str(node), []).append(pod)
        return found

    def _manage(
        self, by_node: dict[str, list[objects.Object]], hashed: str
    ) -> statuses.ApiError | None:
        """Bring each node to one pod, or none."""
        needing: list[str] = []
        surplus: list[objects.Object] = []
        for node in self.nodes:
            needs, extra = self._judge(node, by_node.get(objects.name_of(node)), hashed)
            if needs:
                needing.append(objects.name_of(node))
            surplus += extra
        known = {objects.name_of(node) for node in self.nodes}
        for name, found in sorted(by_node.items()):
            if name not in known:
                surplus += [pod for pod in found if not pod["spec"].get("nodeName")]
        return self._sync(needing, surplus, hashed)

    def _judge(
        self, node: objects.Object, found: list[objects.Object] | None, hashed: str
    ) -> tuple[bool, list[objects.Object]]:
        """Say whether a node needs a pod, and which of its pods have to go."""
        fit = self._fit(node)
        if found is None:
            return fit.should_run, []
        staying = [pod for pod in found if not pods.is_terminating(pod)]
        if not fit.may_stay:
            return False, staying
        gone = [pod for pod in staying if pods.is_over(pod)]
        for pod in gone:
            self._tell_over(node, pod)
        running = sorted((pod for pod in staying if not pods.is_over(pod)), key=_age)
        if not self._surges():
            return False, gone + running[1:]
        if len(running) <= 1:
            return fit.should_run and not running, gone
        return False, gone + self._surplus(running, hashed)

    def _surplus(self, running: list[objects.Object], hashed: str) -> list[objects.Object]:
        """Return what has to go of a node's pods: an old one may wait for one new one's success."""
        new = [pod for pod in running if objects.labels_of(pod).get(HASH_LABEL) == hashed]
        old = [pod for pod in running if pod not in new]
        surplus = new[1:] + old[1:]
        if new and old and (not pods.is_ready(old[0]) or self._is_available(new[0])):
            surplus.append(old[0])
        return surplus

    def _tell_over(self, node: objects.Object, pod: objects.Object) -> None:
        place = f"{objects.namespace_of(pod)}/{objects.name_of(pod)} on node"
        name = objects.name_of(node)
        if pods.phase_of(pod) == "Failed":
            text = f"Found failed daemon pod {place} {name}, will try to kill it"
            self.recorder.event(self.owner, "Warning", "FailedDaemonPod", text)
        else:
            text = f"Found succeeded daemon pod {place} {name}, will try to delete it"
            self.recorder.event(self.owner, "Normal", "SucceededDaemonPod", text)

    def _sync(
        self, needing: list[str], surplus: list[objects.Object], hashed: str
    ) -> statuses.ApiError | None:
        failure: statuses.ApiError | None = None
        for name in needing[:BURST_MAX]:
            pod = self._build(name, hashed)
            refused = replicasets.create_pod(self.cluster, self.recorder, self.owner, pod)
            if refused is not None:
                failure = None if replicasets.is_leaving(refused) else refused
                break
            self.made[name] = pod
        for pod in surplus[:BURST_MAX]:
            failure = (
                replicasets.delete_pod(self.cluster, self.recorder, self.owner, pod) or failure
            )
        return failure

    def _build(self, node: str, hashed: str) -> objects.Object:
        pod = pods.from_template(
            self.spec["template"],
            objects.namespace_of(self.owner),
            clusters.owner_reference(self.owner),
        )
        meta, spec = pod["metadata"], pod["spec"]
        meta["generateName"] = pods.name_prefix(objects.name_of(self.owner))
        meta["labels"] = {**(meta.get("labels") or {}), HASH_LABEL: hashed}
        generation = objects.annotations_of(self.owner).get(GENERATION)
        if generation:
            meta["labels"][GENERATION_LABEL] = generation
        spec["affinity"] = _tied_to(spec.get("affinity"), node)
        spec["tolerations"] = _with_own_tolerations(spec)
        return pod

    def _fit(self, node: objects.Object) -> Fit:
        return fit_of(self.owner, node)

    # ------------------------------------------------------------------ rolling update

    def _bound(self, field: str, desired: int) -> int:
        rolling = (self.spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
        return rollouts.scaled(rolling.get(field) or 0, desired, up=True)

    def _surges(self) -> bool:
        """Whether an old pod and its successor may stand side by side."""
        return self._bound("maxSurge", 100) > 0

    def _roll(
        self, by_node: dict[str, list[objects.Object]], hashed: str
    ) -> statuses.ApiError | None:
        running = {objects.name_of(node) for node in self.nodes if self._fit(node).should_run}
        on_node = {name: self._split(found, hashed) for name, found in sorted(by_node.items())}
        on_node |= {name: Placed() for name in sorted(running - by_node.keys())}
        if self._surges():
            return self._roll_with_surge(on_node, running, hashed)
        allowed = self._bound("maxUnavailable", len(running))
        if running and allowed == 0:
            allowed = 1
        unavailable = 0
        useless: list[objects.Object] = []
        candidates: list[objects.Object] = []
        for found in on_node.values():
            if found.crowded or (found.new is None) == (found.old is None):
                unavailable += 1  # for `_manage` to put right
            elif found.old is None:
                unavailable += not self._is_available(found.new)
            elif not self._is_available(found.old):
                useless.append(found.old)
                unavailable += 1
            else:
                candidates.append(found.old)
        # Pods that are of no use go at once; they are unavailable anyway.
        chosen = useless + candidates[: max(0, allowed - unavailable)]
        return self._sync([], chosen, hashed)

    def _roll_with_surge(
        self, on_node: dict[str, Placed], running: set[str], hashed: str
    ) -> statuses.ApiError | None:
        at_once: list[str] = []
        candidates: list[str] = []
        gone: list[objects.Object] = []
        misplaced: list[objects.Object] = []
        surging = available = 0
        for name, found in on_node.items():
            if found.crowded:
                surging += 1
                continue
            available += self._is_available(found.old or found.new)
            if found.old is None:
                continue
            if found.new is not None:
                if self._is_available(found.new):
                    gone.append(found.old)
                else:
                    surging += 1
            elif not self._is_available(found.old):
                if name in running:
                    at_once.append(name)
                else:
                    gone.append(found.old)
            elif name in running:
                candidates.append(name)
            else:
                misplaced.append(found.old)
        # Where pods may no longer be, they stay until there are enough where they should be.
        gone += misplaced[: max(0, available - len(running))]
        more = max(0, self._bound("maxSurge", len(running)) - surging)
        return self._sync(at_once + candidates[:more], gone, hashed)

    def _split(self, found: list[objects.Object], hashed: str) -> Placed:
        """Tell a node's up to date pod from its other one; those on their way out do not count."""
        staying = [pod for pod in found if not pods.is_terminating(pod)]
        new = [pod for pod in staying if self._is_updated(pod, hashed)]
        old = [pod for pod in staying if pod not in new]
        if len(new) > 1 or len(old) > 1:
            return Placed(crowded=True)
        return Placed(new=next(iter(new), None), old=next(iter(old), None))

    def _is_updated(self, pod: objects.Object, hashed: str) -> bool:
        generation = objects.annotations_of(self.owner).get(GENERATION)
        labels = objects.labels_of(pod)
        return labels.get(HASH_LABEL) == hashed or (
            generation is not None and labels.get(GENERATION_LABEL) == generation
        )

    def _is_available(self, pod: objects.Object | None) -> bool:
        min_ready_s = int(self.spec.get("minReadySeconds") or 0)
        return pod is not None and pods.is_available(pod, min_ready_s, self.cluster.now())

    # ------------------------------------------------------------------ status

    def _write_status(self, by_node: dict[str, list[objects.Object]], hashed: str) -> None:
        desired = current = misplaced = ready = updated = available = 0
        for node in self.nodes:
            found = by_node.get(objects.name_of(node), [])
            if not self._fit(node).should_run:
                misplaced += 1 if found else 0
                continue
            desired += 1
            if not found:
                continue
            current += 1
            pod = min(found, key=_age)
            if pods.is_ready(pod):
                ready += 1
                min_ready_s = int(self.spec.get("minReadySeconds") or 0)
                available += pods.is_available(pod, min_ready_s, self.cluster.now())
            updated += self._is_updated(pod, hashed)
        old: objects.Object = self.owner.get("status") or {}
        status = objects.copy(old)
        status |= {
            "currentNumberScheduled": current,
            "numberMisscheduled": misplaced,
            "desiredNumberScheduled": desired,
            "numberReady": ready,
            "observedGeneration": self.owner["metadata"].get("generation", 0),
        }
        conditions.put_counts(status, {
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "numberUnavailable": desired - available,
        })  # fmt: skip
        if status != old:
            self.owner["status"] = status
            self.cluster.update_status(REF, self.owner)

    def _next_check(self, by_node: dict[str, list[objects.Object]]) -> float | None:
        min_ready_s = int(self.spec.get("minReadySeconds") or 0)
        now = self.cluster.now()
        waits = (pods.available_in_s(pod, min_ready_s, now)
                 for found in by_node.values() for pod in found)  # fmt: skip
        return min((wait for wait in waits if wait), default=None)


def fit_of(owner: objects.Object, node: objects.Object) -> Fit:
    """Judge a node by its name, labels and taints."""
    name = objects.name_of(node)
    template = owner["spec"]["template"]
    probe: objects.Object = {"metadata": {}, "spec": template.get("spec") or {}}
    if probe["spec"].get("nodeName") and probe["spec"]["nodeName"] != name:
        return Fit(should_run=False, may_stay=False)
    if not matching.matches_node(probe, node):
        return Fit(should_run=False, may_stay=False)
    taints = (node.get("spec") or {}).get("taints") or []
    accepted = _with_own_tolerations(probe["spec"])
    blocked = matching.untolerated(taints, accepted, ("NoExecute", "NoSchedule"))
    if blocked is not None:
        expelled = matching.untolerated(taints, accepted, ("NoExecute",))
        return Fit(should_run=False, may_stay=expelled is None)
    return Fit(should_run=True, may_stay=True)


def _with_own_tolerations(spec: objects.Object) -> list[objects.Object]:
    wanted = [*TOLERATED, *([HOST_NETWORK_TOLERATED] if spec.get("hostNetwork") else [])]
    found: list[objects.Object] = objects.copy(spec.get("tolerations") or [])
    for key, effect in wanted:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        if toleration not in found:
            found.append(toleration)
    return found


def _tied_to(affinity: objects.Object | None, node: str) -> objects.Object:
    """Return an affinity that takes this one node only, by its name; other terms go."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    tied: objects.Object = objects.copy(affinity or {})
    tied.setdefault("nodeAffinity", {})["requiredDuringSchedulingIgnoredDuringExecution"] = {
        "nodeSelectorTerms": [{"matchFields": [field]}]
    }
    return tied


def _age(pod: objects.Object) -> tuple[bool, str, str]:
    """Order pods: those on a node first, then the oldest."""
    return not pod["spec"].get("nodeName"), pods.creation_of(pod), objects.name_of(pod)


def _matters(change: changes.Change) -> bool:
    """Whether a node changed in what decides about daemon pods."""
    before, now = change.previous, change.object
    if before is None or change.deleted:
        return not change.deleted  # its pods' end will tell
    return (before.get("spec") or {}).get("taints") != (now.get("spec") or {}).get("taints") or (
        objects.labels_of(before) != objects.labels_of(now)
    )


def _selector(owner: objects.Object) -> selectors.LabelSelector:
    raw = owner["spec"].get("selector") or {}
    return selectors.from_label_selector(raw)
