"""The scheduler: binds pods to nodes, and says of those it cannot bind why.

A pod that fits nowhere waits until something changes that may help: a node, a volume, a pod that
goes. Keys are `(namespace, name)`. Source: pkg/scheduler.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.nodes import eviction
from understudy.controllers.scheduling import filters, matching, preemption, requests, volumes
from understudy.controllers.storage import binding
from understudy.controllers.workloads import pods
from understudy.kapi.store import entries
from understudy.kube import identities, objects, selectors, statuses

NAME: Final = "default-scheduler"
_APART: Final = b'"podAntiAffinity":'
_PROMISED: Final = b'"nominatedNodeName":'
VOLUME_CHECK_S: Final = 1.0
"""How often a pod looks whether its volumes are bound by now."""
CLAIMS: Final = "persistentvolumeclaims"
HELPFUL: Final = frozenset({
    "nodes", CLAIMS, "persistentvolumes", "storageclasses.storage.k8s.io",
})  # fmt: skip


class Scheduler:
    """Reconciles pods without a node."""

    name = "kube-scheduler"
    watched = ("pods", *sorted(HELPFUL))

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "scheduler", clusters.SCHEDULER)
        self.recorder = recorders.SeriesRecorder(self.cluster, NAME)
        self._loads: filters.Loads | None = None
        self._apart: set[identities.ObjectKey] = set()
        self._stuck: dict[identities.ObjectKey, frozenset[str]] = {}
        self._promised: dict[identities.ObjectKey, str] | None = None
        self._awaiting: dict[identities.ObjectKey, objects.Object] = {}

    # ------------------------------------------------------------------ observing

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "nodes":
            if _matters(change):
                self._wake(queue, filters.BY_NODES)
            return
        if change.ref != "pods":
            self._observe_volume(change, queue)
            return
        key = change.key
        bound = b'"nodeName":' in change.entry.encoded
        if self._promised is not None:
            self._note_promise(change.entry, bound=bound, deleted=change.deleted)
        if bound:
            if self._loads is not None:
                self._count(change)
            self._observe_bound(change, queue)
            self._stuck.pop(key, None)
        elif change.deleted:
            self._stuck.pop(key, None)
        elif change.type == "ADDED" or _was_edited(change):
            queue.add(key)

    def _observe_volume(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.deleted or not self._stuck:
            return
        if change.ref != CLAIMS:
            self._wake(queue, filters.BY_VOLUMES)
            return
        namespace, name = change.key

        def mounts(pod: objects.Object) -> bool:
            return objects.namespace_of(pod) == namespace and name in volumes.claim_names(pod)

        self._wake(queue, filters.BY_VOLUMES, mounts)

    def _observe_bound(self, change: changes.Change, queue: reactor.Queue) -> None:
        """See whether a pod came to a node or left it; one that is over is as good as gone."""
        if not self._stuck:
            return
        pod, before = change.object, change.previous
        was_there = before is not None and bool(before["spec"].get("nodeName"))
        was_over = before is not None and pods.is_over(before)
        if (change.deleted or pods.is_over(pod)) and not was_over:
            self._wake(queue, filters.BY_PODS)
        elif not was_there or objects.labels_of(before or {}) != objects.labels_of(pod):
            self._wake(
                queue,
                filters.BY_NEIGHBOURS,
                lambda stuck: filters.may_draw(pod, stuck, self._spaces),
            )

    def _count(self, change: changes.Change) -> None:
        assert self._loads is not None, "asked before"
        if change.deleted:
            self._loads.drop(change.key)
            self._apart.discard(change.key)
        else:
            self._loads.put(change.key, change.object)
            if _APART in change.entry.encoded:
                self._apart.add(change.key)

    def _wake(
        self,
        queue: reactor.Queue,
        cause: str,
        helps: Callable[[objects.Object], bool] | None = None,
    ) -> None:
        """Try the pods again that a change of this kind may help."""
        for key in [key for key, causes in self._stuck.items() if cause in causes]:
            pod = self.cluster.peek("pods", *key) if helps is not None else None
            if helps is None or (pod is not None and helps(pod)):
                del self._stuck[key]
                queue.add(key)

    def _known_loads(self) -> filters.Loads:
        if self._loads is None:
            self._loads = filters.Loads()
            for entry in self.cluster.entries("pods"):
                if b'"nodeName":' in entry.encoded:
                    key = identities.ObjectKey(entry.namespace, entry.name)
                    self._loads.put(key, self.cluster.parsed.load(entry))
                    if _APART in entry.encoded:
                        self._apart.add(key)
        return self._loads

    def _note_promise(self, entry: entries.Entry, *, bound: bool, deleted: bool) -> None:
        """Remember which node a pod without one was promised."""
        assert self._promised is not None, "asked before"
        key = identities.ObjectKey(entry.namespace, entry.name)
        if not bound and not deleted and _PROMISED in entry.encoded:
            self._promised[key] = _nominated(self.cluster.parsed.load(entry))
        else:
            self._promised.pop(key, None)

    def _promised_to_others(self, pod: objects.Object, node: str) -> list[objects.Object]:
        """Return the pods without a node that were promised this one and go before `pod`."""
        if self._promised is None:
            self._promised = {}
            for entry in self.cluster.entries("pods"):
                bound = b'"nodeName":' in entry.encoded
                self._note_promise(entry, bound=bound, deleted=False)
        own, least = clusters.key_of(pod), preemption.priority_of(pod)
        promised = [key for key, name in self._promised.items() if name == node and key != own]
        found = (self.cluster.peek("pods", *key) for key in promised)
        return [one for one in found if one is not None and preemption.priority_of(one) >= least]

    # ------------------------------------------------------------------ scheduling

    def reconcile(self, key: reactor.Key) -> float | None:
        pod = self.cluster.peek("pods", *key)
        awaiting = self._awaiting.pop(identities.ObjectKey(*key), None)
        if pod is None and awaiting is not None:
            self._give_up(awaiting)
        if pod is None or not _is_ours(pod):
            return None
        needs = volumes.needs_of(self.cluster, pod)
        nodes = list(self.cluster.each("nodes"))
        nominated = _nominated(pod)
        if nominated and not needs.refusal and self._still_fits(pod, nominated, nodes):
            return self._await_volumes(pod, needs, nominated)
        if not nodes:
            self._refuse(pod, "no nodes available to schedule pods", [filters.BY_NODES])
        elif needs.refusal:
            text = f"0/{len(nodes)} nodes are available: {needs.refusal}. not found"
            self._refuse(pod, text, [filters.BY_VOLUMES])
        else:
            fitting, refusals = self._filter(pod, nodes, needs)
            if fitting:
                return self._place(pod, needs, self._emptiest(pod, fitting))
            helped = [cause for one in refusals.values() for cause in one.helped_by]
            self._preempt(pod, nodes, refusals, helped)
        return None

    def _still_fits(self, pod: objects.Object, name: str, nodes: list[objects.Object]) -> bool:
        """Whether a pod may go to the node it was promised; its volumes are chosen for that one."""
        node = next((one for one in nodes if objects.name_of(one) == name), None)
        if node is None:
            return False
        refusal = filters.check(pod, node, self._load(pod, name))
        placed = self._placed(pod, nodes) if refusal is None else None
        if placed is not None:
            refusal = filters.check_neighbours(pod, node, nodes, placed, self._spaces)
        return refusal is None

    def _load(self, pod: objects.Object, node: str) -> filters.Load:
        """Return what a node's pods use, those included that were promised the room."""
        loads = self._known_loads()
        promised = self._promised_to_others(pod, node)
        if not promised:
            return loads.of(node)
        return filters.load_of([*self._running_on(node), *promised])

    def _running_on(self, node: str) -> list[objects.Object]:
        return [one for one in self.cluster.indexes.pods_on(node) if not pods.is_over(one)]

    def _filter(
        self, pod: objects.Object, nodes: list[objects.Object], needs: volumes.Needs
    ) -> tuple[list[objects.Object], dict[str, filters.Refusal]]:
        only = matching.only_nodes(pod)
        placed = self._placed(pod, nodes)
        held = bool(self._holders(pod, nodes, needs))
        fitting: list[objects.Object] = []
        refusals: dict[str, filters.Refusal] = {}
        for node in nodes:
            name = objects.name_of(node)
            refusal = None
            if only is not None and name not in only:
                refusal = filters.Refusal((filters.EXCLUDED,))
            refusal = refusal or filters.check(pod, node, self._load(pod, name))
            if refusal is None and held:
                causes = (filters.BY_PODS, filters.BY_VOLUMES)
                refusal = filters.Refusal((volumes.IN_USE,), is_final=False, helped_by=causes)
            if refusal is None and (needs.bound or needs.waiting):
                why = volumes.check(self.cluster, needs, node)
                if why:
                    causes = (filters.BY_NODES, filters.BY_VOLUMES)
                    refusal = filters.Refusal((why,), helped_by=causes)
            if refusal is None and placed is not None:
                refusal = filters.check_neighbours(pod, node, nodes, placed, self._spaces)
            if refusal is None:
                fitting.append(node)
            else:
                refusals[name] = refusal
        return fitting, refusals

    def _holders(
        self, pod: objects.Object, nodes: list[objects.Object], needs: volumes.Needs
    ) -> list[objects.Object]:
        """Return the running pods that have a claim which the pod wants for itself."""
        if not needs.alone:
            return []
        running = (one for node in nodes for one in self._running_on(objects.name_of(node)))
        return volumes.in_use(needs, pod, running)

    def _spaces(self, raw: objects.Object) -> set[str]:
        """Return the namespaces that a label selector takes."""
        selector = selectors.from_label_selector(raw)
        found = self.cluster.entries("namespaces")
        return {entry.name for entry in found if selector.matches(entry.labels)}

    def _placed(
        self, pod: objects.Object, nodes: list[objects.Object]
    ) -> list[filters.Placed] | None:
        """Return the running pods if anybody cares where they are."""
        self._known_loads()
        if not self._apart and not filters.asks_for_neighbours(pod):
            return None
        return [
            filters.Placed(other, node)
            for node in nodes
            for other in self._running_on(objects.name_of(node))
        ]

    def _emptiest(self, pod: objects.Object, nodes: list[objects.Object]) -> objects.Object:
        loads = self._known_loads()
        cpu, memory = requests.nominal(pod)

        def fullness(node: objects.Object) -> tuple[float, int, str]:
            room = (node.get("status") or {}).get("allocatable") or {}
            load = loads.of(objects.name_of(node))
            whole_cpu = requests.amount("cpu", room.get("cpu", 0)) or 1
            whole_memory = requests.amount("memory", room.get("memory", 0)) or 1
            share = (load.cpu + cpu) / whole_cpu + (load.memory + memory) / whole_memory
            return (round(share, 9), load.pods, objects.name_of(node))

        return min(nodes, key=fullness)

    # ------------------------------------------------------------------ preemption

    def _preempt(
        self,
        pod: objects.Object,
        nodes: list[objects.Object],
        refusals: dict[str, filters.Refusal],
        helped_by: list[str],
    ) -> None:
        """Make room for a pod at the cost of less important ones, or say why that is no help."""
        on_nominated = self._running_on(_nominated(pod)) if _nominated(pod) else []
        why = preemption.ineligible(pod, on_nominated)
        if why:
            self._refuse(pod, filters.summary(refusals, why), helped_by)
            return
        candidates, useless = self._candidates(pod, nodes, refusals)
        if not candidates:
            helpless = filters.unavailable(useless)
            why = f"0/{len(nodes)} nodes are available: {helpless}."
            self._refuse(pod, filters.summary(refusals, why), helped_by, nominated="")
            return
        chosen = preemption.least(candidates)
        for victim in chosen.victims:
            self._evict(victim, pod, chosen.node)
        for key in [key for key, node in (self._promised or {}).items() if node == chosen.node]:
            other = self.cluster.peek("pods", *key)
            if other is not None and preemption.priority_of(other) < preemption.priority_of(pod):
                self._nominate(other, "")
        self._refuse(pod, filters.summary(refusals), helped_by, nominated=chosen.node)

    def _candidates(
        self,
        pod: objects.Object,
        nodes: list[objects.Object],
        refusals: dict[str, filters.Refusal],
    ) -> tuple[list[preemption.Candidate], list[str]]:
        """Return where sending pods away helps, and for the other nodes why it does not."""
        budgets = list(self.cluster.each("poddisruptionbudgets.policy"))
        placed = self._placed(pod, nodes)
        holders = self._holders(pod, nodes, volumes.needs_of(self.cluster, pod))

        def fits(node: objects.Object, left: Sequence[objects.Object]) -> filters.Refusal | None:
            name = objects.name_of(node)
            load = filters.load_of([*left, *self._promised_to_others(pod, name)])
            refusal = filters.check(pod, node, load)
            there = {objects.uid_of(one) for one in left}
            if refusal is None and any(
                one["spec"]["nodeName"] != name or objects.uid_of(one) in there for one in holders
            ):
                refusal = filters.Refusal((volumes.IN_USE,))
            if refusal is None and placed is not None:
                rest = [
                    one for one in placed
                    if objects.name_of(one.node) != name or objects.uid_of(one.pod) in there
                ]  # fmt: skip
                refusal = filters.check_neighbours(pod, node, nodes, rest, self._spaces)
            return refusal

        candidates: list[preemption.Candidate] = []
        useless: list[str] = []
        for node in nodes:
            name = objects.name_of(node)
            if refusals[name].is_final:
                useless.append(filters.NOT_HELPFUL)
                continue
            found = preemption.consider(pod, node, self._running_on(name), fits, budgets)
            if isinstance(found, preemption.Candidate):
                candidates.append(found)
            else:
                useless += found.reasons
        return candidates, useless

    def _evict(self, victim: objects.Object, pod: objects.Object, node: str) -> None:
        namespace, name = objects.namespace_of(victim), objects.name_of(victim)
        by = (pod.get("spec") or {}).get("schedulerName") or NAME
        why = f"{by}: preempting to accommodate a higher priority pod"
        with contextlib.suppress(statuses.NotFoundError):
            eviction.mark_disrupted(self.cluster, victim, preemption.REASON, why)
            self.cluster.delete("pods", namespace, name, uid=objects.uid_of(victim))
        self.recorder.event(
            victim, "Normal", "Preempted", "Preempting",
            f"Preempted by pod {objects.uid_of(pod)} on node {node}",
        )  # fmt: skip

    def _nominate(self, pod: objects.Object, node: str) -> None:
        body = {"status": {"nominatedNodeName": node or None}}
        namespace, name = objects.namespace_of(pod), objects.name_of(pod)
        with contextlib.suppress(statuses.NotFoundError):
            self.cluster.patch("pods", namespace, name, body, subresource="status")

    # ------------------------------------------------------------------ writing

    def _place(
        self, pod: objects.Object, needs: volumes.Needs, node: objects.Object
    ) -> float | None:
        name = objects.name_of(node)
        if not needs.waiting:
            self._bind(pod, name)
            return None
        self._nominate(pod, name)
        taken: set[str] = set()
        for claim in needs.waiting:
            volume = volumes.find(self.cluster, claim, node, taken)
            if volume is not None:
                taken.add(objects.name_of(volume))
                reserved = objects.copy(volume)
                if binding.reserve(reserved, claim):
                    self.cluster.update("persistentvolumes", reserved)
            else:
                chosen = objects.copy(claim)
                marks = objects.annotations_of(chosen)
                chosen["metadata"]["annotations"] = {**marks, volumes.SELECTED_NODE: name}
                self.cluster.update(CLAIMS, chosen)
        self._awaiting[clusters.key_of(pod)] = pod
        return VOLUME_CHECK_S

    def _await_volumes(self, pod: objects.Object, needs: volumes.Needs, node: str) -> float | None:
        if needs.waiting:
            self._awaiting[clusters.key_of(pod)] = pod
            return VOLUME_CHECK_S
        self._bind(pod, node)
        return None

    def _give_up(self, pod: objects.Object) -> None:
        """Say that a pod went while its volumes were waited for."""
        self.recorder.event(
            pod, "Warning", "FailedScheduling", "Scheduling",
            'running PreBind plugin "VolumeBinding": binding volumes: pod does not exist any '
            f'more: pod "{objects.name_of(pod)}" not found',
        )  # fmt: skip

    def _bind(self, pod: objects.Object, node: str) -> None:
        namespace, name = objects.namespace_of(pod), objects.name_of(pod)
        self.cluster.bind(namespace, name, objects.uid_of(pod), node)
        self.recorder.event(
            pod, "Normal", "Scheduled", "Binding",
            f"Successfully assigned {namespace}/{name} to {node}",
        )  # fmt: skip

    def _refuse(
        self,
        pod: objects.Object,
        message: str,
        helped_by: list[str],
        *,
        nominated: str | None = None,
    ) -> None:
        """Say why a pod has no node; `nominated` is the node it is promised, None for no news."""
        self._stuck[clusters.key_of(pod)] = frozenset(helped_by)
        self.recorder.event(pod, "Warning", "FailedScheduling", "Scheduling", message)
        known = pods.condition_of(pod, "PodScheduled") or {}
        status: objects.Object = {}
        if nominated is not None and nominated != _nominated(pod):
            status["nominatedNodeName"] = nominated or None
        if known.get("reason") != "Unschedulable" or known.get("message") != message:
            stamp = self.cluster.stamp()
            since = known.get("lastTransitionTime") if known.get("status") == "False" else stamp
            condition: objects.Object = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastProbeTime": None,
                "lastTransitionTime": since,
                "observedGeneration": objects.metadata(pod).get("generation"),
            }
            status["conditions"] = [condition]
        if status:
            self.cluster.patch(
                "pods", objects.namespace_of(pod), objects.name_of(pod),
                {"status": status}, subresource="status",
            )  # fmt: skip


def _nominated(pod: objects.Object) -> str:
    return str((pod.get("status") or {}).get("nominatedNodeName") or "")


def _is_ours(pod: objects.Object) -> bool:
    spec = pod.get("spec") or {}
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and (spec.get("schedulerName") or NAME) == NAME
        and not pods.is_terminating(pod)
        and not pods.is_over(pod)
    )


def _was_edited(change: changes.Change) -> bool:
    """Whether somebody changed what decides about scheduling; the scheduler's own notes do not."""
    before = change.previous
    if before is None:
        return True
    now = change.object
    return before.get("spec") != now.get("spec") or (
        objects.labels_of(before) != objects.labels_of(now)
    )


def _matters(change: changes.Change) -> bool:
    """Whether a node changed in what decides about scheduling; heartbeats do not."""
    before, now = change.previous, change.object
    if before is None or change.deleted:
        return True
    room = ("status", "allocatable")
    return (
        before.get("spec") != now.get("spec")
        or objects.labels_of(before) != objects.labels_of(now)
        or objects.lookup(before, room) != objects.lookup(now, room)
    )
