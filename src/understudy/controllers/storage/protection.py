"""Protection: a claim stays while a pod uses it, a volume while it is bound.

The API server gives both a finalizer when they are made; these controllers take it away again.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.scheduling import volumes
from understudy.controllers.workloads import pods
from understudy.kube import objects

CLAIM_FINALIZER: Final = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER: Final = "kubernetes.io/pv-protection"
CLAIMS: Final = "persistentvolumeclaims"
VOLUMES: Final = "persistentvolumes"


class ClaimProtection:
    """Lets terminating claims go when no pod uses them."""

    name = "persistentvolumeclaim-protection-controller"
    watched = (CLAIMS, "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "pvc-protection-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == CLAIMS:
            if not change.deleted and b'"deletionTimestamp":' in change.entry.encoded:
                queue.add(change.key)
        elif b'"volumes":' in change.entry.encoded and (
            change.deleted or pods.is_over(change.object)
        ):
            for name in volumes.claim_names(change.object):
                queue.add((change.entry.namespace, name))

    def reconcile(self, key: reactor.Key) -> float | None:
        namespace, name = key
        claim = self.cluster.find(CLAIMS, namespace, name)
        if claim is None or not objects.metadata(claim).get("deletionTimestamp"):
            return None
        if self._is_used(namespace, name):
            return None
        _take_finalizer(self.cluster, CLAIMS, claim, CLAIM_FINALIZER)
        return None

    def _is_used(self, namespace: str, name: str) -> bool:
        """Whether a pod has a node and the claim; one that is over as well, while it is there."""
        return any(
            name in volumes.claim_names(pod)
            for pod in self.cluster.each("pods", namespace)
            if (pod.get("spec") or {}).get("nodeName")
        )


class VolumeProtection:
    """Lets terminating volumes go when no claim is bound to them."""

    name = "persistentvolume-protection-controller"
    watched = (VOLUMES,)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "pv-protection-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if not change.deleted and b'"deletionTimestamp":' in change.entry.encoded:
            queue.add(change.key)

    def reconcile(self, key: reactor.Key) -> float | None:
        volume = self.cluster.find(VOLUMES, *key)
        if volume is None or (volume.get("status") or {}).get("phase") == "Bound":
            return None
        _take_finalizer(self.cluster, VOLUMES, volume, VOLUME_FINALIZER)
        return None


def _take_finalizer(
    cluster: clusters.Cluster, ref: str, obj: objects.Object, finalizer: str
) -> None:
    present = obj["metadata"].get("finalizers") or []
    if finalizer not in present:
        return
    kept = [one for one in present if one != finalizer]
    if kept:
        obj["metadata"]["finalizers"] = kept
    else:
        del obj["metadata"]["finalizers"]
    cluster.update(ref, obj)
