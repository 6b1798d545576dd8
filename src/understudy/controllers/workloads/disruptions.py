"""PodDisruptionBudgets: how many pods may be evicted now. Source: pkg/controller/disruption."""

from __future__ import annotations

import datetime as dt
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.workloads import claims, conditions, pods, rollouts, scales
from understudy.kube import budgets, goformats, objects, selectors, statuses

REF: Final = "poddisruptionbudgets.policy"
DISRUPTED_S: Final = 120.0
"""An evicted pod that is not deleted within two minutes counts as healthy again, and so does one
that was said to be a disruption's target."""
TARGETED: Final = "DisruptionTarget"
POD: Final = "pod"
"""First part of the keys of pods that may have been called a disruption's target for nothing."""


class UncountedError(Exception):
    """How many pods there should be cannot be told."""


class DisruptionBudgets:
    """Reconciles PodDisruptionBudgets."""

    name = "disruption-controller"
    watched = (REF, "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "disruption-controller")
        self.recorder = recorders.Recorder(self.cluster, "controllermanager")
        self._listed: dict[reactor.Key, frozenset[str]] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == REF:
            queue.add(change.key)
            return
        for budget in self.cluster.each(REF, change.entry.namespace):
            if _selector(budget).matches(change.entry.labels):
                queue.add(clusters.key_of(budget))
        if not change.deleted and TARGETED.encode() in change.entry.encoded:
            queue.add((POD, *change.key))

    def reconcile(self, key: reactor.Key) -> float | reactor.Idle | None:
        if len(key) > 2:
            return self._forget_target(key[1], key[2])
        budget = self.cluster.find(REF, *key)
        if budget is None:
            self._listed.pop(key, None)
            return None
        try:
            return self._count(budget)
        except UncountedError as error:
            self._fail_safe(budget, str(error))
            return None

    def _count(self, budget: objects.Object) -> float | None:
        selector = _selector(budget)
        found = [
            self.cluster.parsed.load(entry)
            for entry in self.cluster.entries("pods", objects.namespace_of(budget))
            if selector.matches(entry.labels)
        ]
        if not found:
            self.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        expected, desired = self._expected(budget, found)
        disrupted, again_s = self._disrupted(budget, found)
        healthy = sum(
            1 for pod in found
            if pods.is_ready(pod) and not pods.is_terminating(pod)
            and objects.name_of(pod) not in disrupted
        )  # fmt: skip
        self._write(budget, healthy, desired, expected, disrupted)
        return again_s

    def _expected(self, budget: objects.Object, found: list[objects.Object]) -> tuple[int, int]:
        """Return how many pods there should be, and how many of them must be healthy.

        Raises:
            UncountedError: That is a share of what a controller wants which nobody can tell.
        """
        spec = budget["spec"]
        most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
        if most is None and not isinstance(least, str):
            return (0, 0) if least is None else (len(found), int(least))
        try:
            expected = self._scale(budget, found)
        except UncountedError as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            raise
        if most is not None:
            return expected, max(0, expected - rollouts.scaled(most, expected, up=True))
        return expected, rollouts.scaled(least, expected, up=True)

    def _scale(self, budget: objects.Object, found: list[objects.Object]) -> int:
        """Return the sum of what the pods' controllers want, each counted once."""
        wanted: dict[str, int] = {}
        unmanaged = False
        for pod in found:
            reference = claims.controller_of(pod)
            if reference is None:
                unmanaged = True
            elif str(reference.get("uid")) not in wanted:
                uid, replicas = self._wanted_by(reference, pod)
                wanted[uid] = replicas
        if unmanaged:
            text = (
                "Pods selected by this PodDisruptionBudget (selector: "
                f"{goformats.label_selector(budget['spec'].get('selector'))}) were found to be "
                "unmanaged. As a result, the status of the PDB cannot be calculated correctly, "
                "which may result in undefined behavior. To account for these pods please set "
                '".spec.minAvailable" field of the PDB to an integer value.'
            )
            self.recorder.event(budget, "Warning", "UnmanagedPods", text)
        return sum(wanted.values())

    def _wanted_by(self, reference: objects.Object, pod: objects.Object) -> tuple[str, int]:
        """Return who decides about a pod's siblings, a Deployment rather than its ReplicaSet."""
        namespace = objects.namespace_of(pod)
        owner = self._owner(reference, namespace)
        above = claims.controller_of(owner) if owner is not None else None
        if above is not None and above.get("kind") == "Deployment":
            owner = self._owner(above, namespace)
        if owner is None:
            raise UncountedError(f'found no controllers for pod "{objects.name_of(pod)}"')
        return objects.uid_of(owner), int(objects.lookup(owner, ("spec", "replicas")) or 0)

    def _owner(self, reference: objects.Object, namespace: str) -> objects.Object | None:
        """Return the scale of a controller with its own owners, None if it is gone."""
        api_version, kind = str(reference.get("apiVersion")), str(reference.get("kind"))
        resource = self.cluster.resource_of(api_version, kind)
        if resource is None:
            raise UncountedError(f'no matches for kind "{kind}" in version "{api_version}"')
        if not scales.has_scale(resource):
            what = resource.group_resource
            raise UncountedError(f"{what} does not implement the scale subresource")
        name = str(reference.get("name"))
        owner = self.cluster.peek(str(resource.storage), namespace, name)
        if owner is None or objects.uid_of(owner) != reference.get("uid"):
            return None
        try:
            scale = scales.get(self.cluster, resource, namespace, name)
        except statuses.ApiError as error:
            raise UncountedError(error.message) from error
        return {**scale, "metadata": objects.metadata(owner)}

    def _forget_target(self, namespace: str, name: str) -> reactor.Idle | None:
        """Take back, after two minutes, that a pod which nobody deletes was to be disrupted."""
        pod = self.cluster.find("pods", namespace, name)
        if pod is None or not pods.is_active(pod):
            return None
        target = pods.condition_of(pod, TARGETED)
        if target is None or target.get("status") != "True":
            return None
        if target.get("reason") == "TerminationByKubelet":
            return None
        ends = pods.parse_time(target["lastTransitionTime"]) + dt.timedelta(seconds=DISRUPTED_S)
        left_s = (ends - self.cluster.now()).total_seconds()
        if left_s > 0:
            return reactor.Idle(left_s)
        cleared = conditions.make(TARGETED, "False", "", "", self.cluster.stamp())
        seen = {"observedGeneration": pod["metadata"].get("generation", 1), "lastProbeTime": None}
        listed = [
            {**cleared, **seen} if one is target else one for one in pod["status"]["conditions"]
        ]
        pod["status"]["conditions"] = listed
        self.cluster.update_status("pods", pod)
        return None

    def _disrupted(
        self, budget: objects.Object, found: list[objects.Object]
    ) -> tuple[dict[str, str], float | None]:
        """Return the evicted pods that are still to be deleted, and when to look again.

        An eviction lists a pod and then deletes it; here both have happened when the budget is
        looked at. The first look counts the pod as listed, as one between the two would.
        """
        known = (budget.get("status") or {}).get("disruptedPods") or {}
        seen = self._listed.pop(clusters.key_of(budget), frozenset())
        kept: dict[str, str] = {}
        again_s = None
        for pod in found:
            name = objects.name_of(pod)
            since = known.get(name)
            if since is None or (pods.is_terminating(pod) and name in seen):
                continue
            ends = pods.parse_time(since) + dt.timedelta(seconds=DISRUPTED_S)
            left_s = (ends - self.cluster.now()).total_seconds()
            if left_s <= 0:
                self._complain(budget, pod)
                continue
            kept[name] = since
            left_s = 0.0 if pods.is_terminating(pod) else left_s
            again_s = left_s if again_s is None else min(again_s, left_s)
        if kept:
            self._listed[clusters.key_of(budget)] = frozenset(kept)
        return kept, again_s

    def _complain(self, budget: objects.Object, pod: objects.Object) -> None:
        place = objects.namespace_of(budget)
        text = f"Pod was expected by PDB {place}/{place} to be deleted but it wasn't"
        self.recorder.event(pod, "Warning", "NotDeleted", text)

    def _write(
        self,
        budget: objects.Object,
        healthy: int,
        desired: int,
        expected: int,
        disrupted: dict[str, str],
    ) -> None:
        old: objects.Object = budget.get("status") or {}
        status = objects.copy(old)
        allowed = max(0, healthy - desired) if expected > 0 else 0
        status |= {
            "observedGeneration": budget["metadata"].get("generation", 0),
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
        }
        if disrupted:
            status["disruptedPods"] = disrupted
        else:
            status.pop("disruptedPods", None)
        budgets.note_allowed(status, self.cluster.stamp())
        if status != old:
            budget["status"] = status
            self.cluster.update_status(REF, budget)

    def _fail_safe(self, budget: objects.Object, why: str) -> None:
        """Allow no eviction while it cannot be told how many pods there should be."""
        old: objects.Object = budget.get("status") or {}
        status = {**objects.copy(old), "disruptionsAllowed": 0}
        budgets.note(status, "False", budgets.SYNC_FAILED, why, self.cluster.stamp())
        if status != old:
            budget["status"] = status
            self.cluster.update_status(REF, budget)


def _selector(budget: objects.Object) -> selectors.LabelSelector:
    raw = budget["spec"].get("selector")
    return selectors.NOTHING if raw is None else selectors.from_label_selector(raw)
