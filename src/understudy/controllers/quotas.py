"""ResourceQuotas: what is used, counted again when something goes or the limits change.

Usage rises at admission, before an object exists; only this controller lets it fall.
Source: pkg/controller/resourcequota.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, indexes, reactor
from understudy.controllers.workloads import pods
from understudy.kapi.admission import usage
from understudy.kube import identities, objects, quantities

REF: Final = "resourcequotas"
CLAIMS: Final = "persistentvolumeclaims"
RESYNC_S: Final = 300.0
_ALONE: Final = frozenset({"configmaps", "secrets", "replicationcontrollers", "resourcequotas"})


class QuotaUsage:
    """Reconciles ResourceQuotas. Keys are namespace and name."""

    name = "resourcequota-controller"
    watched = (reactor.EVERYTHING,)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "resourcequota-controller")
        self.resync_s = RESYNC_S

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == REF and not change.deleted:
            before, now = change.previous, change.object
            if before is None or _hard(before) != _hard(now):
                queue.add(change.key)
            return
        if change.ref in indexes.UNOWNED_REFS or not change.entry.namespace:
            return
        quotas = self.cluster.entries(REF, change.entry.namespace)
        if quotas and _gives_back(change):
            for entry in quotas:
                queue.add((entry.namespace, entry.name))

    def reconcile(self, key: reactor.Key) -> reactor.Idle | None:
        quota = self.cluster.find(REF, *key)
        if quota is None:
            return None
        hard = _hard(quota)
        status = {
            **(quota.get("status") or {}),
            "hard": dict(hard),
            "used": self._used(quota, hard),
        }
        if status != quota.get("status"):
            quota["status"] = status
            self.cluster.update_status(REF, quota)
        return reactor.Idle(self.resync_s)

    def _used(self, quota: objects.Object, hard: dict[str, str]) -> dict[str, str]:
        total = dict.fromkeys(hard, quantities.ZERO)
        for ref in sorted({counted_in(name) for name in hard}):
            storage = identities.GroupResource(*reversed(_split(ref)))
            for entry in self.cluster.entries(ref, objects.namespace_of(quota)):
                obj = self.cluster.parsed.load(entry)
                if not usage.matches_scopes(quota, obj, is_pod=ref == "pods"):
                    continue
                for name, amount in usage.used_by(storage, obj).items():
                    if name in total:
                        total[name] += amount
        return {name: str(amount) for name, amount in total.items()}


def counted_in(name: str) -> str:
    """Return the resource whose objects a quota's name counts, in kubectl's notation.

    Examples: `count/deployments.apps` -> `deployments.apps`, `requests.storage` ->
    `persistentvolumeclaims`, `limits.cpu` -> `pods`.
    """
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name in _ALONE:
        return name
    if name.startswith("services"):
        return "services"
    if name in {CLAIMS, "requests.storage"} or ".storageclass.storage.k8s.io/" in name:
        return CLAIMS
    return "pods"


def _split(ref: str) -> tuple[str, str]:
    plural, _, group = ref.partition(".")
    return plural, group


def _hard(quota: objects.Object) -> dict[str, str]:
    return (quota.get("spec") or {}).get("hard") or {}


def _gives_back(change: changes.Change) -> bool:
    """Whether a change may lower what is used, or move a pod to another quota's scope."""
    if change.deleted:
        return True
    if change.type == "ADDED" or change.ref not in {"pods", "services", CLAIMS}:
        return False
    before = change.previous
    if before is None:
        return False
    if change.ref == "pods":
        over, was_over = pods.is_over(change.object), pods.is_over(before)
        return (over and not was_over) or _ends_itself(change.object) != _ends_itself(before)
    return before.get("spec") != change.object.get("spec")


def _ends_itself(pod: objects.Object) -> bool:
    """Whether a pod is of the scope Terminating."""
    return (pod.get("spec") or {}).get("activeDeadlineSeconds") is not None
