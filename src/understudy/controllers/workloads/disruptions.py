"""PodDisruptionBudgets: how many pods may be evicted now. Source: pkg/controller/disruption."""

from __future__ import annotations

import datetime as dt
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.workloads import claims, conditions, pods, rollouts
from understudy.kube import objects, selectors

REF: Final = "poddisruptionbudgets.policy"
DISRUPTED_S: Final = 120.0
"""An evicted pod that is not deleted within two minutes counts as healthy again."""
SCALED: Final = {
    ("apps", "ReplicaSet"): "replicasets.apps",
    ("apps", "Deployment"): "deployments.apps",
    ("apps", "StatefulSet"): "statefulsets.apps",
    ("", "ReplicationController"): "replicationcontrollers",
}


class DisruptionBudgets:
    """Reconciles PodDisruptionBudgets."""

    name = "disruption-controller"
    watched = (REF, "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "disruption-controller")
        self.recorder = recorders.Recorder(self.cluster, "controllermanager")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == REF:
            queue.add(change.key)
            return
        for budget in self.cluster.each(REF, change.entry.namespace):
            if _selector(budget).matches(change.entry.labels):
                queue.add(clusters.key_of(budget))

    def reconcile(self, key: reactor.Key) -> float | None:
        budget = self.cluster.find(REF, *key)
        if budget is None:
            return None
        selector = _selector(budget)
        found = [
            self.cluster.parsed.load(entry)
            for entry in self.cluster.entries("pods", key[0])
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
        """Return how many pods there should be, and how many of them must be healthy."""
        spec = budget["spec"]
        if spec.get("maxUnavailable") is not None:
            expected = self._scale(found)
            allowed = rollouts.scaled(spec["maxUnavailable"], expected, up=True)
            return expected, max(0, expected - allowed)
        wanted = spec.get("minAvailable")
        if isinstance(wanted, str):
            expected = self._scale(found)
            return expected, rollouts.scaled(wanted, expected, up=True)
        return len(found), int(wanted if wanted is not None else 1)

    def _scale(self, found: list[objects.Object]) -> int:
        """Return the sum of what the pods' controllers want, each counted once."""
        wanted: dict[str, int] = {}
        for pod in found:
            namespace = objects.namespace_of(pod)
            reference = claims.controller_of(pod)
            while reference is not None:
                group = str(reference.get("apiVersion") or "").rpartition("/")[0]
                ref = SCALED.get((group, str(reference.get("kind"))))
                owner = self.cluster.peek(ref, namespace, reference["name"]) if ref else None
                if owner is None:
                    break
                above = claims.controller_of(owner)
                if above is None or above.get("kind") != "Deployment":
                    wanted[objects.uid_of(owner)] = rollouts.replicas(owner)
                    break
                reference = above
        return sum(wanted.values())

    def _disrupted(
        self, budget: objects.Object, found: list[objects.Object]
    ) -> tuple[dict[str, str], float | None]:
        """Return the evicted pods that are still to be deleted, and when to look again."""
        known = (budget.get("status") or {}).get("disruptedPods") or {}
        kept: dict[str, str] = {}
        again_s = None
        for pod in found:
            name = objects.name_of(pod)
            since = known.get(name)
            if since is None or pods.is_terminating(pod):
                continue
            ends = pods.parse_time(since) + dt.timedelta(seconds=DISRUPTED_S)
            left_s = (ends - self.cluster.now()).total_seconds()
            if left_s > 0:
                kept[name] = since
                again_s = left_s if again_s is None else min(again_s, left_s)
        return kept, again_s

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
        generation = budget["metadata"].get("generation", 0)
        status |= {
            "observedGeneration": generation,
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
        }
        if disrupted:
            status["disruptedPods"] = disrupted
        else:
            status.pop("disruptedPods", None)
        value, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
        known = conditions.get(status, "DisruptionAllowed")
        if known is None:
            made = conditions.make("DisruptionAllowed", value, reason, "", self.cluster.stamp())
            made |= {"message": "", "observedGeneration": generation}
            status["conditions"] = [*(status.get("conditions") or ()), made]
        else:
            if known["status"] != value:
                known["lastTransitionTime"] = self.cluster.stamp()
            known |= {"status": value, "reason": reason, "observedGeneration": generation}
        if status != old:
            budget["status"] = status
            self.cluster.update_status(REF, budget)


def _selector(budget: objects.Object) -> selectors.LabelSelector:
    raw = budget["spec"].get("selector")
    return selectors.NOTHING if raw is None else selectors.from_label_selector(raw)
